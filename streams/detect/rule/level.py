"""A link's long-term level: its failure share and slowness limit over about a week of hours.

What is normal is the median over many hours without trouble, so trouble never becomes normal by itself, and
neither does a creeping change within a day. Two things make a level normal: the link has had it since its
history began, or trouble has stayed at it for ``normal_after_ms``. The second is checked at the end of each
hour: in each of seven slices of that time nearly all attempts must have been in trouble short of down, all at
one level. From then on those hours count like quiet ones.

Everything here is a function of the hours up to some time; a late record only affects what comes after it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import median, median_low
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from streams.detect.rule.definition import Rule
from streams.detect.rule.expected import HOUR_MS
from streams.detect.rule.slowness import beyond

HOURS: Final = 168
"""The normal is taken from this many of the last usable hours."""
DAY_MS: Final = 86_400_000
LEAST_HOURS: Final = 6
LEAST_ATTEMPTS: Final = 10
"""Blocks and hours with fewer attempts than this do not count."""
LEAST_SEEN: Final = 300
"""The hours must have this many attempts together to determine a failure share."""
SHARE_STEPS: Final = 200
"""A normal share is rounded to half a percent."""
SLICES: Final = 7
LEAST_SLICES: Final = 4
MOSTLY: Final = 0.9
"""Share of a slice's attempts that must have been in trouble."""
ABOUT: Final = 0.01
"""How far the share of a slice may differ from the overall share (or a fifth of that), besides chance."""


class Sums(NamedTuple):
    """Sums over some blocks: attempts, failures, the slowness limit, and the latency tail (`tail_of`)."""

    attempts: int = 0
    failures: int = 0
    slow_ms: int | None = None
    tail: bytes = b""


class Level(NamedTuple):
    """What is normal after an hour.

    ``failure_share`` and ``slow_ms`` are None while too little is known; ``slow_share`` of the answers
    take longer than ``slow_ms``. The hours from ``adopted_ms`` to ``until_ms`` count with the trouble in
    them, because it had stayed; ``stays`` says that this was found at the end of this very hour.
    ``raised_ms`` is since when more attempts fail than the rule takes as normal; ``slower_ms`` since when
    answers take longer than ``usual_ms``, the slowness limit before that became normal. These three are
    None if it is not the case.
    """

    failure_share: float | None = None
    slow_ms: int | None = None
    slow_share: float = 0.0
    adopted_ms: int = 0
    until_ms: int = 0
    stays: bool = False
    raised_ms: int | None = None
    slower_ms: int | None = None
    usual_ms: int | None = None


UNKNOWN: Final = Level()


class Hour(Struct, frozen=True, array_like=True):
    """One hour: its blocks without trouble, those in trouble short of down, and the level after it."""

    start_ms: int
    quiet: Sums
    troubled: Sums
    level: Level = UNKNOWN


def levelled(hours: Sequence[Hour], before: Level, rule: Rule) -> Hour:
    """Return the last of ``hours`` (ascending) with the level after it; ``before`` is the level before it."""
    last = hours[-1]
    end_ms = last.start_ms + HOUR_MS
    adopted_ms, until_ms = before.adopted_ms, before.until_ms
    since_ms = _stays_since(hours, end_ms, until_ms, rule) if last.troubled.attempts else None
    if since_ms is not None:
        adopted_ms, until_ms = end_ms - rule.normal_after_ms, end_ms
    counted = ((hour.start_ms, _counted(hour, until_ms)) for hour in hours if hour.start_ms >= adopted_ms)
    known = [(at, sums) for at, sums in counted if sums.attempts >= LEAST_ATTEMPTS][-HOURS:]
    if len(known) < LEAST_HOURS or sum(sums.attempts for _, sums in known) < LEAST_SEEN:
        return replace(last, level=before._replace(stays=False))
    share = usual_share(sums.failures / sums.attempts for _, sums in known)
    marked = [sums for _, sums in known if sums.slow_ms is not None]
    slow_ms = median_low(sums.slow_ms for sums in marked if sums.slow_ms is not None) if marked else None
    slow_share = usual_share(beyond(sums.tail, slow_ms) for sums in marked) if marked else 0.0
    raised_ms = before.raised_ms
    if share <= rule.normal_failure_share:
        raised_ms = None
    elif since_ms is not None or raised_ms is None:
        above = (at for at, sums in known if sums.failures > rule.normal_failure_share * sums.attempts)
        raised_ms = min(above) if since_ms is None else since_ms
    slower_ms, usual_ms = before.slower_ms, before.usual_ms
    if since_ms is not None and slow_ms is not None and before.slow_ms is not None:
        slower_ms, usual_ms = since_ms, usual_ms or before.slow_ms
    if slow_ms is None or usual_ms is None or slow_ms <= usual_ms:
        slower_ms = usual_ms = None
    stays = since_ms is not None
    level = Level(share, slow_ms, slow_share, adopted_ms, until_ms, stays, raised_ms, slower_ms, usual_ms)
    return replace(last, level=level)


