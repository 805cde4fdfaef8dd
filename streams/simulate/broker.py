"""From events to records in broker order.

A record is logged a little after its event: most within milliseconds, some up to five seconds out of order,
a few minutes late, some twice. Records wait here in one bucket per second of log time; once the simulation's
clock has passed a second nothing can be logged in it any more, and its bucket is sorted and let go. So the
log's time never runs backwards, and memory holds only what is under way.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from random import Random
from typing import Final
from zlib import crc32

from streams.model.events import LOOKUPS, SUBMISSIONS
from streams.model.record import Record
from streams.simulate.city import Transport
from streams.simulate.draw import exponential

TOPICS: Final = (SUBMISSIONS, LOOKUPS)
SUBMISSION, LOOKUP = 0, 1

_Entry = tuple[int, int, int, int, bytes | None, str]


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key: its CRC-32 modulo the number of partitions."""
    return crc32(key) % partitions


class BrokerOrder:
    """Takes events as they happen and gives them back as records, in the order of their log time.

    ``counts`` says what happened on the way.
    """

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
        self._buckets: dict[int, list[_Entry]] = {}
        self._sequence = 0
        self._seconds: list[int] = []
        self._offsets = [[0] * partitions for _ in TOPICS]
        self.counts = {"events": 0, "heartbeats": 0, "late": 0, "disordered": 0, "duplicate": 0}

    def add(self, topic: int, partition: int, key: bytes, at_ms: int, value: str) -> None:
        """Log an event's record some time after ``at_ms``."""
        self.counts["events"] += 1
        chance = self._random()
        spread = self._random()
        if chance >= self._disorder_below:
            logged = at_ms + self._delays[int(spread * 1024)]
            if chance >= self._duplicate_from:
                self.counts["duplicate"] += 1
                repeated = logged + self._repeats[int(self._random() * 1024)]
                self._put(repeated, topic, partition, key, value)
        elif chance >= self._late_below:
            self.counts["disordered"] += 1
            logged = at_ms + 1 + int(spread * self._disorder_up_to_ms)
        else:
            self.counts["late"] += 1
            logged = at_ms + 10_000 + int(spread * self._late_up_to_ms)
        self._put(logged, topic, partition, key, value)

    def add_heartbeat(self, at_ms: int, value: str) -> None:
        """Log a heartbeat into every partition of both topics."""
        self.counts["heartbeats"] += 2 * self._partitions
        for topic in (SUBMISSION, LOOKUP):
            for partition in range(self._partitions):
                logged = at_ms + self._delays[int(self._random() * 1024)]
                self._put(logged, topic, partition, None, value)

    def _put(self, logged: int, topic: int, partition: int, key: bytes | None, value: str) -> None:
        self._sequence += 1
        entry = (logged, self._sequence, topic, partition, key, value)
        second = logged // 1000
        bucket = self._buckets.get(second)
        if bucket is None:
            self._buckets[second] = [entry]
            heappush(self._seconds, second)
        else:
            bucket.append(entry)

    def until(self, at_ms: int | None) -> Iterator[Record]:
        """Yield what was logged before the second of ``at_ms``; everything if it is None."""
        seconds, buckets, offsets = self._seconds, self._buckets, self._offsets
        limit = float("inf") if at_ms is None else at_ms // 1000
        new = tuple.__new__  # a third of the time of the named tuple's own constructor
        while seconds and seconds[0] < limit:
            bucket = buckets.pop(heappop(seconds))
            if len(bucket) > 1:
                bucket.sort()
            for logged, _, topic, partition, key, value in bucket:
                offset = offsets[topic][partition]
                offsets[topic][partition] = offset + 1
                yield new(Record, (TOPICS[topic], partition, offset, logged, key, value.encode()))
