"""Occurrences of `measure`: one per cut, poll or assignment, never one per record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from streams.model.events import OUTCOMES, SUBMISSION_TYPES
from streams.model.measurement import LinkCells, Measurement, Part, PortalCells, RecordCounts, Source
from streams.model.topics import MEASUREMENTS
from streams.telemetry.common import Quiet, partition_label
from streams.telemetry.contract import (
    ACCEPTANCE,
    DEAD_LETTERS,
    EVENT_ID_CONFLICTS,
    FAILED_BY_AGENCY,
    FAILED_BY_SERVICE,
    LOOKUP_LATENCY,
    LOOKUPS,
    LOOKUPS_REQUESTED,
    MEASUREMENTS_INCOMPLETE,
    PROVIDER_LATENCY,
    RECORDS,
    RECORDS_REREAD,
    RECORDS_SENT,
    SUBMISSIONS,
    SUBMISSIONS_BLOCKED,
    SUBMISSIONS_BY_AGENCY,
    SUBMISSIONS_BY_SERVICE,
    WATERMARK_LAG,
)
from streams.telemetry.hub import Level
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class MeasurementCut:
    """A measurement was cut and sent."""

    name: ClassVar[str] = "measurement_cut"
    level: ClassVar[Level] = "debug"
    measurement: Measurement

    def fields(self) -> Mapping[str, object]:
        """Return the source range, the watermark and how the records ended."""
        source, records = self.measurement.source, self.measurement.records
        return {
            "source": partition_label(source.topic, source.partition),
            "first_offset": source.first_offset,
            "next_offset": source.next_offset,
            "watermark_ms": self.measurement.watermark_ms,
            "applied": records.applied,
            "duplicate": records.duplicate,
            "late": records.late,
            "dead_letter": records.dead_letter,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Add the measurement's sums; its records were counted when they were read."""
        measurement = self.measurement
        source = measurement.source
        label = partition_label(source.topic, source.partition)
        store.set(WATERMARK_LAG, (stage, label), measurement.watermark_ms)
        store.add(RECORDS_SENT, (stage, MEASUREMENTS))
        for link in measurement.links:
            _add_link(store, link)
        for portal in measurement.portals:
            _add_portal(store, portal)


