"""The spells that are published: those of the link and the confined ones, disjoint and in order.

Names that fail at the same time, or soon after each other, are one confined spell. Where the link as a whole
is in trouble, only that is told: a confined spell ends where the link's trouble begins, and goes on after it.
But a degradation that a confined spell covers for the most part is that trouble, seen from the link.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from streams.detect.link.spells import TroubleSpell
from streams.detect.rule.local import LocalSpell, Struck
from streams.model.intervals import Interval

FAR: Final = 1 << 62
LEAST_MS: Final = 60_000
"""A shorter piece of a confined spell beside the link's own trouble is part of that."""


def composed(
    spells: Sequence[TroubleSpell], local: Iterable[LocalSpell | Struck], gap_ms: int
) -> list[TroubleSpell]:
    """Return the spells of a link with what is confined among them.

    Names that fail within ``gap_ms`` of each other are taken together.
    """
    groups = _groups(local, gap_ms)
    if not groups:
        return list(spells)
    whole = [spell for spell in spells if spell.slow or not _covered(spell, groups, gap_ms)]
    confined = [part for group in groups for part in _beside(group, whole)]
    return sorted([*whole, *confined], key=_start)


def _groups(local: Iterable[LocalSpell | Struck], gap_ms: int) -> list[list[LocalSpell | Struck]]:
    """Return the spells of names that belong together, in order."""
    groups: list[list[LocalSpell | Struck]] = []
    until_ms = -FAR
    for one in sorted(local, key=_start):
        if one.start_ms - gap_ms >= until_ms:
            groups.append([])
        groups[-1].append(one)
        until_ms = max(until_ms, _end_ms(one)) if len(groups[-1]) > 1 else _end_ms(one)
    return groups


def _covered(spell: TroubleSpell, groups: Iterable[Sequence[LocalSpell | Struck]], gap_ms: int) -> bool:
    """Say whether confined trouble covers half of the link's, or the end of an open one.

    What looks down at first, on a link that is asked rarely, is so covered only if both began together.
    """
    if spell.down:
        groups = [group for group in groups if abs(group[0].start_ms - spell.start_ms) < gap_ms]
    if spell.end_ms is None:
        return any(_end_ms(one) == FAR for group in groups for one in group)
    covered_ms = 0
    for group in groups:
        until_ms = min(max(map(_end_ms, group)), spell.end_ms)
        covered_ms += max(until_ms - max(group[0].start_ms, spell.start_ms), 0)
    return 2 * covered_ms >= spell.end_ms - spell.start_ms


def _beside(group: Sequence[LocalSpell | Struck], whole: Sequence[TroubleSpell]) -> list[TroubleSpell]:
    """Return what is left of a group beside the trouble of the link as a whole; short pieces are dropped."""
    start_ms, end_ms = group[0].start_ms, max(map(_end_ms, group))
    opened_ms, closed_ms = min(one.opened_ms for one in group), _closed_ms(group)
    parts: list[TroubleSpell] = []
    for spell in whole:
        over_ms = FAR if spell.end_ms is None else spell.end_ms
        if over_ms <= start_ms or spell.start_ms >= end_ms:
            continue
        if spell.start_ms - start_ms >= LEAST_MS:
            parts.append(_part(group, (start_ms, spell.start_ms), opened_ms, spell.opened_ms))
        start_ms, opened_ms = over_ms, max(opened_ms, spell.closed_ms or FAR)
    if start_ms == group[0].start_ms or end_ms - start_ms >= LEAST_MS:
        parts.append(_part(group, (start_ms, end_ms), opened_ms, closed_ms))
    return parts


def _part(
    group: Sequence[LocalSpell | Struck], span: Interval, opened_ms: int, closed_ms: int
) -> TroubleSpell:
    start_ms, end_ms = span
    within = [one for one in group if one.start_ms < end_ms and start_ms < _end_ms(one)]
    return TroubleSpell(
        start_ms,
        opened_ms,
        slow=False,
        end_ms=None if end_ms == FAR else end_ms,
        closed_ms=None if end_ms == FAR else max(closed_ms, opened_ms),
        changes=2 * _gaps(within),
        services=sorted({one.name for one in within if not one.agency}),
        agencies=sorted({one.name for one in within if one.agency}),
    )


def _gaps(group: Sequence[LocalSpell | Struck]) -> int:
    """Return how often all names of a group were well in between."""
    gaps, until_ms = 0, FAR
    for one in group:
        gaps += one.start_ms > until_ms
        until_ms = max(until_ms, _end_ms(one)) if until_ms != FAR else _end_ms(one)
    return gaps


def _closed_ms(group: Sequence[LocalSpell | Struck]) -> int:
    return max(FAR if isinstance(one, Struck) else one.closed_ms for one in group)


def _end_ms(one: LocalSpell | Struck) -> int:
    return FAR if isinstance(one, Struck) else one.end_ms


def _start(one: LocalSpell | Struck | TroubleSpell) -> int:
    return one.start_ms
