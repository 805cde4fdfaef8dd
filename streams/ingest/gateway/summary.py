"""Summary of an import of access logs."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from streams.ingest.mapping.mapper import Event
from streams.model.wire import Lookup

MOST_LINKS: Final = 100_000
"""At most this many links are counted by name; a map that yields more is wrong."""


class LogSummary(Struct, frozen=True):
    """The figures of an import; times are in epoch milliseconds.

    ``lines = calls + skipped + rejected``. ``unmatched`` counts the values that no rule of the map matched,
    ``late`` the events that came after later ones had been passed on; ``never_seen`` names the fields of the
    map that no line had.
    """

    lines: int
    calls: int
    skipped: int
    rejected: int
    events: int
    links: dict[str, int]
    outcomes: dict[str, int]
    submissions: dict[str, int]
    unmatched: dict[str, int]
    without_duration: int
    longest_ms: int
    longer_than_timeout: int
    late: int
    never_seen: list[str]
    first_ms: int | None
    last_ms: int | None
    reasons: dict[str, int] = field(default_factory=dict)
    rejects: Sequence[object] = field(default_factory=list)


class Figures:
    """Counts the events of calls; ``timeout_ms`` is the time-out that `longer` compares with."""

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self.links: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.submissions: Counter[str] = Counter()
        self.events = 0
        self.longest_ms = 0
        self.longer = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def count(self, events: list[Event]) -> None:
        """Count the events of one call."""
        self.events += len(events)
        asked_ms, known_ms = events[0].occurred_at_ms, events[-1].occurred_at_ms
        if self.first_ms is None or asked_ms < self.first_ms:
            self.first_ms = asked_ms
        if self.last_ms is None or known_ms > self.last_ms:
            self.last_ms = known_ms
        for event in events:
            if type(event) is not Lookup:
                self.submissions[event.type.removeprefix("submission.")] += 1
            elif event.outcome is not None:
                self.outcomes[event.outcome] += 1
                if event.link in self.links or len(self.links) < MOST_LINKS:
                    self.links[event.link] += 1
            else:
                asked_ms = event.occurred_at_ms
                continue
            took_ms = event.occurred_at_ms - asked_ms
            self.longest_ms = max(self.longest_ms, took_ms)
            self.longer += took_ms > self._timeout_ms
