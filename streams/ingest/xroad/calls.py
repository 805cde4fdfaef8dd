"""Calls out of X-Road records: repeats dropped, sides told, the two sides of a call brought together.

The result depends on the set of records alone, not on their order or on how files cut them up.

1. Records with the same `xRequestId` are one call: the fullest record of each side stays, others repeat it.
2. Records without one are the same where they say the same.
3. What is still alone, with at least one `xRequestId` missing, is paired by `messageId`, parties and service,
   nearest first, if the two requests came within a minute: callers reuse message ids.
4. A record that does not name its side takes the one left over in its call; of two such the earlier is the
   consumer's. Alone, it takes the side that all other records of its server have, else the consumer's.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop

from msgspec import Struct, structs

from streams.ingest.xroad.record import METASERVICE_MARK, UNKNOWN, Side, XRoadRecord, is_metaservice

PAIRING_WINDOW_MS = 60_000
"""How far apart the requests of two sides may be; real clocks differ by tens of milliseconds."""
NESTING_TOLERANCE_MS = 1_000
NEIGHBOURS = 16
"""With one message id for everything, only so many followers in time are looked at."""


class Call(Struct, frozen=True, gc=False):
    """One call, seen by its consumer's gateway, its provider's, or both."""

    client: XRoadRecord | None
    producer: XRoadRecord | None

    @property
    def first(self) -> XRoadRecord:
        """The consumer's record, or the provider's where it is alone."""
        record = self.client or self.producer
        assert record is not None
        return record

    @property
    def link(self) -> str:
        """`consumer > provider`, X-Road's own services marked apart."""
        consumer, provider = self._known("consumer"), self._known("provider")
        mark = METASERVICE_MARK if is_metaservice(self.service) else ""
        return f"{consumer} > {provider}{mark}"

    @property
    def consumer(self) -> str:
        """Member and subsystem that asked."""
        return self._known("consumer")

    @property
    def service(self) -> str:
        """Service and version that was asked for."""
        return self._known("service")

    def records(self) -> Iterator[XRoadRecord]:
        """Yield the record of each side there is, the consumer's first."""
        yield from (record for record in (self.client, self.producer) if record is not None)

    def _known(self, name: str) -> str:
        value: str = getattr(self.first, name)
        # A call that failed early leaves fields out on one side.
        return value if value != UNKNOWN or self.producer is None else getattr(self.producer, name)

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
    """The calls of an import, and how many records did not make one of their own."""

    calls: list[Call]
    duplicates: int
    sides_inferred: int
    paired_by_message_id: int


def pair_records(records: Iterable[XRoadRecord]) -> CallBook:
    """Return the calls that the records tell of."""
    by_request: defaultdict[str, list[XRoadRecord]] = defaultdict(list)
    without: dict[bytes, XRoadRecord] = {}
    count = untyped = 0
    roles: defaultdict[str, Counter[Side]] = defaultdict(Counter)
    for record in records:
        count += 1
        untyped += record.side is None
        if record.side is not None:
            roles[record.server][record.side] += 1
        if record.request_id:
            by_request[record.request_id].append(record)
        else:
            key = record.fingerprint(with_side=False)
            if key not in without or without[key].side is None:
                without[key] = record
    paired, alone = [], list(without.values())
    for group in by_request.values():
        kept = _sides_of(group)
        if len(kept) == 2:
            paired.append(Call(*kept))
        else:
            alone += kept
    by_message = _pair_by_message(alone)
    matched = {id(record) for call in by_message for record in call[1]}
    calls = paired + [call for call, _ in by_message]
    calls += [_single(record, roles) for record in alone if id(record) not in matched]
    calls.sort(key=_order)
    used = sum(sum(1 for _ in call.records()) for call in calls)
    return CallBook(calls, count - used, untyped, len(by_message))


def _order(call: Call) -> tuple[int, bytes]:
    return call.first.request_in_ms, call.first.fingerprint()


def _sides_of(group: list[XRoadRecord]) -> list[XRoadRecord]:
    """Return one record a side of the records with one request id: consumer's first."""
    if len(group) == 1:
        return group
    group = sorted(group, key=lambda record: (-record.known_fields, record.fingerprint()))
    sides: dict[Side, XRoadRecord] = {}
    untyped: dict[bytes, XRoadRecord] = {}
    for record in group:
        if record.side is not None:
            sides.setdefault(record.side, record)
    said = {record.fingerprint(with_side=False) for record in sides.values()}
    for record in group:
        key = record.fingerprint(with_side=False)
        if record.side is None and key not in said:
            untyped.setdefault(key, record)
    for record in sorted(untyped.values(), key=lambda record: (record.request_in_ms, record.fingerprint())):
        if "client" not in sides:
            sides["client"] = _as(record, "client")
        elif "producer" not in sides:
            sides["producer"] = _as(record, "producer")
    if len(sides) == 1 and untyped and not said:
        return list(untyped.values())[:1]  # alone after all: which side is asked later
    return [sides[side] for side in ("client", "producer") if side in sides]


def _as(record: XRoadRecord, side: Side) -> XRoadRecord:
    return record if record.side == side else structs.replace(record, side=side)


def _single(record: XRoadRecord, roles: dict[str, Counter[Side]]) -> Call:
    side = record.side
    if side is None:
        seen = roles.get(record.server, Counter())
        side = "producer" if seen["producer"] and not seen["client"] else "client"
    record = _as(record, side)
    return Call(record, None) if side == "client" else Call(None, record)


def _pair_by_message(alone: list[XRoadRecord]) -> list[tuple[Call, tuple[XRoadRecord, XRoadRecord]]]:
    groups: defaultdict[tuple[str, str, str, str], list[XRoadRecord]] = defaultdict(list)
    for record in alone:
        if record.message_id:
            groups[record.message_id, record.consumer, record.provider, record.service].append(record)
    found = []
    for group in groups.values():
        if len(group) > 1:
            found += _nearest_pairs(group)
    return found


def _nearest_pairs(group: list[XRoadRecord]) -> list[tuple[Call, tuple[XRoadRecord, XRoadRecord]]]:
    group = sorted(group, key=lambda record: (record.request_in_ms, record.fingerprint()))
    candidates = [
        (abs(group[b].request_in_ms - group[a].request_in_ms), a, b)
        for a in range(len(group))
        for b in range(a + 1, min(a + 1 + NEIGHBOURS, len(group)))
        if _may_pair(group[a], group[b])
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
            call = Call(_as(client, "client"), _as(producer, "producer"))
            pairs.append((call, (client, producer)))
    return pairs


def _may_pair(earlier: XRoadRecord, later: XRoadRecord) -> bool:
    if earlier.request_id and later.request_id:
        return False
    if later.request_in_ms - earlier.request_in_ms > PAIRING_WINDOW_MS:
        return False
    if earlier.side is not None and later.side is not None:
        return earlier.side != later.side
    # Where a side is guessed, the provider's view must lie within the consumer's.
    return later.response_out_ms <= earlier.response_out_ms + NESTING_TOLERANCE_MS
