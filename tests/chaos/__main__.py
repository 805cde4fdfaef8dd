"""`make chaos RUNS=N`: seeded runs of every fault, alone and in pairs, and a table of how long each took.

    python tests/chaos RUNS [FIRST_SEED] [FAULT...]

A seed repeats its faults and their moments. With faults named, only those are played. The stages' logs of a
run that failed are kept, and the place is told.
"""

import asyncio
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from chaos_faults import LOSSLESS, LOSSY, RECORDS_GONE
from chaos_run import ChaosRun, Cluster, chaos


def plan(runs: int, first_seed: int, named: list[str]) -> list[tuple[int, list[str]]]:
    """Return seed and faults of each run: every fault alone in turn, and pairs from the second round on."""
    every = named or [*LOSSLESS, *LOSSY]
    planned = []
    for number, name in zip(range(runs), cycle(every), strict=False):
        seed = first_seed + number
        second = Random(seed).choice(list(LOSSLESS))
        alone = number < len(every) or name in LOSSY or second == name
        planned.append((seed, [name] if alone else [name, second]))
    return planned


def check_after(names: list[str]) -> Callable[[ChaosRun], Awaitable[None]]:
    """Return what is to be checked after some faults."""
    if set(names) & RECORDS_GONE:
        return ChaosRun.check_records
    return ChaosRun.check_lossy if set(names) & set(LOSSY) else ChaosRun.check


async def play(cluster: Cluster, folder: Path, seed: int, names: list[str]) -> list[float]:
    """Play one run; return how long each fault took until results came again."""
    rng = Random(seed)
    faults = [(rng.uniform(0.25, 0.7), (LOSSLESS | LOSSY)[name]) for name in names]
    async with chaos(cluster, folder, seed) as run:
        await run.play(faults)
        await check_after(names)(run)
        return run.recovered_seconds


def main() -> int:
    """Play the runs and print the table."""
    logging.disable()  # the test's own clients say at length that the broker is away
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    first_seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    took: dict[str, list[float]] = {}
    failed = []
    with (
        tempfile.TemporaryDirectory(prefix="portallink-chaos-") as folder,
        Cluster(Path(folder) / "kafka") as cluster,
    ):
        for seed, names in plan(runs, first_seed, sys.argv[3:]):
            name, began = " + ".join(names), time.monotonic()
            place = Path(folder) / str(seed)
            place.mkdir()
            try:
                seconds = asyncio.run(play(cluster, place, seed, names))
                took.setdefault(name, []).append(max(seconds))
                outcome = f"recovered in {max(seconds):.1f} s"
            except Exception as error:  # noqa: BLE001 - whatever it is, the run failed
                failed.append(seed)
                kept = shutil.copytree(
                    place, tempfile.mkdtemp(prefix=f"portallink-chaos-{seed}-"), dirs_exist_ok=True
                )
                print(f"logs of seed {seed}: {kept}")
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcome = f"FAILED in {where.name}, {where.line}: {type(error).__name__}: {str(error)[:900]}"
            print(f"seed {seed}: {name}: {outcome} ({time.monotonic() - began:.0f} s)", flush=True)
    print("\n| fault | runs | recovery p50 | max |\n|---|---|---|---|")
    for name, seconds in sorted(took.items()):
        print(f"| {name} | {len(seconds)} | {median(seconds):.1f} s | {max(seconds):.1f} s |")
    print(f"\n{runs} runs, {len(failed)} failed{': ' + ', '.join(map(str, failed)) if failed else ''}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
