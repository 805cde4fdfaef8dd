"""Where trouble began and ended, to the millisecond, in the time in which requests were *asked*.

The rule decides on slots in which outcomes became known, which may be half a minute after they were
asked. The edges are then found by the same sequential sums over the seconds of asking: the start is the
first failed request after the failing sum's last zero, the end the first answered request after the
answered sum's last zero.
"""

from collections.abc import Iterable

from streams.detect.rule import evidence
from streams.model.measurement import Asked


def onset_ms(seconds: Iterable[Asked], share: float, normal: float) -> int | None:
    """Return when the first failing request was asked, or None if the seconds (ascending) show none."""
    total, found = 0.0, None
    for asked in seconds:
        before = total
        total = max(0.0, total + evidence(asked.ok, asked.failed, share, normal))
        if total == 0.0:
            found = None
        elif before == 0.0:
            found = asked.second * 1000 + (asked.first_failed[0] if asked.first_failed else 0)
    return found


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


def first_asked_ms(seconds: Iterable[Asked], from_ms: int) -> int | None:
    """Return when the first request of a second not before ``from_ms`` was asked, answered or not."""
    for asked in seconds:
        if asked.second * 1000 + 999 >= from_ms:
            times = [ms for ms in (asked.first_ok, *asked.first_failed[:1]) if ms >= 0]
            return asked.second * 1000 + min(times, default=0)
    return None
