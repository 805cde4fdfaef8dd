"""`make fuzz MINUTES=N`: mutated input for every decoder and file format in turn.

    python tests/fuzz MINUTES [SEED] [TARGET...]

Findings are written to tests/fuzz/corpus, where they stay as tests.
"""

import hashlib
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from fuzz_targets import TARGETS
from fuzzing import fuzz

CORPUS = Path(__file__).parent / "corpus"


def main() -> int:
    """Fuzz every target for its share of the time, a few seconds at a turn."""
    warnings.simplefilter("error")
    minutes, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    names = sys.argv[3:] or list(TARGETS)
    tried, found = dict.fromkeys(names, 0), 0
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        for name in names:
            seconds = min(10.0, minutes * 60 / len(names))
            seed += 1
            count, findings = fuzz(TARGETS[name], seed, seconds=seconds)
            tried[name] += count
            for data, what in findings[:5]:
                folder = CORPUS / name.replace(" ", "-")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
                print(f"{name}, seed {seed}: {what[:300]}: {data[:200]!r}", flush=True)
            found += len(findings)
    for name, count in tried.items():
        print(f"{name}: {count} inputs")
    print(f"{sum(tried.values())} inputs of {len(names)} targets, {found} findings")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