@dataclass(frozen=True, slots=True)
class RecordsMetered:
    """A poll's records of one source partition, by how they ended. Each record read counts exactly once."""

    name: ClassVar[str] = "records_metered"
    level: ClassVar[Level] = "debug"
    topic: str
    partition: int
    records: RecordCounts

    def fields(self) -> Mapping[str, object]:
        """Return the source partition and how its records ended."""
        records = self.records
        return {
            "source": partition_label(self.topic, self.partition),
            "applied": records.applied,
            "duplicate": records.duplicate,
            "late": records.late,
            "dead_letter": records.dead_letter,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the records."""
        records = self.records
        store.add(RECORDS, (stage, "applied"), records.applied)
        store.add(RECORDS, (stage, "duplicate"), records.duplicate)
        store.add(RECORDS, (stage, "late"), records.late)
        store.add(RECORDS, (stage, "dead_letter"), records.dead_letter)


def _add_link(store: Store, cells: LinkCells) -> None:
    link = cells.link
    if store.value(LOOKUPS_REQUESTED, (link,)) is None:
        # rate() cannot see a counter's first step unless the series began at 0.
        store.add(LOOKUPS_REQUESTED, (link,), 0)
        for outcome in OUTCOMES:
            store.add(LOOKUPS, (link, outcome), 0)
    requested = 0
    for slot in (*cells.late_slots, *cells.slots):  # corrections first, because counters never decrease
        requested += slot.requested
        if slot.outcomes:
            store.add_all(LOOKUPS, link, slot.outcomes)
        if slot.services:
            store.add_all(FAILED_BY_SERVICE, link, _failed(slot.services))
            store.add_all(FAILED_BY_AGENCY, link, _failed(slot.agencies))
        if slot.latency:
            store.observe_sketch(LOOKUP_LATENCY, (link,), slot.latency)
        if slot.provider_latency:
            store.observe_sketch(PROVIDER_LATENCY, (link,), slot.provider_latency)
    store.add(LOOKUPS_REQUESTED, (link,), requested)


def _failed(parts: dict[str, Part]) -> dict[str, int]:
    return {name: part.failed for name, part in parts.items() if part.failed}


def _add_portal(store: Store, cells: PortalCells) -> None:
    portal = cells.portal
    if store.value(SUBMISSIONS, (portal, SUBMISSION_TYPES[0])) is None:
        for kind in SUBMISSION_TYPES:
            store.add(SUBMISSIONS, (portal, kind), 0)
    for slot in cells.slots:
        store.add_all(SUBMISSIONS, portal, slot.types)
        store.add_all(SUBMISSIONS_BY_AGENCY, portal, slot.agencies)
        store.add_all(SUBMISSIONS_BY_SERVICE, portal, slot.services)
        store.add_all(SUBMISSIONS_BLOCKED, portal, slot.blocked_by)
        if slot.acceptance:
            store.observe_sketch(ACCEPTANCE, (portal,), slot.acceptance)


@dataclass(frozen=True, slots=True)
class PartitionRebuilt:
    """A partition's state was rebuilt by reading ``[first_offset, next_offset)`` again without output."""

    name: ClassVar[str] = "partition_rebuilt"
    level: ClassVar[Level] = "info"
    topic: str
    partition: int
    first_offset: int
    next_offset: int

    def fields(self) -> Mapping[str, object]:
        """Return the range."""
        return {
            "source": partition_label(self.topic, self.partition),
            "first_offset": self.first_offset,
            "next_offset": self.next_offset,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the records read again."""
        store.add(RECORDS_REREAD, (stage,), self.next_offset - self.first_offset)


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """A source record went to the dead-letter topic; it is included in the records metered."""

    name: ClassVar[str] = "dead_lettered"
    level: ClassVar[Level] = "warning"
    reason: str
    topic: str
    partition: int
    offset: int

    def fields(self) -> Mapping[str, object]:
        """Return the reason and the record's place."""
        return {
            "reason": self.reason,
            "source": partition_label(self.topic, self.partition),
            "offset": self.offset,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count it by reason; ``records_total`` is updated with the poll."""
        store.add(DEAD_LETTERS, (stage, self.reason))
        store.add(RECORDS_SENT, (stage, "pipeline.dead_letters"))


@dataclass(frozen=True, slots=True)
class DeadLetterLimitReached(Quiet):
    """Too large a share of a source's records within a minute were dead letters, so the stage stops."""

    name: ClassVar[str] = "dead_letter_limit_reached"
    level: ClassVar[Level] = "error"
    topic: str
    partition: int
    records: int
    dead_letters: int
    limit_share: float

    def fields(self) -> Mapping[str, object]:
        """Return the source, the counts and the limit that they exceeded."""
        return {
            "source": partition_label(self.topic, self.partition),
            "records": self.records,
            "dead_letters": self.dead_letters,
            "limit_share": self.limit_share,
        }


@dataclass(frozen=True, slots=True)
class PartiallyRebuilt(Quiet):
    """A partition's state was only partly rebuilt, because records before ``from_offset`` are deleted.

    Answers whose request was deleted count without it, and duplicates of deleted records count as new.
    """

    name: ClassVar[str] = "partially_rebuilt"
    level: ClassVar[Level] = "warning"
    topic: str
    partition: int
    from_offset: int

    def fields(self) -> Mapping[str, object]:
        """Return the source and the offset from which it was rebuilt."""
        return {"source": partition_label(self.topic, self.partition), "from_offset": self.from_offset}


@dataclass(frozen=True, slots=True)
class PartitionsNotUsed(Quiet):
    """A topic has more partitions than links are spread over; the added ones stay empty."""

    name: ClassVar[str] = "partitions_not_used"
    level: ClassVar[Level] = "warning"
    topic: str
    used: int
    present: int

    def fields(self) -> Mapping[str, object]:
        """Return both counts."""
        return {"topic": self.topic, "used": self.used, "present": self.present}


@dataclass(frozen=True, slots=True)
class EventIdsConflict:
    """Failed lookups reused event ids of other events; each is counted as a failure."""

    name: ClassVar[str] = "event_ids_conflict"
    level: ClassVar[Level] = "warning"
    topic: str
    partition: int
    count: int

    def fields(self) -> Mapping[str, object]:
        """Return the source and how many."""
        return {"source": partition_label(self.topic, self.partition), "count": self.count}

    def move(self, store: Store, _stage: str, /) -> None:
        """Count them."""
        store.add(EVENT_ID_CONFLICTS, (partition_label(self.topic, self.partition),), self.count)


@dataclass(frozen=True, slots=True)
class MeasurementTooLarge:
    """A measurement did not fit into a record; its range is sent without sums, so its time is unknown."""

    name: ClassVar[str] = "measurement_too_large"
    level: ClassVar[Level] = "error"
    source: Source
    size_bytes: int

    def fields(self) -> Mapping[str, object]:
        """Return the range and the size."""
        return {
            "source": partition_label(self.source.topic, self.source.partition),
            "first_offset": self.source.first_offset,
            "next_offset": self.source.next_offset,
            "size_bytes": self.size_bytes,
        }

    def move(self, store: Store, _stage: str, /) -> None:
        """Count it."""
        label = partition_label(self.source.topic, self.source.partition)
        store.add(MEASUREMENTS_INCOMPLETE, (label,))


@dataclass(frozen=True, slots=True)
class CommitDone(Quiet):
    """Progress was committed; a restart continues at ``next_offset``, rebuilding from ``rebuild_offset``."""

    name: ClassVar[str] = "commit_done"
    level: ClassVar[Level] = "debug"
    topic: str
    partition: int
    next_offset: int
    rebuild_offset: int

    def fields(self) -> Mapping[str, object]:
        """Return the offsets."""
        return {
            "source": partition_label(self.topic, self.partition),
            "next_offset": self.next_offset,
            "rebuild_offset": self.rebuild_offset,
        }
