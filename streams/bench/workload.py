"""The workload: a busy hour on twelve links, with disorder, duplicates, lost answers and one outage.

A dossier is five events: its receipt, and two lookups with a request and a completion each. 200,000 dossiers
arrive evenly within an hour; fewer take proportionally less time, so that the load in event time, and with it
the number of records per measurement, stays the same. Heartbeats are added as the contract requires.
"""

from collections.abc import Iterator
from random import Random
from typing import Final
from zlib import crc32

from streams.model.record import Record
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.simulate.draw import lognormal, seeded

EVENTS_PER_DOSSIER: Final = 5
DOSSIERS_AN_HOUR: Final = 200_000
START_MS: Final = 1_686_529_800_000
"""Monday 12 June 2023, 07:30 in Asia/Ho_Chi_Minh, when the offices open."""
HOUR_MS: Final = 3_600_000
LINKS: Final = tuple(f"link-{number:02}" for number in range(12))
SERVICES: Final = tuple(f"service-{number:02}" for number in range(25))
AGENCIES: Final = tuple(f"agency-{number:02}" for number in range(40))
OUTAGE_LINK: Final = LINKS[0]
NO_RESPONSE_SHARE: Final = 0.005
DUPLICATE_SHARE: Final = 0.01
DISORDER_SHARE: Final = 0.5
DISORDER_UP_TO_MS: Final = 5_000
HEARTBEAT: Final = (
    '{"type":"observer.heartbeat","occurred_at_ms":%d,"observer":"portal","links":['
    + ",".join(f'"{link}"' for link in LINKS)
    + "]}"
)
_SUBMISSION: Final = (
    '{"event_id":"%s-s","type":"submission.received","occurred_at_ms":%d,"dossier_id":"%s",'
    '"portal":"city-portal","agency":"%s","service":"%s","channel":"online"}'
)
_LOOKUP: Final = (
    '{"event_id":"%s-%d","type":"lookup.%s","occurred_at_ms":%d,"lookup_id":"%s-%d","dossier_id":"%s",'
    '"link":"%s","agency":"%s","service":"%s","attempt":1,"observer":"portal"%s}'
)


class Workload:
    """About ``events`` events; `records` yields them in broker order, equal for equal arguments.

    Raises ValueError for fewer than one dossier or partition.
    """

    def __init__(self, events: int, partitions: int, seed: int = 20_230_612) -> None:
        if events < EVENTS_PER_DOSSIER or partitions < 1:
            raise ValueError(f"at least {EVENTS_PER_DOSSIER} events and one partition, not {events}")
        self.dossiers = events // EVENTS_PER_DOSSIER
        self.end_ms = START_MS + self.dossiers * HOUR_MS // DOSSIERS_AN_HOUR + 1
        length_ms = self.end_ms - START_MS
        self.outage = (START_MS + length_ms // 3, START_MS + length_ms // 3 + length_ms // 6)
        """``[start, end)`` in request time: ten minutes of a full hour."""
        self._partitions = partitions
        self._random = seeded(seed, "bench").random
        self._log = _Log(partitions, seeded(seed, "transport"))
        self._latencies = lognormal(120, 0.6)

    def records(self) -> Iterator[Record]:
        """Yield the records; offsets of each partition ascend from 0 without a gap."""
        next_beat_ms = START_MS
        for number in range(self.dossiers):
            at_ms = START_MS + number * HOUR_MS // DOSSIERS_AN_HOUR
            while next_beat_ms <= at_ms:
                self._log.add_everywhere(next_beat_ms, HEARTBEAT % next_beat_ms)
                yield from self._log.before_second_of(next_beat_ms)
                next_beat_ms += 1_000
            self._dossier(number, at_ms)
        for beat_ms in range(next_beat_ms, self.end_ms + 60_000, 1_000):
            # Continue until the last deadlines have passed, so that every lookup is decided.
            self._log.add_everywhere(beat_ms, HEARTBEAT % beat_ms)
        yield from self._log.before_second_of(self.end_ms + 3_600_000)

    def _dossier(self, number: int, at_ms: int) -> None:
        random = self._random
        dossier = f"H29-2023-{number:08}"
        agency = AGENCIES[int(random() * len(AGENCIES))]
        service = SERVICES[int(random() * len(SERVICES))]
        received = _SUBMISSION % (dossier, at_ms, dossier, agency, service)
        self._log.add(SUBMISSIONS, dossier, at_ms, received)
        for turn in (1, 2):
            link = LINKS[int(random() * len(LINKS))]
            asked_ms = at_ms + turn * 400
            shared = (dossier, turn, link, agency, service)
            self._log.add(LOOKUPS, dossier, asked_ms, _lookup("requested", asked_ms, "", *shared))
            if random() < NO_RESPONSE_SHARE:
                continue
            if link == OUTAGE_LINK and self.outage[0] <= asked_ms < self.outage[1]:
                outcome, answered_ms = "timeout", asked_ms + 10_000
            else:
                outcome, answered_ms = "ok", asked_ms + self._latencies[int(random() * 1024)]
            completed = _lookup("completed", answered_ms, f',"outcome":"{outcome}"', *shared)
            self._log.add(LOOKUPS, dossier, answered_ms, completed)


def _lookup(step: str, at_ms: int, outcome: str, dossier: str, turn: int, link: str, *office: str) -> str:
    event = turn * 2 + (step == "completed")
    return _LOOKUP % (dossier, event, step, at_ms, dossier, turn, dossier, link, *office, outcome)


class _Log:
    """Turns events into records in order of log time: at once, up to five seconds late, or twice."""

    def __init__(self, partitions: int, rng: Random) -> None:
        self._partitions, self._random = partitions, rng.random
        self._seconds: dict[int, list[tuple[int, str, int, bytes | None, bytes]]] = {}
        self._offsets = {(topic, at): 0 for topic in (SUBMISSIONS, LOOKUPS) for at in range(partitions)}
        self._next_second = START_MS // 1_000

    def add(self, topic: str, dossier: str, at_ms: int, value: str) -> None:
        """Log an event shortly after it happened, or out of order; sometimes twice."""
        random, key = self._random, dossier.encode()
        logged_ms = at_ms + int(random() * (DISORDER_UP_TO_MS if random() < DISORDER_SHARE else 50))
        self._put(logged_ms, topic, crc32(key) % self._partitions, key, value.encode())
        if random() < DUPLICATE_SHARE:
            again_ms = logged_ms + int(random() * DISORDER_UP_TO_MS)
            self._put(again_ms, topic, crc32(key) % self._partitions, key, value.encode())

    def add_everywhere(self, at_ms: int, value: str) -> None:
        """Log a heartbeat into every partition of both topics."""
        for topic, partition in self._offsets:
            self._put(at_ms + int(self._random() * 50), topic, partition, None, value.encode())

    def _put(self, logged_ms: int, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        self._seconds.setdefault(logged_ms // 1_000, []).append((logged_ms, topic, partition, key, value))

    def before_second_of(self, at_ms: int) -> Iterator[Record]:
        """Yield records logged before the second of ``at_ms``, after which nothing can be added there."""
        while self._seconds and self._next_second < at_ms // 1_000:
            second = self._seconds.pop(self._next_second, [])
            self._next_second += 1
            for logged_ms, topic, partition, key, value in sorted(second, key=lambda one: one[0]):
                offset = self._offsets[topic, partition]
                self._offsets[topic, partition] = offset + 1
                yield Record(topic, partition, offset, logged_ms, key, value)
