"""Occurrences of `collect`: one an export, and never one a span."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from streams.telemetry.contract import EXPORTS, RECORDS_SENT, SPAN_AGE, SPAN_SOURCES, SPANS
from streams.telemetry.hub import Level
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class SpansTaken:
    """An export's events are on their topics; ``spans`` counts its spans by what they became.

    ``age_seconds`` is how long ago its oldest call had ended when it came, ``sent`` counts records by topic.
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
    """Spans of an export that was taken could not be used; their sender was told."""

    name: ClassVar[str] = "spans_rejected"
    level: ClassVar[Level] = "warning"
    source: str
    count: int
    reason: str

    def fields(self) -> Mapping[str, object]:
        """Return who sent them, how many, and why the most of them were rejected."""
        return {"source": self.source, "count": self.count, "reason": self.reason}

    def move(self, _store: Store, _stage: str, /) -> None:
        """They are counted with the spans of their export."""


@dataclass(frozen=True, slots=True)
class ExportAnswered:
    """An export was answered with a status: taken, or refused with a reason."""

    name: ClassVar[str] = "export_answered"
    way: str
    signal: str
    status: int
    reason: str = ""

    @property
    def level(self) -> Level:
        """Warn of what was refused."""
        return "debug" if self.status == 200 else "warning"

    def fields(self) -> Mapping[str, object]:
        """Return how it came, and what was answered."""
        return {"way": self.way, "signal": self.signal, "status": self.status, "reason": self.reason}

    def move(self, store: Store, _stage: str, /) -> None:
        """Count it."""
        store.add(EXPORTS, (self.way, self.signal, str(self.status)))


@dataclass(frozen=True, slots=True)
class SourcesAlive:
    """So many sources have sent spans lately: those that heartbeats vouch for."""

    name: ClassVar[str] = "sources_alive"
    level: ClassVar[Level] = "debug"
    count: int

    def fields(self) -> Mapping[str, object]:
        """Return how many."""
        return {"count": self.count}

    def move(self, store: Store, _stage: str, /) -> None:
        """Set the gauge."""
        store.set(SPAN_SOURCES, (), self.count)
