"""When an answer counts as slow: the possible limits, and which one follows from the latencies of minutes."""

from collections.abc import Iterable
from statistics import median_low
from typing import Final, NamedTuple

from streams.detect.link.facts import add_counts
from streams.detect.rule.definition import Rule
from streams.model.measurement import Histogram
from streams.model.sketch import BUCKET_LOWER_MS, TOP_MS, bucket_of, quantiles_ms

LEAST_ANSWERS: Final = 20
"""A 95th percentile needs at least this many answers."""
LADDER_MS: Final = (*(round(300 * 2 ** (step / 2)) for step in range(18)), TOP_MS)
"""The possible slowness limits: from 0.3 s to 109 s in steps of 41 %; at the last step no answer is slow.

So any latency can become normal.
"""
_BARS: Final = tuple(bucket_of(ms) for ms in LADDER_MS)
_STEP_OF: Final = tuple(
    max((bar + 1 for bar in _BARS if bar < bucket), default=0) for bucket in range(len(BUCKET_LOWER_MS))
)
"""Maps a bucket to the one that represents its step of the ladder."""


class Usual(NamedTuple):
    """A minute's usual latency: its 95th percentile, and the histogram by the steps of the ladder.

    If there are too few answers for a percentile, it is None and the histogram is kept in full.
    """

    p95_ms: float | None
    latency: Histogram


def usual_of(latency: Histogram) -> Usual:
    """Return the usual latency of a minute."""
    if sum(latency.values()) < LEAST_ANSWERS:
        return Usual(None, dict(latency))
    p95 = quantiles_ms(latency, (0.95,))
    assert p95 is not None
    return Usual(p95[0], coarse(latency))


def slow_from_ms(minutes: Iterable[Usual], rule: Rule) -> int | None:
    """Return the slowness limit (ms) from the usual latencies of a block's minutes, None if unknown.

    The block is divided into parts with enough answers each, and the median of their 95th percentiles (the
    lower of two) counts: a block may look quiet only because its slowness was not found yet, so slowness in
    less than half of it must not count as usual.
    """
    usual: list[float] = []
    few: Histogram = {}
    for minute in minutes:
        part = minute
        if minute.p95_ms is None:
            add_counts(few, minute.latency)
            part = usual_of(few)
        if part.p95_ms is not None:
            usual.append(part.p95_ms)
            few = {} if part is not minute else few
    if not usual:
        usual = quantiles_ms(few, (0.95,)) or []
    if not usual:
        return None
    return _ladder_ms(max(rule.slow_floor_ms, rule.slow_factor * median_low(usual)))


def tail_of(minutes: Iterable[Usual]) -> bytes:
    """Return for each step of the ladder how many of 255 answers took longer, rounded up.

    >>> list(tail_of([Usual(None, {bucket_of(200): 3, bucket_of(40_000): 1})]))
    [64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0]
    """
    latency: Histogram = {}
    for minute in minutes:
        add_counts(latency, minute.latency)
    answers = sum(latency.values())
    if answers <= 0:
        return b""
    return bytes(min(-(-255 * slow_answers(latency, ms) // answers), 255) for ms in LADDER_MS)


def beyond(tail: bytes, slow_ms: int | None) -> float:
    """Return the share of answers that took longer than ``slow_ms``, according to a tail."""
    return tail[LADDER_MS.index(slow_ms)] / 255 if tail and slow_ms is not None else 0.0


def slow_answers(latency: Histogram, slow_ms: int | None) -> int:
    """Return how many answers took longer than ``slow_ms``."""
    if slow_ms is None or slow_ms >= TOP_MS or not latency:
        return 0
    bar = bucket_of(slow_ms)
    return sum(count for bucket, count in latency.items() if bucket > bar)


def coarse(latency: Histogram) -> Histogram:
    """Return a histogram reduced to how many answers lie above each step of the ladder.

    >>> fine = {bucket_of(120): 90, bucket_of(350): 7, bucket_of(390): 2, bucket_of(5000): 1}
    >>> [slow_answers(coarse(fine), ms) == slow_answers(fine, ms) for ms in LADDER_MS[:4]]
    [True, True, True, True]
    """
    steps: Histogram = {}
    step_of = _STEP_OF
    for bucket, count in latency.items():
        step = step_of[bucket]
        if step in steps:
            steps[step] += count
        else:
            steps[step] = count
    return {bucket: count for bucket, count in steps.items() if count}


def _ladder_ms(at_least_ms: float) -> int:
    return next((ms for ms in LADDER_MS if ms >= at_least_ms), LADDER_MS[-1])
