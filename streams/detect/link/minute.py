"""The slots of one minute of one link, packed once they are old.

A minute is read again only for a late record or a long spell, so with age it shrinks to what those need: for
each slot the counts by second of request, how many answers lie above each step of the latency ladder, and the
lowest hashes of its failed dossiers; for the minute as a whole its latencies, and its failures by service and
agency.
"""

from bisect import bisect_left
from typing import Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from streams.detect.link.facts import add_counts, add_parts, merged
from streams.detect.rule.cusum import RuleState, Verdict
from streams.detect.rule.slowness import coarse
from streams.model.measurement import Histogram, LinkSlot, Part
from streams.model.zstd import compress, plain

MINUTE_MS: Final = 60_000
MINUTE_SKETCH: Final = 128
"""Dossier hashes kept per minute; above that the number is estimated, see `streams.model.sketch`."""

Parts = dict[str, Part]
_Packed = tuple[list[LinkSlot], Histogram, Histogram, Parts, Parts]
_encoder: Final = msgspec.msgpack.Encoder()
_decode_all: Final = msgspec.msgpack.Decoder(_Packed).decode
_decode_slots: Final = msgspec.msgpack.Decoder(tuple[list[LinkSlot], Raw, Raw, Raw, Raw]).decode
_decode_latencies: Final = msgspec.msgpack.Decoder(tuple[Raw, Histogram, Histogram, Raw, Raw]).decode
_decode_parts: Final = msgspec.msgpack.Decoder(tuple[Raw, Raw, Raw, Parts, Parts]).decode
WORTH_COMPRESSING: Final = 800
"""Bytes from which compression saves more than it costs."""


def _encode(minute: _Packed) -> bytes:
    data = _encoder.encode(minute)
    return compress(data, level=3) if len(data) > WORTH_COMPRESSING else data


class Decided(Struct, frozen=True, array_like=True):
    """A verdict, when it was decided, and its edge by request time.

    ``settled_ms`` is the edge once every outcome requested before the decision is known, None until then;
    ``slow`` marks a verdict about slowness. For a recovery, ``trouble`` holds the attempts and failures of
    the spell it ends, up to the start of the evidence of recovery.
    """

    decided_ms: int
    verdict: Verdict
    edge_ms: int
    slow: bool = False
    settled_ms: int | None = None
    trouble: tuple[int, int] = (0, 0)

    @property
    def at_ms(self) -> int:
        """The edge, as best known."""
        return self.edge_ms if self.settled_ms is None else self.settled_ms


class Minute(Struct, array_like=True):
    """One minute: the rule's state before it, its verdicts, and its facts (packed or not).

    ``limit`` is the highest dossier hash up to which the slots' hashes are complete; None: they all are.
    """

    before: RuleState
    attempts: int = 0
    failures: int = 0
    verdicts: list[Decided] = field(default_factory=list)
    slots: list[LinkSlot] = field(default_factory=list)
    latency: Histogram = field(default_factory=dict)
    provider_latency: Histogram = field(default_factory=dict)
    limit: int | None = None
    packed: bytes | None = None
    services: Parts = field(default_factory=dict)
    agencies: Parts = field(default_factory=dict)

    def append(self, slot: LinkSlot) -> None:
        """Add a slot later than all the others; the slot is stored without a copy and never changed."""
        self.slots.append(slot)
        self._sum(slot)

    def merge(self, slot: LinkSlot) -> None:
        """Add a slot anywhere in the minute; its facts are added to the slot already there, if any.

        A packed minute is left unpacked, as more slots and readers are likely to follow.
        """
        if self.packed is not None:
            self.unpack()
        at = bisect_left(self.slots, slot.start_ms, key=_start)
        if at < len(self.slots) and self.slots[at].start_ms == slot.start_ms:
            self.slots[at] = merged(self.slots[at], slot)
        else:
            self.slots.insert(at, slot)
        self._sum(slot)

    def read(self) -> list[LinkSlot]:
        """Return the slots, ascending; their latencies may be coarse."""
        return self.slots if self.packed is None else _decode_slots(plain(self.packed))[0]

    def latencies(self) -> tuple[Histogram, Histogram]:
        """Return the latencies of the whole minute, as the portal and as the provider saw them."""
        if self.packed is None:
            return self.latency, self.provider_latency
        _, latency, provider_latency, _, _ = _decode_latencies(plain(self.packed))
        return latency, provider_latency

    def parts(self) -> tuple[Parts, Parts]:
        """Return the facts by service and by agency; times are in ms after the minute's start."""
        if self.packed is None:
            return self.services, self.agencies
        return _decode_parts(plain(self.packed))[3:]

    def trim(self) -> None:
        """Reduce the hashes of affected dossiers to those kept when packed; it does not matter when."""
        self.limit = limit = hash_limit(self.slots, self.limit)
        if limit is not None:
            self.slots = [replace(slot, failed_dossiers=_least(slot, limit)) for slot in self.slots]

    def pack(self) -> None:
        """Reduce the minute to what may be read again."""
        self.trim()
        slots = [_slim(slot) for slot in self.slots]
        self.packed = _encode((slots, self.latency, self.provider_latency, self.services, self.agencies))
        self.slots, self.latency, self.provider_latency, self.services, self.agencies = [], {}, {}, {}, {}

    def unpack(self) -> None:
        """Undo `pack`; what that dropped stays lost."""
        assert self.packed is not None
        (self.slots, self.latency, self.provider_latency, self.services, self.agencies) = _decode_all(
            plain(self.packed)
        )
        self.packed = None

    def _sum(self, slot: LinkSlot) -> None:
        for asked in slot.asked:
            self.attempts += asked.ok + asked.failed
            self.failures += asked.failed
        if slot.latency:
            add_counts(self.latency, slot.latency)
        if slot.provider_latency:
            add_counts(self.provider_latency, slot.provider_latency)
        if slot.services or slot.agencies:
            after_ms = slot.start_ms % MINUTE_MS
            add_parts(self.services, slot.services, after_ms)
            add_parts(self.agencies, slot.agencies, after_ms)


def hash_limit(slots: list[LinkSlot], limit: int | None) -> int | None:
    """Return the highest dossier hash up to which a minute's slots are complete; None: no limit."""
    failing = [slot for slot in slots if slot.failed_dossiers]
    if not failing:
        return limit
    distinct: set[int] = set()
    for slot in failing:
        distinct.update(key for key, count in slot.failed_dossiers.items() if count > 0)
    if len(distinct) <= MINUTE_SKETCH:
        return limit
    least = sorted(distinct)[MINUTE_SKETCH - 1]
    return least if limit is None else min(limit, least)


def _least(slot: LinkSlot, limit: int) -> dict[int, int]:
    return {key: count for key, count in slot.failed_dossiers.items() if key <= limit}


def _slim(slot: LinkSlot) -> LinkSlot:
    return LinkSlot(
        slot.start_ms,
        slot.requested,
        slot.outcomes,
        slot.synthetic,
        slot.asked,
        coarse(slot.latency),
        slot.provider_outcomes,
        {},
        {},
        {},
        slot.failed_dossiers,
        slot.late,
    )


def _start(slot: LinkSlot) -> int:
    return slot.start_ms
