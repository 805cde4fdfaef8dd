"""Checks one event as the pipeline would, and determines its topic, key and partition.

An event that passes will not become a dead letter through a fault of its own. The key is the dossier, so that
a request and its completion are in one partition and in order. A heartbeat has no key and goes into every
partition of both topics.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from streams.measure.decode import control_in, reason_for
from streams.model.events import (
    Heartbeat,
    LookupCompleted,
    LookupRequested,
    Submission,
)
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS

Event = LookupRequested | LookupCompleted | Submission | Heartbeat

BOTH: Final = (LOOKUPS, SUBMISSIONS)
_LIMITS: Final = MeasureSettings()
_decoder: Final = msgspec.json.Decoder(Event)
_encoder: Final = msgspec.json.Encoder()


class EventError(ValueError):
    """An event that would become a dead letter; the message names the field and never repeats a value."""


class Sendable(NamedTuple):
    """A checked event: the topics it belongs to, its key (None on heartbeats), its value and its time."""

    topics: tuple[str, ...]
    key: bytes | None
    value: bytes
    occurred_at_ms: int

    def partitions(self, topic: str, count: int) -> Iterable[int]:
        """Return the partitions, out of ``count``, that the event goes into."""
        del topic
        return range(count) if self.key is None else (crc32(self.key) % count,)


def checked(event: Mapping[str, Any] | bytes, now_ms: int | None = None) -> Sendable:
    """Check an event, given as a mapping or as JSON text, and return it ready to be sent.

    With ``now_ms``, an event too far ahead of that time is refused too. Raises EventError.

    >>> checked(b'{"type": "observer.heartbeat", "occurred_at_ms": 0, "observer": "portal"}')
    Traceback (most recent call last):
    ...
    streams.emit.wellformed.EventError: wrong_shape: Object missing required field `links`
    """
    value = event.strip() if isinstance(event, bytes) else _encoded(event)
    most_bytes = _LIMITS.max_value_bytes
    try:
        decoded = None if len(value) > most_bytes else _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventError(": ".join(reason_for(value, error, most_bytes))) from error
    if decoded is None:
        raise EventError(": ".join(reason_for(value, None, most_bytes)))
    if name := control_in(decoded):
        raise EventError(f"control_character: `{name}` holds a control character")
    at_ms = decoded.occurred_at_ms
    if at_ms < _LIMITS.earliest_event_ms:
        raise EventError("absurd_time: `occurred_at_ms` is before the year 2000; is it in seconds?")
    if now_ms is not None and at_ms > now_ms + _LIMITS.max_clock_skew_ms:
        raise EventError(
            f"clock_skew: `occurred_at_ms` is {at_ms - now_ms:,} ms ahead of this machine's clock"
        )
    if isinstance(decoded, Heartbeat):
        return Sendable(BOTH, None, value, at_ms)
    topic = LOOKUPS if isinstance(decoded, LookupRequested | LookupCompleted) else SUBMISSIONS
    return Sendable((topic,), decoded.dossier_id.encode(), value, at_ms)


def _encoded(event: Mapping[str, Any]) -> bytes:
    try:
        return _encoder.encode(event)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise EventError(f"not_json: {error}") from error


def records_of(events: Iterable[Sendable], partitions: int) -> Iterator[Record]:
    """Yield checked events as records of a log whose topics have ``partitions`` partitions each.

    Offsets begin at 0; the broker time is the event's own time.
    """
    offsets: dict[tuple[str, int], int] = {}
    for event in events:
        for topic in event.topics:
            for partition in event.partitions(topic, partitions):
                offset = offsets.get((topic, partition), 0)
                offsets[topic, partition] = offset + 1
                yield Record(topic, partition, offset, event.occurred_at_ms, event.key, event.value)
