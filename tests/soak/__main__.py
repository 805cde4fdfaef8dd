"""`make soak MINUTES=N`: steady load with random faults; memory, open files and results at the end.

    python tests/soak MINUTES [EVENTS_A_SECOND] [SEED]

Every stage's memory and open files are looked at every five seconds. What counts is whether they grow: the
middle third of the time against the last.
"""

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from chaos_faults import LOSSLESS
from chaos_run import SPEED, ChaosRun, Cluster, chaos

FAULTS = (
    "SIGSTOP measure",
    "second measure",
    "second record",
    "cut network",
    "slow network",
    "locked ledger",
)
"""Faults that no process dies of: memory and files are those of one process from the beginning to the end."""
FAULT_EVERY_SECONDS = 60.0
SAMPLE_SECONDS = 5.0
Samples = dict[str, list[tuple[int, int]]]


async def _sample(run: ChaosRun, samples: Samples) -> None:
    """Note resident bytes and open files of each stage, again and again."""
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        for name, stage in run.stages.items():
            try:
                (process,) = stage.processes()
                samples.setdefault(name, []).append((process.memory_info().rss, process.num_fds()))
            except (psutil.Error, ValueError):
                continue


async def _soak(cluster: Cluster, folder: Path, minutes: float, events_a_second: float, seed: int) -> Samples:
    rng, samples = Random(seed), {}
    seconds = minutes * 60
    count = int(seconds // FAULT_EVERY_SECONDS)
    faults = [(rng.uniform(0.1, 0.9), LOSSLESS[rng.choice(FAULTS)]) for _ in range(count)]
    async with chaos(
        cluster, folder, seed, seconds=int(seconds * SPEED), rate=events_a_second / SPEED / 2
    ) as run:
        sampling = asyncio.ensure_future(_sample(run, samples))
        await run.play(faults)
        sampling.cancel()
        await run.check()
    return samples


def main() -> int:
    """Soak, and print what each stage took."""
    logging.disable()
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    events_a_second = float(sys.argv[2]) if len(sys.argv) > 2 else 500.0
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="portallink-soak-") as folder:
        place = Path(folder) / "run"
        place.mkdir()
        with Cluster(Path(folder) / "kafka") as cluster:
            samples = asyncio.run(_soak(cluster, place, minutes, events_a_second, seed))
    print(f"{minutes:g} minutes at {events_a_second:g} events/s, {time.monotonic() - began:.0f} s in all")
    print("every record is accounted for: results and ledger are those of `analyze`\n")
    print("| stage | memory, middle third | last third | growth | open files, middle | last |")
    print("|---|---|---|---|---|---|")
    grown = False
    for name, series in samples.items():
        third = len(series) // 3
        middle, last = series[third : 2 * third], series[2 * third :]
        before, after = (median(rss for rss, _ in part) / 1e6 for part in (middle, last))
        files = [median(count for _, count in part) for part in (middle, last)]
        growth = after / before - 1
        grown = grown or growth > 0.05
        print(f"| {name} | {before:.0f} MB | {after:.0f} MB | {growth:+.1%} | {files[0]:g} | {files[1]:g} |")
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
