"""Turns events into records in broker order.

A record is logged shortly after its event: most within milliseconds, some up to five seconds out of order, a
few minutes late, some twice. Records wait here in one list that is nearly in order. Once the simulation's
clock has passed a second, nothing more can be logged in it: the list is sorted, and everything up to there is
released. So the log's time never goes back, and memory holds only records in flight.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from math import floor
from operator import itemgetter
from random import Random
from typing import Final

import msgspec

from streams.model.record import Record
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.model.wire import Event, Heartbeat, Line
from streams.simulate.draw import TABLE_SIZE, exponential
from streams.simulate.scenario import Transport

TOPICS: Final = (SUBMISSIONS, LOOKUPS)

Entry = tuple[int, int, str | None, Event]
"""Log time, place (number of a topic's partition), key, value."""
_encoder: Final = msgspec.json.Encoder()
_logged = itemgetter(0)


class BrokerOrder:
    """Takes events as they happen and returns them in order of log time.

    A place is a partition of a topic: first those of submissions, from ``lookups_from`` on those of lookups.
    """

    def __init__(self, transport: Transport, partitions: int, rng: Random) -> None:
        self._random = rng.random
        self._late_up_to_ms = round(transport.late_up_to_minutes * 60_000)
        self._disorder_up_to_ms = transport.disorder_up_to_ms
        self._late_below = transport.late
        self._disorder_below = transport.late + transport.disorder
        self._duplicate_from = 1 - transport.duplicates
        self._late_beats = transport.late_heartbeats
        self._delays = exponential(transport.delay_ms)
        self._repeats = exponential(1_500)
        self._waiting: list[Entry] = []
        self._put = self._waiting.append
        self.lookups_from = partitions
        self._places = [(topic, partition) for topic in TOPICS for partition in range(partitions)]
        self._offsets = [0] * len(self._places)
        self._counts = {"heartbeats": 0, "late": 0, "disordered": 0, "duplicate": 0}

    def counts(self) -> dict[str, int]:
        """Return the counts so far: events, heartbeats, and late, disordered and duplicate events."""
        events = sum(self._offsets) - self._counts["heartbeats"] - self._counts["duplicate"]
        return {"events": events, **self._counts}

    def add(self, place: int, key: str, at_ms: int, value: Event) -> None:
        """Log an event's record some time after ``at_ms``, in the partition at ``place``."""
        random = self._random
        chance = random()
        if chance >= self._disorder_below:
            logged = at_ms + self._delays[floor(random() * TABLE_SIZE)]
            if chance >= self._duplicate_from:
                self._counts["duplicate"] += 1
                repeated = logged + self._repeats[floor(random() * TABLE_SIZE)]
                self._put((repeated, place, key, value))
        elif chance >= self._late_below:
            self._counts["disordered"] += 1
            logged = at_ms + 1 + floor(random() * self._disorder_up_to_ms)
        else:
            self._counts["late"] += 1
            logged = at_ms + 10_000 + floor(random() * self._late_up_to_ms)
        self._put((logged, place, key, value))

    def add_heartbeat(self, at_ms: int, value: Heartbeat) -> None:
        """Log a heartbeat into every partition of both topics."""
        random, delays = self._random, self._delays
        self._counts["heartbeats"] += len(self._places)
        for place in range(len(self._places)):
            late_ms = 5_000 + floor(random() * 15_000) if random() < self._late_beats else 0
            self._put((at_ms + late_ms + delays[floor(random() * TABLE_SIZE)], place, None, value))

    def __len__(self) -> int:
        """Return the number of waiting records."""
        return len(self._waiting)

    def until(self, at_ms: int | None) -> list[Entry]:
        """Return the entries logged before the second of ``at_ms``; all of them if it is None.

        Entries logged in the same millisecond stay in the order in which they were added. Pass the entries to
        `records` or `lines` in the order in which they are returned.
        """
        waiting = self._waiting
        waiting.sort(key=_logged)
        end = len(waiting) if at_ms is None else bisect_left(waiting, at_ms - at_ms % 1000, key=_logged)
        entries = waiting[:end]
        del waiting[:end]
        return entries

    def records(self, entries: Iterable[Entry]) -> Iterator[Record]:
        """Yield entries as records, each with the next offset of its partition."""
        new = tuple.__new__  # takes a third of the time of the named tuple's constructor
        places, offsets, encode = self._places, self._offsets, _encoder.encode
        for logged, place, key, value in entries:
            offset = offsets[place]
            offsets[place] = offset + 1
            data = None if key is None else key.encode()
            yield new(Record, (*places[place], offset, logged, data, encode(value)))

    def lines(self, entries: Iterable[Entry]) -> bytes:
        """Return entries as lines of a log file, like `encode_line`, but without its check of values."""
        places, offsets = self._places, self._offsets
        lines: list[Line] = []
        for logged, place, key, value in entries:
            offset = offsets[place]
            offsets[place] = offset + 1
            topic, partition = places[place]
            lines.append(Line(topic, partition, offset, logged, key, value))
        return _encoder.encode_lines(lines)
