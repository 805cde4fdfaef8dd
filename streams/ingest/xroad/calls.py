"""Makes calls from X-Road records: drops repeats, determines sides, and pairs the two sides of a call.

The result depends only on the set of records, not on their order or on how they are divided into files.

1. Records with the same `xRequestId` and side are one if they began in the same millisecond: the fullest is
kept, the others repeat it. Those that began at other times are separate calls: an id may be reused. 2. The
two sides of one `xRequestId` are a call if the requests came within an hour, and parties and service do not
contradict each other; nearest first. 3. Records without an id are the same if their contents are. 4. Records
still alone, at least one of them without an `xRequestId`, are paired by `messageId`, parties and service,
nearest first, if the two requests came within a minute: callers reuse message ids. 5. A record that does not
name its side takes the one left over in its call; of two such records the earlier is the consumer's. Alone,
it takes the side of all other records of its server, otherwise the consumer's.

A party is named by member and subsystem, preceded by instance and class if its member code occurs with
several instances or classes among these records.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop
from typing import Final

from msgspec import Struct, structs

from streams.ingest.values import UNKNOWN, fit
from streams.ingest.xroad.record import (
    METASERVICE_MARK,
    NAME_LENGTH,
    Party,
    Side,
    XRoadRecord,
    is_metaservice,
)

PAIRING_WINDOW_MS: Final = 60_000
"""How far apart the requests of two sides may be; real clocks differ by tens of milliseconds."""
SAME_ID_WINDOW_MS: Final = 3_600_000
"""The same for two sides with a common request id: a clock may be wrong, but a day apart are two calls."""
NESTING_TOLERANCE_MS: Final = 1_000
NEIGHBOURS: Final = 16
"""Only this many successors in time are candidates, in case all records have the same message id."""


class Names:
    """The names of the parties of an import."""

    def __init__(self, parties: Iterable[Party]) -> None:
        instances: defaultdict[str, set[str]] = defaultdict(set)
        classes: defaultdict[str, set[str]] = defaultdict(set)
        for party in parties:
            instances[party.member].add(party.instance)
            classes[party.member].add(party.member_class)
        self._several = {
            member for known in (instances, classes) for member, seen in known.items() if len(seen - {""}) > 1
        }
        self._names: dict[Party, str] = {}

    def of(self, party: Party) -> str:
        """Return a party's name, `unknown` if nothing is known of it."""
        name = self._names.get(party)
        if name is None:
            told = "/".join(filter(None, party)) if party.member in self._several else party.short
            name = self._names[party] = fit(told, NAME_LENGTH)
        return name


class Call(Struct, frozen=True, gc=False):
    """One call, recorded by its consumer's gateway, its provider's, or both."""

    client: XRoadRecord | None
    producer: XRoadRecord | None
    names: Names
    id_reused: bool = False

    @property
    def first(self) -> XRoadRecord:
        """The consumer's record, or the provider's if that is the only one."""
        record = self.client or self.producer
        assert record is not None
        return record

    @property
    def link(self) -> str:
        """`consumer > provider`, with a mark for X-Road's own services."""
        provider = self._party("provider")
        mark = METASERVICE_MARK if is_metaservice(self.service) else ""
        return f"{self.consumer} > {provider}{mark}"

    @property
    def consumer(self) -> str:
        """Member and subsystem that sent the request."""
        return self._party("consumer")

    @property
    def service(self) -> str:
        """The requested service and version."""
        service = self.first.service
        return service if service != UNKNOWN or self.producer is None else self.producer.service

    def records(self) -> Iterator[XRoadRecord]:
        """Yield the records of the known sides, the consumer's first."""
        yield from (record for record in (self.client, self.producer) if record is not None)

    def _party(self, name: str) -> str:
        party: Party = getattr(self.first, name)
        # A call that failed early leaves fields out on one side.
        if not party.member and self.producer is not None:
            party = getattr(self.producer, name)
        return self.names.of(party)

    def request_network_ms(self) -> int | None:
        """Return the request's time between the gateways; clock skew can make it negative."""
        if self.client is None or self.producer is None or self.client.request_out_ms is None:
            return None
        return self.producer.request_in_ms - self.client.request_out_ms

    def response_network_ms(self) -> int | None:
        """Return the answer's time between the gateways; clock skew can make it negative."""
        if self.client is None or self.producer is None or self.client.response_in_ms is None:
            return None
        return self.client.response_in_ms - self.producer.response_out_ms


class CallBook(Struct, frozen=True):
    """The calls of an import, and counts of how they were found.

    ``ids_reused`` counts the request ids with more than one call.
    """

    calls: list[Call]
    duplicates: int
    sides_inferred: int
    paired_by_message_id: int
    ids_reused: int


