"""Sorts events of calls by event time, and makes log records of them.

Theory. A gateway logs a call when it ends, so a log is nearly in order of ends, and a call's request is
earlier by the call's duration. A log of events needs the order of event time. So events are held back until
nothing earlier can come: until an end has been seen that is later by ``hold_ms``, the longest duration of a
call plus the disorder of lines. Memory holds only that much, whatever the size of the input. An event that
comes even later is passed on at once and counted as late, as it would be on a broker.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Final
from zlib import crc32

import msgspec

from streams.ingest.mapping.mapper import Event
from streams.model.record import Record
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.model.wire import Heartbeat, Line, Lookup

SPAN_MS: Final = 1_000
DISORDER_MS: Final = 5_000
"""How far lines may be out of order: gateways write in blocks, and several processes write to one file."""
NOTHING_YET: Final = -(1 << 62)

_encoder: Final = msgspec.json.Encoder()

Entry = tuple[int, bool, str, Event]
"""An event with its sort key: event time, whether it is the end of a call, its id; then the event."""


_PLACE: Final = itemgetter(0, 1, 2)


def entry_of(event: Event) -> Entry:
    """Return an event with its sort key; at equal times a call's start sorts before its end."""
    event_id = event.event_id
    return event.occurred_at_ms, event_id[-1] == "c", event_id, event


class TimeOrder:
    """Takes events in roughly the right order and returns them in order of event time."""

    def __init__(self, hold_ms: int) -> None:
        self._hold_ms = hold_ms
        self._spans: dict[int, list[Entry]] = {}
        self._released_ms = NOTHING_YET
        self._next_ms = NOTHING_YET
        self.reached_ms = NOTHING_YET
        """The latest event time."""
        self.late = 0
        """The number of events that came after later ones had been returned."""

    def add(self, events: Iterable[Event]) -> None:
        """Add the events of a call."""
        spans = self._spans
        for event in events:
            entry = entry_of(event)
            at_ms = entry[0]
            self.reached_ms = max(self.reached_ms, at_ms)
            self.late += at_ms < self._released_ms
            span = at_ms // SPAN_MS
            if span in spans:
                spans[span].append(entry)
            else:
                spans[span] = [entry]

    @property
    def earliest_ms(self) -> int | None:
        """The whole second of the earliest event held, None if there is none."""
        return min(self._spans) * SPAN_MS if self._spans else None

    @property
    def is_due(self) -> bool:
        """Whether `due` may yield anything."""
        return self.reached_ms >= self._next_ms

    def due(self) -> Iterator[Entry]:
        """Yield, in order, the events before which nothing can come any more."""
        return self.until(self.reached_ms - self._hold_ms)

    def until(self, before_ms: int | None) -> Iterator[Entry]:
        """Yield, in order, the events of all whole seconds before a time; all events if it is None."""
        spans = self._spans
        last = max(spans, default=0) + 1 if before_ms is None else before_ms // SPAN_MS
        self._next_ms = (last + 1) * SPAN_MS + self._hold_ms
        for span in sorted(span for span in spans if span < last):
            entries = spans.pop(span)
            entries.sort(key=_PLACE)  # of a line that stands there twice the events are alike
            self._released_ms = max(self._released_ms, (span + 1) * SPAN_MS)
            yield from entries


class Log:
    """Assigns partitions and offsets. A dossier's events share a partition, by the CRC-32 of its id.

    ``logged_at_ms`` is the event time, but never decreases.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._offsets = {topic: [0] * partitions for topic in (LOOKUPS, SUBMISSIONS)}
        self._logged_ms = NOTHING_YET
        self.submissions = False
        """Whether there were any submissions."""

    def lines(self, entries: Iterable[Entry]) -> bytes:
        """Return events as lines of a log file."""
        lines: list[Line] = []
        offsets, partitions, logged_ms = self._offsets, self._partitions, self._logged_ms
        for at_ms, _, _, event in entries:
            logged_ms = max(logged_ms, at_ms)
            topic = LOOKUPS if type(event) is Lookup else SUBMISSIONS
            key = event.dossier_id
            partition = crc32(key.encode()) % partitions
            numbers = offsets[topic]
            lines.append(Line(topic, partition, numbers[partition], logged_ms, key, event))
            numbers[partition] += 1
            self.submissions = self.submissions or topic is SUBMISSIONS
        self._logged_ms = logged_ms
        return _encoder.encode_lines(lines)

    def records(self, entries: Iterable[Entry]) -> Iterator[Record]:
        """Yield events as records of topics."""
        for at_ms, _, _, event in entries:
            self._logged_ms = max(self._logged_ms, at_ms)
            topic = LOOKUPS if isinstance(event, Lookup) else SUBMISSIONS
            self.submissions = self.submissions or topic is SUBMISSIONS
            key = event.dossier_id.encode()
            partition = crc32(key) % self._partitions
            yield self._record(topic, partition, self._logged_ms, key, _encoder.encode(event))

    def heartbeats(
        self, at_ms: int, links: list[str], interval_ms: int | None = None, event_id: str | None = None
    ) -> Iterator[Record]:
        """Yield a heartbeat for each partition of the lookups, and of the submissions if there were any."""
        beat = Heartbeat("observer.heartbeat", at_ms, "portal", links, interval_ms, event_id)
        value = _encoder.encode(beat)
        self._logged_ms = max(self._logged_ms, at_ms)
        for topic in (LOOKUPS, SUBMISSIONS) if self.submissions else (LOOKUPS,):
            for partition in range(self._partitions):
                yield self._record(topic, partition, self._logged_ms, None, value)

    def _record(self, topic: str, partition: int, at_ms: int, key: bytes | None, value: bytes) -> Record:
        offset = self._offsets[topic][partition]
        self._offsets[topic][partition] = offset + 1
        return Record(topic, partition, offset, at_ms, key, value)
