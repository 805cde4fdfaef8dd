"""Occurrences of `detect` as it merges measurements: applied, left out, sources idle or with gaps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from streams.model.measurement import Source
from streams.telemetry.common import partition_label
from streams.telemetry.contract import (
    RECORDS,
    SOURCE_GAPS,
    SOURCES_IDLE,
    WATERMARK_LAG,
)
from streams.telemetry.hub import Level
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class MeasurementApplied:
    """A measurement was merged into the state of its links."""

    name: ClassVar[str] = "measurement_applied"
    level: ClassVar[Level] = "debug"
    source: Source
    watermark_ms: int

    def fields(self) -> Mapping[str, object]:
        """Return the source range and its watermark."""
        return {
            "source": partition_label(self.source.topic, self.source.partition),
            "first_offset": self.source.first_offset,
            "next_offset": self.source.next_offset,
            "watermark_ms": self.watermark_ms,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the record, and set the lag of its source partition."""
        store.add(RECORDS, (stage, "applied"))
        label = partition_label(self.source.topic, self.source.partition)
        store.set(WATERMARK_LAG, (stage, label), self.watermark_ms)


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A measurement that is skipped because it was applied before or will be sent again."""

    level: ClassVar[Level] = "debug"
    source: Source

    def fields(self) -> Mapping[str, object]:
        """Return the source range."""
        return {
            "source": partition_label(self.source.topic, self.source.partition),
            "first_offset": self.source.first_offset,
            "next_offset": self.source.next_offset,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the record as a duplicate."""
        store.add(RECORDS, (stage, "duplicate"))


@dataclass(frozen=True, slots=True)
class MeasurementEarly(_LeftOut):
    """A measurement arrived before its predecessor; it is skipped, because `measure` sends both again."""

    name: ClassVar[str] = "measurement_early"


@dataclass(frozen=True, slots=True)
class SourceIdle:
    """Nobody writes to a source partition: the clock advances without it until somebody does again."""

    name: ClassVar[str] = "source_idle"
    level: ClassVar[Level] = "warning"
    topic: str
    partition: int

    def fields(self) -> Mapping[str, object]:
        """Return the source."""
        return {"source": partition_label(self.topic, self.partition)}

    def move(self, store: Store, _stage: str, /) -> None:
        """Count it."""
        store.add(SOURCES_IDLE, (partition_label(self.topic, self.partition),))


@dataclass(frozen=True, slots=True)
class SourceGap:
    """Records of a source are missing: the time ``[start_ms, end_ms)`` that they cover is unknown.

    ``source`` is the range that arrived when ``expected_offset`` should have been next.
    """

    name: ClassVar[str] = "source_gap"
    level: ClassVar[Level] = "error"
    reason: str
    source: Source
    expected_offset: int
    start_ms: int
    end_ms: int

    def fields(self) -> Mapping[str, object]:
        """Return what is missing and the time it covers."""
        return {
            "reason": self.reason,
            "source": partition_label(self.source.topic, self.source.partition),
            "expected_offset": self.expected_offset,
            "first_offset": self.source.first_offset,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
        }

    def move(self, store: Store, _stage: str, /) -> None:
        """Count the gap."""
        label = partition_label(self.source.topic, self.source.partition)
        store.add(SOURCE_GAPS, (label, self.reason))


@dataclass(frozen=True, slots=True)
class MeasurementDuplicate(_LeftOut):
    """A measurement that was already applied arrived again and was dropped."""

    name: ClassVar[str] = "measurement_duplicate"
