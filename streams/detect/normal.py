"""A link's own normal, learned from its recent past with trouble left out.

The past is kept in blocks of ten minutes. What holds in a block comes from the blocks before it alone,
by medians: robust against an odd block, and a late record can only move what comes after it. What a block
says is rounded (the volume to a power of four, the failure share up to the normal one, latency to the
steps of `LADDER_MS`), so that one record more or less rarely changes anything.
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from msgspec import Struct

from streams.detect.rule import Normal, Rule
from streams.model.measurement import Histogram
from streams.model.sketch import BUCKET_LOWER_MS, bucket_of, quantiles_ms

BLOCK_MS: Final = 600_000
BLOCKS_A_WEEK: Final = 1008
FIRST_GUESS_ATTEMPTS: Final = 64
"""Attempts a block assumed of a link of which no block is known yet: about one in ten seconds."""
LEAST_ATTEMPTS: Final = 10
"""Attempts from which a block says anything."""
LEAST_BLOCKS: Final = 3
BLOCKS: Final = 36
"""How many quiet blocks make a normal: six hours of them."""
LEAST_VOLUME: Final = 16

LADDER_MS: Final = tuple(round(300 * 2 ** (step / 2)) for step in range(15))
"""Where an answer may begin to be slow: from 0.3 s to 38 s in steps of 41 %."""
_BARS: Final = tuple(bucket_of(ms) for ms in LADDER_MS)
_STEP_OF: Final = tuple(
    max((bar + 1 for bar in _BARS if bar < bucket), default=0) for bucket in range(len(BUCKET_LOWER_MS))
)
"""From a bucket to the one that stands for its step of the ladder."""


class Block(Struct, frozen=True, array_like=True):
    """What ten quiet minutes of a link were like: attempts (rounded up), failure share, slow from."""

    start_ms: int
    volume: int
    share: float
    slow_ms: int | None


def block_of(
    start_ms: int, attempts: int, failures: int, latencies: Iterable[Histogram], rule: Rule
) -> Block | None:
    """Return what a quiet block says, or None where too little was asked in it."""
    if attempts < LEAST_ATTEMPTS:
        return None
    volume = LEAST_VOLUME
    while volume < attempts:
        volume *= 4
    latency: dict[int, int] = {}
    for histogram in latencies:
        for bucket, count in histogram.items():
            latency[bucket] = latency.get(bucket, 0) + count
    p95 = quantiles_ms(latency, (0.95,))
    slow_ms = None if p95 is None else _ladder_ms(max(rule.slow_floor_ms, rule.slow_factor * p95[0]))
    return Block(start_ms, volume, max(failures / attempts, rule.normal_failure_share), slow_ms)


def normal_after(blocks: Sequence[Block], rule: Rule) -> Normal:
    """Return what is normal after ``blocks`` (ascending, all of them in the past)."""
    recent = blocks[-BLOCKS:]
    share = rule.normal_failure_share
    if len(recent) >= LEAST_BLOCKS:
        share = min(max(share, median(block.share for block in recent)), rule.worst_normal_share)
    volume = max((block.volume for block in recent), default=FIRST_GUESS_ATTEMPTS)
    bars = sorted(block.slow_ms for block in recent if block.slow_ms is not None)
    slow_ms = (
        bars[(len(bars) - 1) // 2] if bars else None
    )  # of two blocks, slowness may just have begun in one
    return Normal(share, float(volume * BLOCKS_A_WEEK), slow_ms)


def slow_answers(latency: Histogram, slow_ms: int | None) -> int:
    """Return how many answers took longer than ``slow_ms``."""
    if slow_ms is None or not latency:
        return 0
    bar = bucket_of(slow_ms)
    return sum(count for bucket, count in latency.items() if bucket > bar)


def coarse(latency: Histogram) -> Histogram:
    """Return a histogram that tells no more than how many answers lie above each step of the ladder.

    >>> fine = {bucket_of(120): 90, bucket_of(350): 7, bucket_of(390): 2, bucket_of(5000): 1}
    >>> [slow_answers(coarse(fine), ms) == slow_answers(fine, ms) for ms in LADDER_MS[:4]]
    [True, True, True, True]
    """
    steps: Histogram = {}
    for bucket, count in latency.items():
        step = _STEP_OF[bucket]
        steps[step] = steps.get(step, 0) + count
    return {bucket: count for bucket, count in steps.items() if count}


def _ladder_ms(at_least_ms: float) -> int:
    return next((ms for ms in LADDER_MS if ms >= at_least_ms), LADDER_MS[-1])
