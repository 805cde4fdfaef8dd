"""Adds up the facts about one slot of one link from several partitions and later corrections."""

from collections.abc import Iterable
from typing import Final, TypeVar

from streams.model.measurement import EDGE_TIMES, Asked, LinkSlot, Part
from streams.model.sketch import trim

Key = TypeVar("Key", str, int)


def merged(one: LinkSlot, other: LinkSlot) -> LinkSlot:
    """Return the sum of two slots. It is commutative and associative, so arrival order does not matter.

    Neither slot is changed, so a measurement stays as it was received.
    """
    return LinkSlot(
        one.start_ms,
        one.requested + other.requested,
        total(one.outcomes, other.outcomes),
        one.synthetic + other.synthetic,
        merge_asked((one.asked, other.asked)) if one.asked and other.asked else one.asked or other.asked,
        total(one.latency, other.latency),
        total(one.provider_outcomes, other.provider_outcomes),
        total(one.provider_latency, other.provider_latency),
        merge_parts(one.services, other.services),
        merge_parts(one.agencies, other.agencies),
        trim(total(one.failed_dossiers, other.failed_dossiers))
        if other.failed_dossiers
        else one.failed_dossiers,
        one.late + other.late,
    )


def total(one: dict[Key, int], other: dict[Key, int]) -> dict[Key, int]:
    """Return the sum of two counts without zeros; if one is empty, the other itself, not a copy."""
    if not other:
        return one
    if not one:
        return other
    into = dict(one)
    add_counts(into, other)
    return into


def add_counts(into: dict[Key, int], more: dict[Key, int]) -> None:
    """Add counts to ``into`` and remove those that become zero."""
    for key, count in more.items():
        both = into.get(key, 0) + count
        if both:
            into[key] = both
        else:
            into.pop(key, None)


def merge_parts(one: dict[str, Part], other: dict[str, Part], shift_ms: int = 0) -> dict[str, Part]:
    """Return the sums by service or agency, without empty ones; neither argument is changed.

    ``shift_ms`` is how much later the slot of ``other`` begins than that of ``one``.
    """
    if not other:
        return one
    into = dict(one)
    add_parts(into, other, shift_ms)
    return into


def add_parts(into: dict[str, Part], other: dict[str, Part], shift_ms: int = 0) -> None:
    """Add to ``into`` the parts of a slot that begins ``shift_ms`` later; `Part` objects are not changed."""
    for name, part in other.items():
        known = into.get(name)
        if known is None and not part.removed:
            into[name] = _shifted(part, shift_ms) if shift_ms else part
            continue
        into[name] = both = _both_parts(known or _NOTHING, part, shift_ms)
        if not (both.failed or both.ok or both.removed):
            del into[name]


_NOTHING: Final = Part()


def _shifted(part: Part, shift_ms: int) -> Part:
    first_ok = None if part.first_ok is None else part.first_ok + shift_ms
    return Part(part.failed, part.ok, [ms + shift_ms for ms in part.first_failed], first_ok)


def _both_parts(one: Part, other: Part, shift_ms: int) -> Part:
    failed = one.first_failed
    if other.first_failed:
        failed = sorted([*failed, *[ms + shift_ms for ms in other.first_failed]])
    removed = one.removed
    if removed or other.removed:
        failed, removed = _without(failed, [*removed, *(ms + shift_ms for ms in other.removed)])
    first_ok = [one.first_ok] if one.first_ok is not None else []
    if other.first_ok is not None:
        first_ok.append(other.first_ok + shift_ms)
    return Part(
        one.failed + other.failed,
        one.ok + other.ok,
        failed[:EDGE_TIMES],
        min(first_ok, default=None),
        removed,
    )


def merge_asked(parts: Iterable[Iterable[Asked]]) -> list[Asked]:
    """Return the sums by second of request, ascending. The arguments are not changed."""
    seconds: dict[int, Asked] = {}
    for part in parts:
        for asked in part:
            seen = seconds.get(asked.second)
            seconds[asked.second] = asked if seen is None else _both(seen, asked)
    return [seconds[second] for second in sorted(seconds)]


def _both(one: Asked, other: Asked) -> Asked:
    first_ok = [ms for ms in (one.first_ok, other.first_ok) if ms >= 0]
    failed, removed = _without([*one.first_failed, *other.first_failed], [*one.removed, *other.removed])
    return Asked(
        one.second,
        one.ok + other.ok,
        one.failed + other.failed,
        min(first_ok, default=-1),
        failed[:EDGE_TIMES],
        removed,
    )


def _without(times: list[int], removed: list[int]) -> tuple[list[int], list[int]]:
    """Return the times not removed, and the removals of times not seen yet; both ascending."""
    left = sorted(times)
    waiting = []
    for ms in sorted(removed):
        if ms in left:
            left.remove(ms)
        else:
            waiting.append(ms)
    return left, waiting
