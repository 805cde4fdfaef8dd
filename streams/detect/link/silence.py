"""How long nothing may be known of a link before what was seen earlier says nothing about what follows.

Nothing is known where nobody calls, or nobody watches. Evidence adds up across such a time only as long as
it is no longer than is usual for the link: where ``n`` calls were expected and none came, the chance of that
is e^-n, and from n = 9.21 on it is no accident (as in ``rule/expected.py``). What is usual is told by the
minutes before it in which somebody asked, so a link that is asked once in ten minutes goes on adding up.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Final

from streams.detect.link.minute import MINUTE_MS
from streams.detect.rule.expected import SILENCE

PACE_MINUTES: Final = 24
"""By how many minutes in which somebody asked the pace is told."""
LEAST_MINUTES: Final = 4
LONGEST_GAPS: Final = 4
"""A gap counts as no more than so many usual ones, or a night would make a slow link of a busy one."""


def usual_gap_ms(asked: Sequence[tuple[int, int]]) -> float | None:
    """Return the time between two calls that is usual; None where too little is known.

    ``asked`` holds minutes in which somebody asked, by their starts, ascending, with how many did.

    >>> usual_gap_ms([(at * 60_000, 2) for at in range(10)])
    30000.0
    """
    if len(asked) < LEAST_MINUTES:
        return None
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(asked)]
    longest_ms = LONGEST_GAPS * median(gaps)
    return fmean(min(gap, longest_ms) for gap in gaps) / max(fmean(count for _, count in asked), 1)


def is_too_long(silence_ms: int, unwatched_ms: int, least_ms: int, usual_ms: float | None) -> bool:
    """Say whether nothing was known for so long that what was seen before counts no more.

    ``unwatched_ms`` of the silence nobody watched. Less than ``least_ms`` is never too long.

    >>> is_too_long(12_600_000, 0, 300_000, 60_000), is_too_long(1_200_000, 0, 300_000, 600_000)
    (True, False)
    """
    if silence_ms <= max(least_ms, MINUTE_MS):
        return False
    if unwatched_ms >= max(least_ms, MINUTE_MS):
        return True
    return usual_ms is not None and silence_ms > SILENCE * usual_ms
