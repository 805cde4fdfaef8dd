"""A link's own normal, learned from its past without trouble.

The past is kept in blocks of ten minutes, and summed by hours (`level.py`). The normal of a block comes from
the hours before its own, or while these are too few from the blocks before it, by medians and means: that is
robust against an odd block, and a late record only affects what comes after it.
The results are rounded (the volume up to the steps of `VOLUMES`, the failure share to half a percent, latency
to the steps of `LADDER_MS`), so that one record more or less rarely changes anything.

Theory. An excursion of a sum over slots begins with a slot that has outcomes, and from each such slot it
reaches h with a probability of at most e^-h (Wald). So the false alarms per week are bounded by the number of
those slots, which is at most the number of all slots, and of attempts. So the threshold is the same for all
links with about one attempt per slot or more.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import mul
from statistics import median_low
from typing import Final

from msgspec import Struct

from streams.detect.rule.cusum import Condition, Normal
from streams.detect.rule.definition import Rule
from streams.detect.rule.level import (
    LEAST_ATTEMPTS,
    UNKNOWN,
    Level,
    Sums,
    normal_failure_share,
    normal_slow_share,
    usual_share,
)
from streams.detect.rule.slowness import Usual, beyond, slow_from_ms, tail_of

BLOCK_MS: Final = 600_000
WEEK_MS: Final = 7 * 86_400_000
BLOCKS_A_WEEK: Final = WEEK_MS // BLOCK_MS
FIRST_GUESS_ATTEMPTS: Final = 64
"""Attempts per block assumed for a link without any known block: about one in ten seconds."""
LEAST_BLOCKS: Final = 3
LEAST_KNOWN: Final = 1_000
"""The blocks must have this many attempts together to determine a failure share."""
BLOCKS: Final = 36
"""Number of quiet blocks (six hours) for the volume, and for the normal until there are enough hours."""
BLOCKS_AN_HOUR: Final = 6
LEAST_VOLUME: Final = 16


def _volumes() -> tuple[int, ...]:
    steps = [LEAST_ATTEMPTS]
    while steps[-1] < WEEK_MS:
        steps.append(max(steps[-1] + 1, steps[-1] * 11 // 10))
    return tuple(steps)


VOLUMES: Final = _volumes()
"""Attempts per block, in steps of at most a tenth (but at least one)."""


class Block(Struct, frozen=True, array_like=True):
    """Ten minutes of a link: attempts, failure share, slowness limit, and the worst condition.

    ``tail`` holds the share of its answers that took longer than each step of the ladder, see `tail_of`.
    """

    start_ms: int
    attempts: int
    share: float
    slow_ms: int | None
    condition: Condition = "UP"
    tail: bytes = b""

    @property
    def failures(self) -> int:
        """The number of failed attempts."""
        return round(self.share * self.attempts)

    @property
    def telling(self) -> bool:
        """Whether the block counts for what is normal."""
        return self.condition == "UP" and self.attempts >= LEAST_ATTEMPTS


def block_of(
    start_ms: int,
    attempts: int,
    failures: int,
    latencies: Iterable[Usual],
    rule: Rule,
    condition: Condition = "UP",
) -> Block | None:
    """Return a block, None if it has no attempts.

    ``latencies`` are those of its minutes, ascending, as returned by `usual_of`.
    """
    if attempts <= 0:
        return None
    minutes = list(latencies)
    slow_ms = slow_from_ms(minutes, rule)
    return Block(start_ms, attempts, failures / attempts, slow_ms, condition, tail_of(minutes))


def sums_of(blocks: Iterable[Block], condition: Condition) -> Sums:
    """Return the sums over the blocks whose worst condition was ``condition``."""
    chosen = [block for block in blocks if block.condition == condition]
    return Sums(
        sum(block.attempts for block in chosen), sum(block.failures for block in chosen), *_tails(chosen)
    )


def _tails(blocks: Iterable[Block]) -> tuple[int | None, bytes]:
    """Return the median slowness limit of some blocks, and the tail of all their answers."""
    told = [block for block in blocks if block.slow_ms is not None]
    counts = [block.attempts - block.failures for block in told]
    if sum(counts) <= 0:
        return None, b""
    columns = zip(*(block.tail for block in told), strict=True)
    means = (-(-sum(map(mul, counts, column)) // sum(counts)) for column in columns)
    return median_low(block.slow_ms for block in told if block.slow_ms is not None), bytes(means)


def normal_after(blocks: Sequence[Block], rule: Rule, slot_ms: int, level: Level = UNKNOWN) -> Normal:
    """Return what is normal after ``blocks`` (ascending, all `telling` and in the past).

    ``level`` is the level of the hours before.
    """
    recent = blocks[-BLOCKS:]
    share, slow_ms, slow = level.failure_share, level.slow_ms, level.slow_share
    enough = len(recent) >= LEAST_BLOCKS and sum(block.attempts for block in recent) >= LEAST_KNOWN
    known = share is not None or enough
    if share is None:
        share = usual_share(one.share for one in recent) if enough else rule.normal_failure_share
    if slow_ms is None:
        slow_ms, tail = _tails(recent)
        slow = beyond(tail, slow_ms)
    slots = min(present_volume(recent) * BLOCKS_A_WEEK, WEEK_MS // slot_ms)
    share, slow = normal_failure_share(share, rule), normal_slow_share(slow, rule)
    return Normal(share, float(slots), slow_ms, known, slow_share=slow)


def present_volume(recent: Sequence[Block]) -> int:
    """Return the present attempts per block, rounded up: the higher mean of the last hour and of all.

    The last hour follows rising traffic; the mean of all blocks varies less.

        >>> present_volume([Block(0, 40, 0.03, None)] * 30 + [Block(0, 90, 0.03, None)] * 6)
        94
    """
    if not recent:
        return FIRST_GUESS_ATTEMPTS
    means = (sum(block.attempts for block in some) / len(some) for some in (recent, recent[-BLOCKS_AN_HOUR:]))
    return VOLUMES[min(bisect_left(VOLUMES, max(means)), len(VOLUMES) - 1)]


def coarse_volume(attempts: int) -> int:
    """Return attempts rounded up to 16 times a power of four, which a late record hardly ever changes.

    >>> coarse_volume(16), coarse_volume(17), coarse_volume(600)
    (16, 64, 1024)
    """
    volume = LEAST_VOLUME
    while volume < attempts:
        volume *= 4
    return volume
