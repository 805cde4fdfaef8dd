"""Finds, by request time, full failures too short to be an outage.

A full failure of five seconds at ten lookups a second is beyond chance, yet shorter than `min_duration_ms`.
It is found by the sum of the evidence for a full outage against normal, over the seconds of request: the sum
rises to the threshold of an outage, and falls again. It is counted in the minute in which it began. A failure
within an outage belongs to that outage.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from streams.detect.link.facts import merge_asked
from streams.detect.link.minute import MINUTE_MS
from streams.detect.rule.cusum import Normal, threshold
from streams.detect.rule.definition import Rule
from streams.detect.rule.edges import Run, run_of
from streams.detect.rule.shares import evidence
from streams.model.intervals import intersection
from streams.model.measurement import Asked, LinkSlot
from streams.model.outage import ShortFailures

AROUND_MS: Final = 15_000
"""How far before and after a minute is read: a failure that begins in it may end after it."""


def least_failures(rule: Rule, normal: Normal) -> int:
    """Return how many failures in a row are beyond chance.

    >>> least_failures(Rule(), Normal(0.03, 120_960.0, None))
    5
    """
    return -int(-threshold(rule, normal) // evidence(0, 1, rule.total_share, normal.failure_share))


def short_failures(
    minute_ms: int,
    seconds: Sequence[Asked],
    trouble: Iterable[tuple[int, int]],
    rule: Rule,
    normal: Normal,
) -> ShortFailures | None:
    """Return the full failures that began in a minute, outside of ``trouble``; None if there were none.

    ``seconds`` are the counts by second of request from `AROUND_MS` before the minute to as long after it.
    """
    outside = list(trouble)
    found = [
        run
        for run in _runs(seconds, rule, normal)
        if minute_ms <= run.start_ms < minute_ms + MINUTE_MS
        and not intersection([(run.start_ms, max(_end_ms(run), run.start_ms + 1))], outside)
    ]
    if not found:
        return None
    lasted_ms = sum(_end_ms(run) - run.start_ms for run in found)
    return ShortFailures(len(found), lasted_ms, sum(run.failures for run in found))


def _end_ms(run: Run) -> int:
    return run.last_ms if run.end_ms is None else run.end_ms


def _runs(seconds: Sequence[Asked], rule: Rule, normal: Normal) -> Iterator[Run]:
    """Yield the runs in which everything failed beyond chance, each up to the return of answers."""
    share0, enough = normal.failure_share, threshold(rule, normal)
    total = most = 0.0
    begin = 0
    for index, asked in enumerate(seconds):
        if total == 0.0:
            begin, most = index, 0.0
        total = max(0.0, total + evidence(asked.ok, asked.failed, rule.total_share, share0))
        most = max(most, total)
        if most >= enough and most - total >= rule.recovery_evidence:
            total = 0.0
        ended = total == 0.0 or index == len(seconds) - 1
        if ended and most >= enough:
            run = run_of(seconds[begin : index + 1], rule.total_share, share0)
            assert run is not None
            yield run


def slots_needed(minute_ms: int, timeout_ms: int, slot_ms: int) -> tuple[int, int]:
    """Return the span of slots in which the outcomes of requests in and around a minute became known."""
    return minute_ms - AROUND_MS, minute_ms + MINUTE_MS + AROUND_MS + timeout_ms + slot_ms


def asked_around(minute_ms: int, slots: Iterable[LinkSlot]) -> list[Asked]:
    """Return the counts in and around a minute, by second of request; empty if no second mostly failed."""
    first, last = (minute_ms - AROUND_MS) // 1000, (minute_ms + MINUTE_MS + AROUND_MS) // 1000
    kept = [slot.asked for slot in slots]
    excess: dict[int, int] = {}
    for some in kept:
        for asked in some:
            if asked.failed:
                excess[asked.second] = excess.get(asked.second, 0) + asked.failed
    for some in kept:  # seconds without a failure cannot have mostly failed
        for asked in some:
            if asked.ok and asked.second in excess:
                excess[asked.second] -= asked.ok
    if not any(first <= second < last and more > 0 for second, more in excess.items()):
        return []  # on a busy link most minutes end here
    return merge_asked([[asked for some in kept for asked in some if first <= asked.second < last]])
