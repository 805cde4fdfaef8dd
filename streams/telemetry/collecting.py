"""Occurrences of `collect`: one per export, never one per span."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from streams.telemetry.contract import EXPORTS, RECORDS_SENT, SPAN_AGE, SPAN_SOURCES, SPANS
from streams.telemetry.hub import Level
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class SpansTaken:
    """An export's events were published; ``spans`` counts its spans by what they became.

    ``age_seconds`` is the time from the end of its oldest call to its arrival; ``sent`` counts records by
    topic.
    """

    name: ClassVar[str] = "spans_taken"
    level: ClassVar[Level] = "debug"
    spans: Mapping[str, int]
    sent: Mapping[str, int] = field(default_factory=dict)
    age_seconds: float | None = None

    def fields(self) -> Mapping[str, object]:
        """Return the counts and the age."""
        return {**self.spans, "age_seconds": self.age_seconds}

    def move(self, store: Store, stage: str, /) -> None:
        """Count the spans and the records."""
        for result, count in self.spans.items():
            store.add(SPANS, (result,), count)
        for topic, count in self.sent.items():
            store.add(RECORDS_SENT, (stage, topic), count)
        if self.age_seconds is not None:
            store.observe(SPAN_AGE, (), max(self.age_seconds, 0.0))


@dataclass(frozen=True, slots=True)
class SpansRejected:
    """Some spans of an accepted export were unusable; the sender was told."""

    name: ClassVar[str] = "spans_rejected"
    level: ClassVar[Level] = "warning"
    source: str
    count: int
    reason: str

    def fields(self) -> Mapping[str, object]:
        """Return who sent them, how many there were, and the most frequent reasons."""
        return {"source": self.source, "count": self.count, "reason": self.reason}

    def move(self, _store: Store, _stage: str, /) -> None:
        """Do nothing: they are counted with the spans of their export."""


@dataclass(frozen=True, slots=True)
class ExportAnswered:
    """An export was answered with a status: accepted, or refused with a reason."""

    name: ClassVar[str] = "export_answered"
    way: str
    signal: str
    status: int
    reason: str = ""

    @property
    def level(self) -> Level:
        """Refused exports are warnings."""
        return "debug" if self.status == 200 else "warning"

    def fields(self) -> Mapping[str, object]:
        """Return how it came, and what was answered."""
        return {"way": self.way, "signal": self.signal, "status": self.status, "reason": self.reason}

    def move(self, store: Store, _stage: str, /) -> None:
        """Count it."""
        store.add(EXPORTS, (self.way, self.signal, str(self.status)))


@dataclass(frozen=True, slots=True)
class SourcesAlive:
    """The number of sources that have sent spans recently, whose links heartbeats report as watched."""

    name: ClassVar[str] = "sources_alive"
    level: ClassVar[Level] = "debug"
    count: int

    def fields(self) -> Mapping[str, object]:
        """Return how many."""
        return {"count": self.count}

    def move(self, store: Store, _stage: str, /) -> None:
        """Set the gauge."""
        store.set(SPAN_SOURCES, (), self.count)
