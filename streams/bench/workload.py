"""The workload: a busy hour on twelve links, with disorder, duplicates, lost answers and one outage.

A dossier is five events: its receipt, and two lookups of a request and a completion each. 200,000 dossiers
come in an hour, evenly; fewer take as much less time, so that the load in event time, and with it the
number of records behind a measurement, stays the same. Heartbeats come on top, as the contract has them.
"""

from collections.abc import Iterator
from typing import Final

from streams.model.record import Record
from streams.simulate.broker import LOOKUP, SUBMISSION, BrokerOrder, partition_of
from streams.simulate.city import Transport
from streams.simulate.draw import lognormal, seeded

EVENTS_PER_DOSSIER: Final = 5
DOSSIERS_AN_HOUR: Final = 200_000
START_MS: Final = 1_686_529_800_000
"""Monday 12 June 2023, 07:30 in Asia/Ho_Chi_Minh: the offices open."""
HOUR_MS: Final = 3_600_000
LINKS: Final = tuple(f"link-{number:02}" for number in range(12))
SERVICES: Final = tuple(f"service-{number:02}" for number in range(25))
AGENCIES: Final = tuple(f"agency-{number:02}" for number in range(40))
OUTAGE_LINK: Final = LINKS[0]
NO_RESPONSE_SHARE: Final = 0.005
TRANSPORT: Final = Transport(disorder=0.5, disorder_up_to_ms=5_000, late=0.0, duplicates=0.01)
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
    """About ``events`` events; `records` yields them in broker order, the same ones for the same numbers.

    Raise ValueError for fewer than one dossier or partition.
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
        self._order = BrokerOrder(TRANSPORT, partitions, seeded(seed, "transport"))
        self._latencies = lognormal(120, 0.6)

    def records(self) -> Iterator[Record]:
        """Yield the records; offsets of each partition ascend from 0 without a gap."""
        next_beat_ms = START_MS
        for number in range(self.dossiers):
            at_ms = START_MS + number * HOUR_MS // DOSSIERS_AN_HOUR
            while next_beat_ms <= at_ms:
                self._order.add_heartbeat(next_beat_ms, HEARTBEAT % next_beat_ms)
                next_beat_ms += 1_000
                yield from self._order.until(at_ms)
            self._dossier(number, at_ms)
        for beat_ms in range(next_beat_ms, self.end_ms + 60_000, 1_000):
            # The hour's last deadlines pass, so that every lookup is decided.
            self._order.add_heartbeat(beat_ms, HEARTBEAT % beat_ms)
        yield from self._order.until(None)

    def _dossier(self, number: int, at_ms: int) -> None:
        random = self._random
        dossier = f"H29-2023-{number:08}"
        key = dossier.encode()
        partition = partition_of(key, self._partitions)
        agency = AGENCIES[int(random() * len(AGENCIES))]
        service = SERVICES[int(random() * len(SERVICES))]
        received = _SUBMISSION % (dossier, at_ms, dossier, agency, service)
        self._order.add(SUBMISSION, partition, key, at_ms, received)
        for turn in (1, 2):
            link = LINKS[int(random() * len(LINKS))]
            asked_ms = at_ms + turn * 400
            shared = (dossier, turn, link, agency, service)
            requested = _lookup("requested", asked_ms, "", *shared)
            self._order.add(LOOKUP, partition, key, asked_ms, requested)
            if random() < NO_RESPONSE_SHARE:
                continue
            if link == OUTAGE_LINK and self.outage[0] <= asked_ms < self.outage[1]:
                outcome, answered_ms = "timeout", asked_ms + 10_000
            else:
                outcome, answered_ms = "ok", asked_ms + self._latencies[int(random() * 1024)]
            completed = _lookup("completed", answered_ms, f',"outcome":"{outcome}"', *shared)
            self._order.add(LOOKUP, partition, key, answered_ms, completed)


def _lookup(step: str, at_ms: int, outcome: str, dossier: str, turn: int, link: str, *office: str) -> str:
    event = turn * 2 + (step == "completed")
    return _LOOKUP % (dossier, event, step, at_ms, dossier, turn, dossier, link, *office, outcome)
