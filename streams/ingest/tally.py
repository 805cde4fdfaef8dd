"""Counts what became of the records of a file, and decides when to refuse it; shared by all imports."""

from collections import Counter
from re import compile as pattern
from typing import Final, NamedTuple

from msgspec import Struct

GIVE_UP_AFTER: Final = 100_000
"""A file is refused without reading on if its first this many records are all unusable."""
_PLACE: Final = pattern(r" \(byte \d+\)")


class ImportFileError(ValueError):
    """A refused file: unreadable, or more than half of it cannot be used; the message says why."""


class Reject(Struct, frozen=True):
    """An unusable record; `record` counts from 1 within its file, `line` within its part of the file."""

    file: str
    record: int
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.reason}"

    @property
    def place(self) -> str:
        """The record's place in the file."""
        return f"line {self.line}, record {self.record}"


class Tally(NamedTuple):
    """Counts of a file's used records, and of its rejected ones by reason."""

    used: int
    reasons: Counter[str]

    @property
    def rejected(self) -> int:
        """The number of records that could not be used."""
        return self.reasons.total()

    def refusal(self) -> str | None:
        """Return why the file is refused, None if at least half of it can be used."""
        if self.rejected <= self.used:
            return None
        reason, count = self.reasons.most_common(1)[0]
        total = self.used + self.rejected
        share = (
            "none of its records can be used"
            if not self.used
            else f"only {self.used:,} of {total:,} can be used"
        )
        most = "" if count == total else f" ({count:,} of {total:,} for this reason)"
        return f"{share}: {reason}{most}"


def reason_of(error: Exception | str) -> str:
    """Return a reason without its place, so that equal ones count as one."""
    return _PLACE.sub("", str(error))
