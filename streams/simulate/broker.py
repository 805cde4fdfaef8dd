"""From events to records in broker order.

A record is logged a little after its event: most within milliseconds, some up to five seconds out of order,
a few minutes late, some twice. Records wait here in one bucket per second of log time; once the simulation's
clock has passed a second nothing can be logged in it any more, and its bucket is sorted and let go. So the
log's time never runs backwards, and memory holds only what is under way.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from operator import itemgetter
from random import Random
from typing import Final
from zlib import crc32

from streams.model.events import LOOKUPS, SUBMISSIONS
from streams.model.record import Record
from streams.simulate.city import Transport
from streams.simulate.draw import exponential

TOPICS: Final = (SUBMISSIONS, LOOKUPS)
SUBMISSION, LOOKUP = 0, 1

_HEADS: Final = tuple(f'{{"topic":"{topic}","partition":' for topic in TOPICS)

Entry = tuple[int, int, int, str | None, str]
"""Log time, topic (by its place in `TOPICS`), partition, key, value."""
_logged = itemgetter(0)


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key: its CRC-32 modulo the number of partitions."""
    return crc32(key.encode()) % partitions


class BrokerOrder:
    """Takes events as they happen and gives them back in the order of their log time."""

    def __init__(self, transport: Transport, partitions: int, rng: Random) -> None:
        self._partitions = partitions
        self._random = rng.random
        self._late_up_to_ms = round(transport.late_up_to_minutes * 60_000)
        self._disorder_up_to_ms = transport.disorder_up_to_ms
        self._late_below = transport.late
        self._disorder_below = transport.late + transport.disorder
        self._duplicate_from = 1 - transport.duplicates
        self._delays = exponential(transport.delay_ms)
        self._repeats = exponential(1_500)
        self._buckets: dict[int, list[Entry]] = {}
        self._seconds: list[int] = []
        self._offsets = [[0] * partitions for _ in TOPICS]
        self._counts = {"heartbeats": 0, "late": 0, "disordered": 0, "duplicate": 0}

    def counts(self) -> dict[str, int]:
        """Return what went into the log so far: events, heartbeats, and what happened to the events."""
        records = sum(map(sum, self._offsets))
        events = records - self._counts["heartbeats"] - self._counts["duplicate"]
        return {"events": events, **self._counts}

    def add(self, topic: int, partition: int, key: str, at_ms: int, value: str) -> None:
        """Log an event's record some time after ``at_ms``."""
        counts, random = self._counts, self._random
        chance = random()
        if chance >= self._disorder_below:
            logged = at_ms + self._delays[int(random() * 1024)]
            if chance >= self._duplicate_from:
                counts["duplicate"] += 1
                repeated = logged + self._repeats[int(random() * 1024)]
                self._put(repeated, topic, partition, key, value)
        elif chance >= self._late_below:
            counts["disordered"] += 1
            logged = at_ms + 1 + int(random() * self._disorder_up_to_ms)
        else:
            counts["late"] += 1
            logged = at_ms + 10_000 + int(random() * self._late_up_to_ms)
        second = logged // 1000
        try:  # as `_put`, which most records need not be handed to
            self._buckets[second].append((logged, topic, partition, key, value))
        except KeyError:
            self._put(logged, topic, partition, key, value)

    def add_heartbeat(self, at_ms: int, value: str) -> None:
        """Log a heartbeat into every partition of both topics."""
        self._counts["heartbeats"] += 2 * self._partitions
        for topic in (SUBMISSION, LOOKUP):
            for partition in range(self._partitions):
                logged = at_ms + self._delays[int(self._random() * 1024)]
                self._put(logged, topic, partition, None, value)

    def _put(self, logged: int, topic: int, partition: int, key: str | None, value: str) -> None:
        second = logged // 1000
        try:
            self._buckets[second].append((logged, topic, partition, key, value))
        except KeyError:
            self._buckets[second] = [(logged, topic, partition, key, value)]
            heappush(self._seconds, second)

    def until(self, at_ms: int | None) -> list[Entry]:
        """Return what was logged before the second of ``at_ms``; everything if it is None.

        Entries logged in the same millisecond stay in the order in which they were added. They are to be made
        `records` or `lines` in the order in which they are returned.
        """
        seconds, buckets = self._seconds, self._buckets
        limit = float("inf") if at_ms is None else at_ms // 1000
        entries: list[Entry] = []
        while seconds and seconds[0] < limit:
            bucket = buckets.pop(heappop(seconds))
            bucket.sort(key=_logged)
            entries += bucket
        return entries

    def records(self, entries: Iterable[Entry]) -> Iterator[Record]:
        """Yield entries as records, each with the next offset of its partition."""
        new = tuple.__new__  # a third of the time of the named tuple's own constructor
        for (logged, topic, partition, key, value), offset in zip(entries, self._next(entries), strict=True):
            data = None if key is None else key.encode()
            yield new(Record, (TOPICS[topic], partition, offset, logged, data, value.encode()))

    def lines(self, entries: Iterable[Entry]) -> bytes:
        """Return entries as lines of a log file, as `encode_line` makes them; our values need no check."""
        heads, offsets = _HEADS, self._offsets
        lines: list[str] = []
        add = lines.append
        for logged, topic, partition, key, value in entries:
            of_topic = offsets[topic]
            offset = of_topic[partition]
            of_topic[partition] = offset + 1
            name = "null" if key is None else f'"{key}"'
            add(
                f'{heads[topic]}{partition},"offset":{offset},"logged_at_ms":{logged},'
                f'"key":{name},"value":{value}}}\n'
            )
        return "".join(lines).encode()

    def _next(self, entries: Iterable[Entry]) -> Iterator[int]:
        offsets = self._offsets
        for _, topic, partition, _, _ in entries:
            of_topic = offsets[topic]
            offset = of_topic[partition]
            of_topic[partition] = offset + 1
            yield offset
