"""Reads X-Road's operational monitoring data from texts of any supported shape.

The input layer (`streams.intake`) handles bytes, `shapes` documents. Here each unusable record is noted, and
a file is refused if most of its records are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from streams.ingest.tally import GIVE_UP_AFTER, ImportFileError, Reject, Tally, reason_of
from streams.ingest.values import RejectedRecordError
from streams.ingest.xroad.record import XRoadRecord
from streams.ingest.xroad.shapes import CONTAINERS, column_of, parse_records
from streams.ingest.xroad.values import NotXRoadError
from streams.intake.errors import IntakeError
from streams.intake.parts import Part
from streams.intake.split import Damage, Document, documents
from streams.intake.table import Row, header_of, rows

MIN_COLUMNS: Final = 3
"""A line counts as a header if it has at least this many of X-Road's names."""
MAX_HEADER_BYTES: Final = 1 << 16


def read_xroad(name: str, parts: Iterable[Part], reject: Callable[[Reject], None]) -> Iterator[XRoadRecord]:
    """Yield every record of an input's parts (`intake.shell.opened`), in order.

    ``name`` is the input's; ``reject`` is called with each unusable record. Raises `ImportFileError` if the
    input is damaged or cut off, or if less than half of it can be used; `OSError` if it cannot be read.
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
        raise ImportFileError(f"{where}: {error.reason}") from error
    if refusal := Tally(used, reasons).refusal():
        raise ImportFileError(f"{name}: {refusal}")
    if not anything:
        raise ImportFileError(f'{name}: it is empty; an answer without records is [] or {{"records": []}}')


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """Return at least the first line, up to the maximum length of a header."""
    begin = b""
    for chunk in chunks:
        begin += chunk
        if len(begin) > MAX_HEADER_BYTES or b"\n" in begin.lstrip():
            break
    return begin


def _entries(begin: bytes, part: Part) -> Iterator[Document | Row | Damage]:
    """Yield the rows of a text whose first line is a header, otherwise its documents."""
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
