"""`make chaos RUNS=N`: seeded runs of every fault, alone and in pairs, and a table of how long each took.

    python tests/chaos RUNS [FIRST_SEED] [FAULT...] [--kept FILE] [--share SECONDS]

A seed repeats its faults and their moments. With faults named, only those are played. The stages' logs of a
run that failed are kept, and the place is told.

With ``--kept`` each run's result is appended to a file, and a run that stands there is not played again; with
``--share`` no run begins after that time. So a long series is played in shares, and its table is of them all.
"""

import argparse
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

import msgspec
from chaos_faults import LOSSLESS, LOSSY, RECORDS_GONE
from chaos_run import ChaosRun, Cluster, chaos
from msgspec import Struct


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


class Outcome(Struct):
    """How one run ended: ``error`` says what did not hold, if anything; ``seconds`` it took to recover."""

    seed: int
    faults: list[str]
    seconds: float
    error: str = ""


def run_once(cluster: Cluster, folder: Path, seed: int, names: list[str]) -> Outcome:
    """Play one run; keep the logs of one that failed."""
    place = folder / str(seed)
    place.mkdir()
    try:
        return Outcome(seed, names, max(asyncio.run(play(cluster, place, seed, names))))
    except Exception as error:  # noqa: BLE001 - whatever it is, the run failed
        kept = tempfile.mkdtemp(prefix=f"portallink-chaos-{seed}-")
        shutil.copytree(place, kept, dirs_exist_ok=True)
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{where.name}, {where.line}: {type(error).__name__}: {str(error)[:900]}"
        return Outcome(seed, names, 0.0, f"{text}; logs in {kept}")


def table(outcomes: list[Outcome]) -> str:
    """Return the table by fault; a run with two faults counts for its pair."""
    lines = ["| fault | runs | failed | recovery p50 | max |", "|---|---|---|---|---|"]
    for name in sorted({" + ".join(one.faults) for one in outcomes}):
        mine = [one for one in outcomes if " + ".join(one.faults) == name]
        seconds = [one.seconds for one in mine if not one.error]
        figures = f"{median(seconds):.1f} s | {max(seconds):.1f} s" if seconds else "- | -"
        lines.append(f"| {name} | {len(mine)} | {len(mine) - len(seconds)} | {figures} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python tests/chaos")
    parser.add_argument("runs", type=int, nargs="?", default=30)
    parser.add_argument("first_seed", type=int, nargs="?", default=1)
    parser.add_argument("faults", nargs="*", choices=[*LOSSLESS, *LOSSY, []])
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--share", type=float, default=float("inf"))
    return parser.parse_args()


def main() -> int:
    """Play the runs and print the table."""
    logging.disable()  # the test's own clients say at length that the broker is away
    asked, began = arguments(), time.monotonic()
    kept = asked.kept.read_bytes().splitlines() if asked.kept and asked.kept.exists() else []
    outcomes = [msgspec.json.decode(line, type=Outcome) for line in kept]
    known = {one.seed for one in outcomes}
    with (
        tempfile.TemporaryDirectory(prefix="portallink-chaos-") as folder,
        Cluster(Path(folder) / "kafka") as cluster,
    ):
        for seed, names in plan(asked.runs, asked.first_seed, asked.faults):
            started = time.monotonic()
            if seed in known or started - began > asked.share:
                continue
            outcome = run_once(cluster, Path(folder), seed, names)
            outcomes.append(outcome)
            if asked.kept:
                with asked.kept.open("ab") as file:
                    file.write(msgspec.json.encode(outcome) + b"\n")
            said = f"FAILED in {outcome.error}" if outcome.error else f"recovered in {outcome.seconds:.1f} s"
            print(
                f"seed {seed}: {' + '.join(names)}: {said} ({time.monotonic() - started:.0f} s)", flush=True
            )
    failed = [one.seed for one in outcomes if one.error]
    print(f"\n{table(outcomes)}\n\n{len(outcomes)} runs, {len(failed)} failed {failed or ''}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
