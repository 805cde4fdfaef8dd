"""Where trouble began and ended, to the millisecond, in the time in which requests were *asked*.

The rule decides on slots in which outcomes became known, which may be half a minute after they were
asked. The edges are then found by the same sequential sums over the seconds of asking: the start is the
first failed request after the failing sum's last zero, the end the first answered request after the
answered sum's last zero.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from streams.detect.normal import slow_answers
from streams.detect.rule import evidence
from streams.model.measurement import Asked, LinkSlot


def onset_ms(seconds: Sequence[Asked], least_share: float, normal: float) -> int | None:
    """Return when the first failing request was asked, or None if the seconds (ascending) show none.

    How much fails since then is not known beforehand: of the shares from ``least_share`` up, the one that
    explains the seconds best places the start (a generalised likelihood ratio over the change point).
    """
    best, found = 0.0, None
    for share in (least_share, *(share for share in SHARES if share > least_share)):
        total, start_ms = _last_rise(seconds, share, normal)
        if total > best:
            best, found = total, start_ms
    return found


SHARES: Final = (0.25, 0.5, 0.75, 0.95)


def _last_rise(seconds: Iterable[Asked], share: float, normal: float) -> tuple[float, int | None]:
    """Return the failing sum at the end of the seconds, and the first failed request after its last zero."""
    total, found = 0.0, None
    for asked in seconds:
        before = total
        total = max(0.0, total + evidence(asked.ok, asked.failed, share, normal))
        if total == 0.0:
            found = None
        elif before == 0.0:
            found = asked.second * 1000 + (asked.first_failed[0] if asked.first_failed else 0)
    return total, found


def recovery_ms(seconds: Iterable[Asked], share: float, normal: float) -> int | None:
    """Return when the first request that succeeds again was asked, or None if none does."""
    total, found = 0.0, None
    for asked in seconds:
        before = total
        total = max(0.0, total - evidence(asked.ok, asked.failed, share, normal))
        if total == 0.0:
            found = None
        elif before == 0.0:
            found = asked.second * 1000 + max(asked.first_ok, 0)
    return found


def slow_seconds(slots: Iterable[LinkSlot], slow_ms: int | None, *, latest: bool) -> list[Asked]:
    """Return the answers by second of asking, the slow ones as if they had failed.

    A slot says how many of its answers were slow, and when they were asked, but not which was which. Those
    asked too long before the slot are slow for certain; of the others the latest asked are taken to be
    (``latest``, where slowness begins) or the earliest (where it ends).
    """
    seconds: dict[int, Asked] = {}
    for slot in slots:
        left = slow_answers(slot.latency, slow_ms)
        groups = sorted((asked for asked in slot.asked if asked.ok > 0), key=_second, reverse=latest)
        certain = [g for g in groups if slow_ms is not None and slot.start_ms - _last_ms(g) > slow_ms]
        for group in certain + [g for g in groups if g not in certain]:
            slow = min(left, group.ok)
            left -= slow
            seen = seconds.setdefault(group.second, Asked(group.second))
            first = [group.first_ok] if group.first_ok >= 0 else []
            seen.ok += group.ok - slow
            seen.failed += slow
            if slow:
                seen.first_failed = sorted([*seen.first_failed, *first])[:1]
            elif first:
                seen.first_ok = first[0] if seen.first_ok < 0 else min(first[0], seen.first_ok)
    return [seconds[second] for second in sorted(seconds)]


def _second(asked: Asked) -> int:
    return asked.second


def _last_ms(asked: Asked) -> int:
    return asked.second * 1000 + 999
