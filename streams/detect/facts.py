"""Adding up what several partitions, and later corrections, say about one slot of one link."""

from collections.abc import Iterable
from typing import TypeVar

from msgspec.structs import replace

from streams.model.measurement import EDGE_TIMES, Asked, LinkSlot
from streams.model.sketch import trim

Key = TypeVar("Key", str, int)


def copy_slot(slot: LinkSlot) -> LinkSlot:
    """Return a copy to merge into: a measurement itself stays as it was received."""
    return replace(
        slot,
        outcomes=dict(slot.outcomes),
        latency=dict(slot.latency),
        provider_outcomes=dict(slot.provider_outcomes),
        provider_latency=dict(slot.provider_latency),
        failed_services=dict(slot.failed_services),
        failed_agencies=dict(slot.failed_agencies),
        failed_dossiers=dict(slot.failed_dossiers),
    )


def merge_slots(into: LinkSlot, more: LinkSlot) -> None:
    """Add ``more`` to ``into``: commutative and associative, so arrival order does not matter."""
    into.requested += more.requested
    into.synthetic += more.synthetic
    into.late += more.late
    _add(into.outcomes, more.outcomes)
    _add(into.latency, more.latency)
    _add(into.provider_outcomes, more.provider_outcomes)
    _add(into.provider_latency, more.provider_latency)
    _add(into.failed_services, more.failed_services)
    _add(into.failed_agencies, more.failed_agencies)
    if more.failed_dossiers:
        _add(into.failed_dossiers, more.failed_dossiers)
        into.failed_dossiers = trim(into.failed_dossiers)
    into.asked = merge_asked((into.asked, more.asked))


def _add(into: dict[Key, int], more: dict[Key, int]) -> None:
    for key, count in more.items():
        total = into.get(key, 0) + count
        if total:
            into[key] = total
        else:
            into.pop(key, None)


def merge_asked(parts: Iterable[Iterable[Asked]]) -> list[Asked]:
    """Return the sums by second of request, ascending. The parts are left as they are."""
    seconds: dict[int, Asked] = {}
    for part in parts:
        for asked in part:
            seen = seconds.get(asked.second)
            seconds[asked.second] = asked if seen is None else _both(seen, asked)
    return [seconds[second] for second in sorted(seconds)]


def _both(one: Asked, other: Asked) -> Asked:
    first_ok = [ms for ms in (one.first_ok, other.first_ok) if ms >= 0]
    failed = sorted([*one.first_failed, *other.first_failed])
    removed = sorted([*one.removed, *other.removed])
    for ms in list(removed):
        if ms in failed:
            failed.remove(ms)
            removed.remove(ms)
    return Asked(
        one.second,
        one.ok + other.ok,
        one.failed + other.failed,
        min(first_ok, default=-1),
        failed[:EDGE_TIMES],
        removed,
    )
