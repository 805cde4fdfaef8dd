"""Many seeds at once: prints the seeds that fail, and the speed.

    python tests/simulation FIRST COUNT [KEPT]

The seeds are played in shares of 2,500. With a file KEPT, each share's result is appended to it, and a share
that stands there already is not played again: so a long run may be stopped and gone on with.
"""

import gc
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from simulated_measure import MeasureWorld
from simulated_record import RecordWorld

SHARE = 2_500


def play(first: int, count: int) -> str:
    """Play some seeds: `measure` and `record` in turns, with and without losses; return the result's line."""
    began, failed = time.process_time(), []
    for seed in range(first, first + count):
        try:
            (RecordWorld if seed % 4 == 3 else MeasureWorld)(seed, losses=seed % 8 in {1, 5, 3}).run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed failed
            failed.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    seconds = time.process_time() - began
    return _line(first, count, seconds, failed)


def _line(first: int, count: int, seconds: float, failed: list[int]) -> str:
    text = f"seeds {first} to {first + count - 1}: {len(failed)} failed, {seconds:.0f} s of one core"
    return text + (f"; failed: {' '.join(map(str, failed))}" if failed else "")


def main() -> int:
    """Play what is asked for and not kept yet; the sum is of all of it."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    kept = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    gc.freeze()
    lines = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    results = []
    for start in range(first, first + count, SHARE):
        size = min(SHARE, first + count - start)
        place = f"seeds {start} to {start + size - 1}: "
        line = next((one for one in lines if one.startswith(place)), None)
        if line is None:
            line = play(start, size)
            print(line, flush=True)
            if kept is not None:
                with kept.open("a") as file:
                    file.write(line + "\n")
        results.append(line)
    numbers = [line.split(": ", 1)[1].split() for line in results]
    failed, seconds = sum(int(one[0]) for one in numbers), sum(float(one[2]) for one in numbers)
    print(f"{count} seeds, {failed} failed, {60 * count / max(seconds, 1):.0f} a minute of one core")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
