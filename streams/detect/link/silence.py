"""When a silence is so long that earlier facts about a link say nothing about later ones.

There is silence while nobody calls, or nobody watches. Evidence adds up across a silence only if that is not
unusually long for the link: if ``n`` calls were expected and none came, the probability is e^-n, and from
n = 9.21 on that cannot be chance (as in ``rule/expected.py``). The usual pace is taken from the last minutes
with calls, so on a link called once in ten minutes evidence still adds up.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Final

from streams.detect.link.minute import MINUTE_MS
from streams.detect.rule.expected import SILENCE

PACE_MINUTES: Final = 24
"""The usual pace is taken from this many minutes with calls."""
LEAST_MINUTES: Final = 4
LONGEST_GAPS: Final = 4
"""A gap counts as at most this many median gaps; otherwise one night would make a busy link look quiet."""


def usual_gap_ms(asked: Sequence[tuple[int, int]]) -> float | None:
    """Return the usual time between two calls, None if too little is known.

    ``asked`` holds the minutes with calls: start and number of calls, ascending.

        >>> usual_gap_ms([(at * 60_000, 2) for at in range(10)])
        30000.0
    """
    if len(asked) < LEAST_MINUTES:
        return None
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(asked)]
    longest_ms = LONGEST_GAPS * median(gaps)
    return fmean(min(gap, longest_ms) for gap in gaps) / max(fmean(count for _, count in asked), 1)


def is_too_long(silence_ms: int, unwatched_ms: int, least_ms: int, usual_ms: float | None) -> bool:
    """Return whether a silence was so long that earlier facts no longer count.

    ``unwatched_ms`` is the part of it in which nobody watched. Up to ``least_ms`` it is never too long.

        >>> is_too_long(12_600_000, 0, 300_000, 60_000), is_too_long(1_200_000, 0, 300_000, 600_000)
        (True, False)
    """
    if silence_ms <= max(least_ms, MINUTE_MS):
        return False
    if unwatched_ms >= max(least_ms, MINUTE_MS):
        return True
    return usual_ms is not None and silence_ms > SILENCE * usual_ms
