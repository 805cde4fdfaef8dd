"""What became of the records of a file, and when that is reason to refuse it: the same for every import."""

from collections import Counter
from re import compile as pattern
from typing import Final, NamedTuple

from msgspec import Struct

GIVE_UP_AFTER: Final = 100_000
"""Records that could not be used, none that could, after which a file is refused without reading on."""
_PLACE: Final = pattern(r" \(byte \d+\)")


class ImportFileError(ValueError):
    """A file that is refused: unreadable, or less than half of it can be used; the message says why."""


class Reject(Struct, frozen=True):
    """A record that was not used: `record` counts from 1 within its file, lines within their part of it."""

    file: str
    record: int
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.reason}"

    @property
    def place(self) -> str:
        """Where in the file it stands."""
        return f"line {self.line}, record {self.record}"


class Tally(NamedTuple):
    """What became of the records of a file."""

    used: int
    reasons: Counter[str]

    @property
    def rejected(self) -> int:
        """How many records could not be used."""
        return self.reasons.total()

    def refusal(self) -> str | None:
        """Return why the file is refused, None where at least half of it can be used."""
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
