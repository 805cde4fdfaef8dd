"""Mutated input for every decoder and file format; `make fuzz MINUTES=` goes on for as long as asked."""

from pathlib import Path

import pytest
from fuzz_targets import TARGETS
from fuzzing import check, fuzz

CORPUS = Path(__file__).parent / "corpus"
FOUND = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_crashes_hangs_or_grows(name: str):
    """A few hundred mutated inputs each end in a result or in the error that is meant for them."""
    _, findings = fuzz(TARGETS[name], seed=1, inputs=300, seconds=5)
    assert findings == []


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_mended(path: Path):
    """An input that was a finding once is survived."""
    (name,) = [name for name in TARGETS if name.replace(" ", "-") == path.parent.name]
    check(TARGETS[name], path.read_bytes(), hang_seconds=20)
