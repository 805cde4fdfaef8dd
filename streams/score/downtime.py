"""Found downtime compared with true downtime, by link, and the causes of the difference.

An outage begins with the first failed request, because a fault is invisible while nobody sends requests. So
each fault has two downtimes: the true one, and the *asked* one, from its first failing request on. The parts
of a difference are named; each is in seconds, positive if too much was found, and they add up to the
difference.

| part | is |
|---|---|
| unasked | from the start of a fault to its first request that failed |
| start | from there to the start found |
| end | from the end of a fault to the end found, which is the next request that succeeded |
| between | gaps between outages found within one fault |
| missed, false | faults without an outage, outages without a fault |
| kind | a down fault was reported as degraded, or the other way round |
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from streams.model.intervals import Interval, Intervals, length_ms, union

Part = Literal["unasked", "start", "end", "between", "missed", "false", "kind"]


class Down(NamedTuple):
    """True down time, and its first failed request."""

    start_ms: int
    end_ms: int
    asked_ms: int


class Together(NamedTuple):
    """True down times and found down outages that belong together.

    ``matched`` says that both sides have an outage, possibly of different kinds.
    """

    true: Sequence[Down]
    found: Sequence[Interval]
    matched: bool


class LinkDowntime(Struct, frozen=True):
    """A link's downtime, in seconds, and the error of its availability, in percentage points.

    ``error_asked_pp`` excludes the part ``unasked``.
    """

    link: str
    attempts_per_minute: float
    true_s: float
    found_s: float
    error_pp: float
    error_asked_pp: float
    parts: dict[str, float]


class VolumeDowntime(Struct, frozen=True):
    """The mean availability error of the links of a volume class; None if there are none."""

    links: int
    error_pp: float | None
    error_asked_pp: float | None


def link_downtime(link: str, attempts: int, period_ms: int, groups: Sequence[Together]) -> LinkDowntime:
    """Return a link's true and found downtime over a period, and the parts of the difference.

    >>> hour = Together([Down(0, 3_600_000, 40_000)], [(41_000, 3_602_000)], matched=True)
    >>> link_downtime("a", 60, 36_000_000, [hour]).parts
    {'unasked': -40.0, 'start': -1.0, 'end': 2.0}
    """
    parts: dict[Part, int] = {}
    for group in groups:
        for name, ms in _parts(group).items():
            parts[name] = parts.get(name, 0) + ms
    true_ms = sum(_length_ms([(one.start_ms, one.end_ms) for one in group.true]) for group in groups)
    found_ms = sum(_length_ms(group.found) for group in groups)
    off_ms = found_ms - true_ms
    return LinkDowntime(
        link=link,
        attempts_per_minute=round(60_000 * attempts / period_ms, 3),
        true_s=true_ms / 1000,
        found_s=found_ms / 1000,
        error_pp=100 * abs(off_ms) / period_ms,
        error_asked_pp=100 * abs(off_ms - parts.get("unasked", 0)) / period_ms,
        parts={name: ms / 1000 for name, ms in parts.items() if ms},
    )


def mean_errors(links: Sequence[LinkDowntime]) -> VolumeDowntime:
    """Return the mean errors of some links."""
    if not links:
        return VolumeDowntime(0, None, None)
    error, asked = sum(link.error_pp for link in links), sum(link.error_asked_pp for link in links)
    return VolumeDowntime(len(links), round(error / len(links), 4), round(asked / len(links), 4))


def _parts(group: Together) -> dict[Part, int]:
    true = union((one.start_ms, one.end_ms) for one in group.true)
    found = union(group.found)
    if not true or not found:
        other: Part = "kind" if group.matched else "missed" if true else "false"
        return {other: length_ms(found) - length_ms(true)}
    asked_ms = min(max(min(one.asked_ms for one in group.true), true[0][0]), true[-1][1])
    asked_ms = min(asked_ms, max(found[0][0], true[0][0]))
    return {
        "unasked": true[0][0] - asked_ms,
        "start": asked_ms - found[0][0],
        "end": found[-1][1] - true[-1][1],
        "between": _gaps_ms(true) - _gaps_ms(found),
    }


def _gaps_ms(intervals: Intervals) -> int:
    return intervals[-1][1] - intervals[0][0] - length_ms(intervals)


def _length_ms(intervals: Sequence[Interval]) -> int:
    return length_ms(union(intervals))
