"""A few short chaos runs on one broker; `make chaos RUNS=` plays as many as asked."""

from pathlib import Path
from random import Random

import pytest
from chaos_faults import LOSSLESS
from chaos_run import Cluster, chaos

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("seed", "names"),
    [
        (1, ["kill -9 detect", "kill -9 measure"]),
        (2, ["kill -9 broker", "link.measurements grown"]),
        (3, ["cut network", "locked ledger"]),
    ],
    ids=["killed", "broker", "network"],
)
async def test_nothing_differs(cluster: Cluster, tmp_path: Path, seed: int, names: list[str]):
    """Whatever fails, what is published and recorded is what `analyze` makes of the log, to the byte."""
    rng = Random(seed)
    async with chaos(cluster, tmp_path, seed) as run:
        await run.play([(rng.uniform(0.25, 0.7), LOSSLESS[name]) for name in names])
        await run.check()