def pair_records(records: Iterable[XRoadRecord]) -> CallBook:
    """Return the calls made from the records."""
    by_request: defaultdict[str, list[XRoadRecord]] = defaultdict(list)
    without: dict[bytes, XRoadRecord] = {}
    count = untyped = 0
    roles: defaultdict[str, Counter[Side]] = defaultdict(Counter)
    parties: set[Party] = set()
    for record in records:
        count += 1
        untyped += record.side is None
        parties |= {record.consumer, record.provider}
        if record.side is not None:
            roles[record.server][record.side] += 1
        if record.request_id:
            by_request[record.request_id].append(record)
        else:
            key = record.fingerprint(with_side=False)
            if key not in without or without[key].side is None:
                without[key] = record
    maker = _Maker(Names(parties), roles)
    alone = list(without.values())
    reused: set[str] = set()
    for request_id, group in by_request.items():
        kept = _distinct(group) if len(group) > 1 else group
        pairs, left = maker.paired(kept, same_id=True)
        if len(pairs) + len(left) > 1:
            reused.add(request_id)
        maker.calls += pairs
        alone += left
    by_message = 0
    for group in _by_message(alone):
        pairs, left = maker.paired(group, same_id=False)
        by_message += len(pairs)
        maker.calls += pairs
        maker.calls += map(maker.single, left)
    calls = maker.calls
    if reused:
        calls = [
            structs.replace(call, id_reused=True) if call.first.request_id in reused else call
            for call in calls
        ]
    calls.sort(key=_order)
    used = sum(sum(1 for _ in call.records()) for call in calls)
    return CallBook(calls, count - used, untyped, by_message, len(reused))


def _order(call: Call) -> tuple[int, bytes]:
    return call.first.request_in_ms, call.first.fingerprint()


def _distinct(group: list[XRoadRecord]) -> list[XRoadRecord]:
    """Return the records of one request id without repeats."""
    group = sorted(group, key=lambda record: (-record.known_fields, record.fingerprint()))
    typed: dict[tuple[Side, int], XRoadRecord] = {}
    for record in group:
        if record.side is not None:
            typed.setdefault((record.side, record.request_in_ms), record)
    said = {(record.request_in_ms, record.server) for record in group if record.side is not None}
    untyped: dict[tuple[int, str], XRoadRecord] = {}
    for record in group:
        key = record.request_in_ms, record.server
        if record.side is None and key not in said:
            untyped.setdefault(key, record)
    return [*typed.values(), *untyped.values()]


def _by_message(alone: list[XRoadRecord]) -> Iterable[list[XRoadRecord]]:
    groups: defaultdict[tuple[str, ...], list[XRoadRecord]] = defaultdict(list)
    for number, record in enumerate(alone):
        key: tuple[str, ...]
        if record.message_id:
            key = record.message_id, record.consumer.short, record.provider.short, record.service
        else:
            key = (str(number),)
        groups[key].append(record)
    return groups.values()


class _Maker:
    """Makes calls from records."""

    def __init__(self, names: Names, roles: dict[str, Counter[Side]]) -> None:
        self._names, self._roles = names, roles
        self.calls: list[Call] = []

    def single(self, record: XRoadRecord) -> Call:
        """Return the call of a record that is alone, determining its side if it names none."""
        side = record.side
        if side is None:
            seen = self._roles.get(record.server, Counter())
            side = "producer" if seen["producer"] and not seen["client"] else "client"
        record = _as(record, side)
        return Call(record, None, self._names) if side == "client" else Call(None, record, self._names)

    def paired(self, group: list[XRoadRecord], *, same_id: bool) -> tuple[list[Call], list[XRoadRecord]]:
        """Return the calls made by pairing records, nearest first, and the records left over."""
        if len(group) == 1:
            return [], group
        group = sorted(group, key=lambda record: (record.request_in_ms, record.fingerprint()))
        candidates = [
            (abs(group[b].request_in_ms - group[a].request_in_ms), a, b)
            for a in range(len(group))
            for b in range(a + 1, min(a + 1 + NEIGHBOURS, len(group)))
            if (_may_share_id if same_id else _may_pair)(group[a], group[b])
        ]
        heapify(candidates)
        taken: set[int] = set()
        pairs = []
        while candidates:
            _, a, b = heappop(candidates)
            if not taken & {a, b}:
                taken |= {a, b}
                swap = group[a].side == "producer" or group[b].side == "client"
                client, producer = (group[b], group[a]) if swap else (group[a], group[b])
                pairs.append(Call(_as(client, "client"), _as(producer, "producer"), self._names))
        return pairs, [record for at, record in enumerate(group) if at not in taken]


def _as(record: XRoadRecord, side: Side) -> XRoadRecord:
    return record if record.side == side else structs.replace(record, side=side)


def _may_pair(earlier: XRoadRecord, later: XRoadRecord) -> bool:
    if earlier.request_id and later.request_id:
        return False
    if later.request_in_ms - earlier.request_in_ms > PAIRING_WINDOW_MS:
        return False
    if earlier.side is not None and later.side is not None:
        return earlier.side != later.side
    # If a side is guessed, the provider's times must lie within the consumer's.
    return later.response_out_ms <= earlier.response_out_ms + NESTING_TOLERANCE_MS


def _may_share_id(earlier: XRoadRecord, later: XRoadRecord) -> bool:
    if later.request_in_ms - earlier.request_in_ms > SAME_ID_WINDOW_MS:
        return False
    if earlier.side is not None and earlier.side == later.side:
        return False
    told = (
        (earlier.service.replace(UNKNOWN, ""), later.service.replace(UNKNOWN, "")),
        (earlier.consumer.short, later.consumer.short),
        (earlier.provider.short, later.provider.short),
    )
    return all(not one or not other or one == other for one, other in told)
