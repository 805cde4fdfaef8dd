"""A link's own normal, learned from its recent past with trouble left out.

The past is kept in blocks of ten minutes. What holds in a block comes from the blocks before it alone,
by medians and means: robust against an odd block, and a late record can only move what comes after it.
What is made of the blocks is rounded (the volume up to the steps of `VOLUMES`, the failure share to half
percents, latency to the steps of `LADDER_MS`), so that one record more or less rarely changes anything.

Theory. An excursion of a sum over slots begins with a slot in which something is known, and from each such
slot it reaches h with a chance of at most e^-h (Wald). So what bounds the false alarms of a week is the
number of those slots: never more than the slots there are, nor than the attempts. That makes the threshold
the same for all links from about one attempt a slot up.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from msgspec import Struct

from streams.detect.link.facts import add_counts
from streams.detect.rule.cusum import Normal, Rule
from streams.model.measurement import Histogram
from streams.model.sketch import BUCKET_LOWER_MS, bucket_of, quantiles_ms

BLOCK_MS: Final = 600_000
WEEK_MS: Final = 7 * 86_400_000
BLOCKS_A_WEEK: Final = WEEK_MS // BLOCK_MS
FIRST_GUESS_ATTEMPTS: Final = 64
"""Attempts a block assumed of a link of which no block is known yet: about one in ten seconds."""
LEAST_ATTEMPTS: Final = 10
"""Attempts from which a block says anything."""
LEAST_ANSWERS: Final = 20
"""Answers from which a 95th percentile can be told."""
LEAST_BLOCKS: Final = 3
BLOCKS: Final = 36
"""How many quiet blocks make a normal: six hours of them."""
BLOCKS_AN_HOUR: Final = 6
LEAST_VOLUME: Final = 16
SHARE_STEPS: Final = 200
"""A normal share is rounded to half percents."""


Usual = float | Histogram
"""What is usual in a minute: the 95th percentile of its latencies in ms, or the few there are."""


def _volumes() -> tuple[int, ...]:
    steps = [LEAST_ATTEMPTS]
    while steps[-1] < WEEK_MS:
        steps.append(max(steps[-1] + 1, steps[-1] * 11 // 10))
    return tuple(steps)


VOLUMES: Final = _volumes()
"""Attempts a block, in steps of a tenth at most (of one where that is more)."""

LADDER_MS: Final = tuple(round(300 * 2 ** (step / 2)) for step in range(15))
"""Where an answer may begin to be slow: from 0.3 s to 38 s in steps of 41 %."""
_BARS: Final = tuple(bucket_of(ms) for ms in LADDER_MS)
_STEP_OF: Final = tuple(
    max((bar + 1 for bar in _BARS if bar < bucket), default=0) for bucket in range(len(BUCKET_LOWER_MS))
)
"""From a bucket to the one that stands for its step of the ladder."""


class Block(Struct, frozen=True, array_like=True):
    """What ten quiet minutes of a link were like: attempts, failure share, slow from."""

    start_ms: int
    attempts: int
    share: float
    slow_ms: int | None


def block_of(
    start_ms: int, attempts: int, failures: int, latencies: Iterable[Usual], rule: Rule
) -> Block | None:
    """Return what a quiet block says, or None where too little was asked in it.

    ``latencies`` are those of its minutes, ascending, as `usual_of` has them.
    """
    if attempts < LEAST_ATTEMPTS:
        return None
    share = max(failures / attempts, rule.normal_failure_share)
    return Block(start_ms, attempts, share, _slow_from_ms(latencies, rule))


def usual_of(latency: Histogram) -> Usual:
    """Return the 95th percentile of a minute's latencies, or all of them where they are too few for one."""
    if sum(latency.values()) < LEAST_ANSWERS:
        return dict(latency)
    p95 = quantiles_ms(latency, (0.95,))
    assert p95 is not None
    return p95[0]


def _slow_from_ms(minutes: Iterable[Usual], rule: Rule) -> int | None:
    """Return from when on an answer is slow, by what was usual in some minutes.

    The block is cut into parts of answers enough each, and the median of their 95th percentiles (the lower of
    two) counts: a block is not quiet because nobody knew yet that it was slow, and what was so for less
    than half of it does not pass for usual.
    """
    usual: list[float] = []
    few: Histogram = {}
    for latency in minutes:
        if isinstance(latency, float):
            usual.append(latency)
            continue
        add_counts(few, latency)
        part = usual_of(few)
        if isinstance(part, float):
            usual.append(part)
            few = {}
    if not usual:
        usual = quantiles_ms(few, (0.95,)) or []
    if not usual:
        return None
    return _ladder_ms(max(rule.slow_floor_ms, rule.slow_factor * sorted(usual)[(len(usual) - 1) // 2]))


def normal_after(blocks: Sequence[Block], rule: Rule, slot_ms: int) -> Normal:
    """Return what is normal after ``blocks`` (ascending, all of them in the past)."""
    recent = blocks[-BLOCKS:]
    share = rule.normal_failure_share
    if len(recent) >= LEAST_BLOCKS:
        share = round(SHARE_STEPS * median(block.share for block in recent)) / SHARE_STEPS
        share = min(max(share, rule.normal_failure_share), rule.worst_normal_share)
    bars = sorted(block.slow_ms for block in recent if block.slow_ms is not None)
    slow_ms = (
        bars[(len(bars) - 1) // 2] if bars else None
    )  # of two blocks, slowness may just have begun in one
    slots = min(present_volume(recent) * BLOCKS_A_WEEK, WEEK_MS // slot_ms)
    return Normal(share, float(slots), slow_ms)


def present_volume(recent: Sequence[Block]) -> int:
    """Return the attempts a block at present: of the last hour's or of all, whichever is more, rounded up.

    The last hour's, for traffic that rises; of all, as they are many and so vary less.

    >>> present_volume([Block(0, 40, 0.03, None)] * 30 + [Block(0, 90, 0.03, None)] * 6)
    94
    """
    if not recent:
        return FIRST_GUESS_ATTEMPTS
    means = (sum(block.attempts for block in some) / len(some) for some in (recent, recent[-BLOCKS_AN_HOUR:]))
    return VOLUMES[min(bisect_left(VOLUMES, max(means)), len(VOLUMES) - 1)]


def coarse_volume(attempts: int) -> int:
    """Return attempts rounded up to a power of four times 16: what a late record hardly ever moves.

    >>> coarse_volume(16), coarse_volume(17), coarse_volume(600)
    (16, 64, 1024)
    """
    volume = LEAST_VOLUME
    while volume < attempts:
        volume *= 4
    return volume


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
