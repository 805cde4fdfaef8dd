"""Many seeds at once: `python tests/simulation FIRST COUNT`; prints the seeds that fail, and the speed."""

import gc
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from simulated_measure import MeasureWorld
from simulated_record import RecordWorld


def main() -> int:
    """Play the seeds: `measure` and `record` in turns, with and without losses."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    began, failed = time.process_time(), []
    gc.freeze()
    for seed in range(first, first + count):
        try:
            (RecordWorld if seed % 4 == 3 else MeasureWorld)(seed, losses=seed % 8 in {1, 5, 3}).run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed failed
            failed.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    minutes = (time.process_time() - began) / 60
    print(f"{count} seeds, {len(failed)} failed, {count / minutes:.0f} a minute of one core")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
