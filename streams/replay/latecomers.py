"""Which late records led to a revision, found in the log ranges that took effect with it."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from streams.model.border import UNREADABLE
from streams.model.measurement import Measurement
from streams.model.outage import Outage
from streams.model.record import Record
from streams.model.settings import DetectSettings
from streams.model.times import local_time

NAMED: Final = 5
"""How many records a sentence names at most."""


class LateRecord(Struct, frozen=True):
    """A record about a time before its partition's watermark, and the revision it led to."""

    revision: int
    topic: str
    partition: int
    offset: int
    occurred_at_ms: int
    says: str


class _Event(Struct):
    type: str
    occurred_at_ms: int
    link: str = ""
    links: list[str] = []
    outcome: str = ""
    lookup_id: str = ""


class _Range(Struct, frozen=True):
    revision: int
    topic: str
    partition: int
    first_offset: int
    next_offset: int
    closed_ms: int


_decode: Final = msgspec.json.Decoder(_Event).decode


def late_records(
    records: Iterable[Record],
    measurements: Iterable[Measurement],
    revisions: Iterable[Outage],
    settings: DetectSettings,
) -> list[LateRecord]:
    """Return the late records behind an outage's revisions with reason `late`, in log order.

    ``records`` are the log's, read only if there is such a revision; ``measurements`` are those of
    `npd.lookups`, each partition's in order. Late facts take effect when the clock reaches the watermark that
    they arrived with, so a revision follows from the facts with its own time. If an answer corrects a request
    that had timed out, the answer is the late record.
    """
    due = {one.detected_at_ms: one for one in revisions if one.reason == "late"}
    ranges = list(_ranges(measurements, due, settings.slot_ms)) if due else []
    if not ranges:
        return []
    link = next(iter(due.values())).link
    asked: dict[str, int] = {}
    found: list[LateRecord] = []
    for record in records:
        event = _event_of(record, link)
        if event is None:
            continue
        if event.type == "lookup.requested":
            asked[event.lookup_id] = event.occurred_at_ms
        found += [
            _named(record, event, one)
            for one in ranges
            if _holds(one, record) and _is_late(event, one, asked, settings.timeout_at_ms(one.closed_ms))
        ]
    return found


def sentences(records: Iterable[LateRecord]) -> list[str]:
    """Return a sentence for each revision, naming the late records that led to it."""
    told: dict[int, list[LateRecord]] = {}
    for record in records:
        told.setdefault(record.revision, []).append(record)
    return [_sentence(revision, told[revision]) for revision in sorted(told)]


def _sentence(revision: int, records: list[LateRecord]) -> str:
    named = "; ".join(
        f"{one.topic}/{one.partition} offset {one.offset} ({one.says} of {local_time(one.occurred_at_ms)})"
        for one in records[:NAMED]
    )
    more = f"; and {len(records) - NAMED} more" if len(records) > NAMED else ""
    return f"Revision {revision} followed from records that came late: {named}{more}."


def _ranges(measurements: Iterable[Measurement], due: dict[int, Outage], slot_ms: int) -> Iterator[_Range]:
    """Yield the ranges of source records whose late facts took effect with one of the revisions."""
    closed: dict[int, int] = {}
    for one in measurements:
        source = one.source
        before_ms = closed.get(source.partition, 0)
        closed[source.partition] = one.watermark_ms // slot_ms * slot_ms
        outage = due.get(one.watermark_ms // slot_ms * slot_ms)
        if outage is not None:
            first, last = source.first_offset, source.next_offset
            yield _Range(outage.revision, source.topic, source.partition, first, last, before_ms)


def _holds(one: _Range, record: Record) -> bool:
    return (one.topic, one.partition) == (
        record.topic,
        record.partition,
    ) and one.first_offset <= record.offset < one.next_offset


def _event_of(record: Record, link: str) -> _Event | None:
    """Return the event in a record, None if it concerns another link or is not an event."""
    try:
        event = _decode(record.value)
    except UNREADABLE:
        return None
    return event if link == event.link or link in event.links else None


def _is_late(event: _Event, one: _Range, asked: dict[str, int], timeout_ms: int) -> bool:
    """Return whether an event falls in a closed slot, or answers a request that had timed out."""
    if event.occurred_at_ms < one.closed_ms:
        return True
    asked_ms = asked.get(event.lookup_id) if event.type == "lookup.completed" else None
    return asked_ms is not None and event.occurred_at_ms - asked_ms > timeout_ms


def _named(record: Record, event: _Event, one: _Range) -> LateRecord:
    says = f"{event.type} {event.outcome}".strip()
    return LateRecord(one.revision, record.topic, record.partition, record.offset, event.occurred_at_ms, says)