def _counted(hour: Hour, until_ms: int) -> Sums:
    """Return the part of an hour that counts: its quiet blocks, and before ``until_ms`` also its trouble."""
    quiet, troubled = hour.quiet, hour.troubled
    if hour.start_ms >= until_ms:
        return quiet
    more = troubled if troubled.attempts > quiet.attempts else quiet
    attempts, failures = quiet.attempts + troubled.attempts, quiet.failures + troubled.failures
    return Sums(attempts, failures, more.slow_ms, more.tail)


def needed(hours: Sequence[Hour], before_ms: int, normal_after_ms: int) -> list[Hour]:
    """Return the hours that still count for those from ``before_ms`` on.

    These are all hours in which trouble may stay, and before them the last ones that count for the normal.
    """
    oldest = bisect_left(hours, before_ms - normal_after_ms - DAY_MS, key=_start)
    until_ms = hours[-1].level.until_ms if hours else 0
    telling = [hour for hour in hours[:oldest] if _counted(hour, until_ms).attempts >= LEAST_ATTEMPTS]
    return [*telling[-HOURS:], *hours[oldest:]]


def usual_share(shares: Iterable[float]) -> float:
    """Return the median of shares, rounded to half a percent."""
    return round(SHARE_STEPS * median(shares)) / SHARE_STEPS


def normal_failure_share(share: float, rule: Rule) -> float:
    """Return an observed share of failures, limited to what may count as normal."""
    return min(max(share, rule.normal_failure_share), rule.worst_normal_share)


def normal_slow_share(share: float, rule: Rule) -> float:
    """Return an observed share of slow answers, limited to what may count as normal."""
    return min(max(share, rule.slow_normal_share), rule.slow_share / 2)


def _stays_since(hours: Sequence[Hour], end_ms: int, until_ms: int, rule: Rule) -> int | None:
    """Return since when trouble has stayed at one level up to ``end_ms``; None if not for long enough."""
    from_ms = end_ms - rule.normal_after_ms
    if from_ms < until_ms:
        return None
    recent = hours[bisect_left(hours, from_ms, key=_start) :]
    if recent[0].quiet.attempts:
        return None
    slice_ms = rule.normal_after_ms / SLICES
    slices: dict[int, list[Hour]] = {}
    for hour in recent:
        slices.setdefault(int((hour.start_ms - from_ms) / slice_ms), []).append(hour)
    if len(slices) < LEAST_SLICES or 0 not in slices or SLICES - 1 not in slices:
        return None
    troubled = sum(hour.troubled.attempts for hour in recent)
    failures = sum(hour.troubled.failures for hour in recent)
    if usual_share([failures / troubled]) > rule.worst_normal_share:
        return None
    marks = [mark for mark in map(_mark, slices.values()) if mark is not None]
    if marks and max(marks) > 1.5 * median_low(marks):  # one step of the ladder is a factor of 1.41
        return None
    if marks and median_low(marks) > 1.5 * min(marks):
        return None
    if not all(_is_at(slice_, failures / troubled) for slice_ in slices.values()):
        return None
    since_ms = recent[0].start_ms
    for hour in reversed(hours):
        if hour.start_ms < from_ms - DAY_MS or hour.troubled.attempts < hour.quiet.attempts:
            break
        since_ms = min(since_ms, hour.start_ms)
    return since_ms


def _is_at(hours: Sequence[Hour], share: float) -> bool:
    """Return whether some hours were in trouble nearly throughout, at this failure share."""
    attempts = sum(hour.troubled.attempts for hour in hours)
    failures = sum(hour.troubled.failures for hour in hours)
    if attempts < MOSTLY * (attempts + sum(hour.quiet.attempts for hour in hours)) or attempts <= 0:
        return False
    error = 3 * sqrt(share * (1 - share) / attempts)
    return abs(failures / attempts - share) <= max(ABOUT, share / 5) + error


def _mark(hours: Sequence[Hour]) -> int | None:
    """Return the median slowness limit of some hours in trouble, None if unknown."""
    marks = [hour.troubled.slow_ms for hour in hours if hour.troubled.slow_ms is not None]
    return median_low(marks) if marks else None


def _start(hour: Hour) -> int:
    return hour.start_ms
