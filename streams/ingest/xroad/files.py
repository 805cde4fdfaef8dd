"""X-Road's operational monitoring out of texts, in whatever shape it arrives.

The bytes are the input layer's affair (`streams.intake`), the documents that of `shapes`. Here each
record that cannot be used is noted, and a file is refused where that is most of it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from re import compile as pattern
from typing import Final, NamedTuple

from msgspec import Struct

from streams.ingest.values import RejectedRecordError
from streams.ingest.xroad.record import XRoadRecord
from streams.ingest.xroad.shapes import CONTAINERS, column_of, parse_records
from streams.ingest.xroad.values import NotXRoadError
from streams.intake.errors import IntakeError
from streams.intake.parts import Part
from streams.intake.split import Damage, Document, documents
from streams.intake.table import Row, header_of, rows

MIN_COLUMNS: Final = 3
"""How many of the names in a header must be X-Road's for it to be one."""
MAX_HEADER_BYTES: Final = 1 << 16
GIVE_UP_AFTER: Final = 100_000
"""Records that could not be used, none that could, after which a file is refused without reading on."""
_PLACE: Final = pattern(r" \(byte \d+\)")


class XRoadFileError(ValueError):
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


def read_xroad(name: str, parts: Iterable[Part], reject: Callable[[Reject], None]) -> Iterator[XRoadRecord]:
    """Yield every record of an input's parts (`intake.shell.opened`), in order.

    ``name`` is the input's, ``reject`` is called with each record that is unusable. Raise `XRoadFileError` if
    the input is damaged or cut off, or if less than half of it can be used; `OSError` if it cannot be read.
    """
    used, number, reasons = 0, 0, Counter[str]()
    anything = False
    try:
        for part in parts:
            begin = _beginning(part.chunks)
            anything = anything or bool(begin.strip())
            for entry in _entries(begin, part):
                try:
                    records = _records(entry)
                except RejectedRecordError as error:
                    number += 1
                    reasons[reason_of(error)] += 1
                    reject(Reject(part.name, number, entry.line, str(error)))
                    if not used and number >= GIVE_UP_AFTER:
                        break
                else:
                    number += len(records)
                    used += len(records)
                    yield from records
    except IntakeError as error:
        where = f"{name}: line {error.line}" if error.line else name
        raise XRoadFileError(f"{where}: {error.reason}") from error
    if refusal := Tally(used, reasons).refusal():
        raise XRoadFileError(f"{name}: {refusal}")
    if not anything:
        raise XRoadFileError(
            f'{name}: there is nothing in it; an answer without records is [] or {{"records": []}}'
        )


def reason_of(error: Exception | str) -> str:
    """Return a reason without its place, so that equal ones count as one."""
    return _PLACE.sub("", str(error))


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """Return at least the first line, up to the greatest length of a header."""
    begin = b""
    for chunk in chunks:
        begin += chunk
        if len(begin) > MAX_HEADER_BYTES or b"\n" in begin.lstrip():
            break
    return begin


def _entries(begin: bytes, part: Part) -> Iterator[Document | Row | Damage]:
    """Yield the entries of a text, of a table where its first line has the names of columns."""
    chunks = chain([begin], part.chunks)
    names = header_of(begin)
    if names is not None and sum(column_of(name) is not None for name in names) >= MIN_COLUMNS:
        yield from rows(chunks)
    else:
        yield from documents(chunks, CONTAINERS)


def _records(entry: Document | Row | Damage) -> list[XRoadRecord]:
    if isinstance(entry, Damage):
        raise NotXRoadError(entry.reason)
    return parse_records(entry.data if isinstance(entry, Document) else entry.values)
