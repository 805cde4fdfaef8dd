"""A link's own normal, learned from its recent past with trouble left out.

The past is kept in blocks of ten minutes. What holds in a block comes from the blocks before it alone,
by medians: robust against an odd block, and a late record can only move what comes after it.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

from msgspec import Struct

from streams.detect.rule import Normal, Rule
from streams.model.measurement import LinkSlot
from streams.model.sketch import quantiles_ms

BLOCK_MS: Final = 600_000
BLOCKS_A_WEEK: Final = 1008
FIRST_GUESS_ATTEMPTS: Final = 64
"""Attempts a block assumed of a link of which no block is known yet: about one in ten seconds."""
LEAST_ATTEMPTS: Final = 30
LEAST_BLOCKS: Final = 3


class Block(Struct, frozen=True):
    """What ten minutes of a link were like."""

    start_ms: int
    attempts: int
    failures: int
    p95_ms: float | None
    troubled: bool


def block_of(start_ms: int, slots: Sequence[LinkSlot], troubled: bool) -> Block:
    """Return the summary of a block from its slots."""
    latency: dict[int, int] = {}
    attempts = failures = 0
    for slot in slots:
        for asked in slot.asked:
            attempts += asked.ok + asked.failed
            failures += asked.failed
        for bucket, count in slot.latency.items():
            latency[bucket] = latency.get(bucket, 0) + count
    p95 = quantiles_ms(latency, (0.95,)) if sum(latency.values()) >= LEAST_ATTEMPTS else None
    return Block(start_ms, attempts, failures, p95[0] if p95 else None, troubled)


def normal_after(blocks: Sequence[Block], rule: Rule) -> Normal:
    """Return what is normal after ``blocks`` (ascending, all of them in the past).

    The volume is taken in steps of four, so that one record more or less rarely matters.
    """
    quiet = [block for block in blocks if not block.troubled]
    shares = [block.failures / block.attempts for block in quiet if block.attempts >= LEAST_ATTEMPTS]
    share = median(shares) if len(shares) >= LEAST_BLOCKS else rule.normal_failure_share
    share = min(max(share, rule.normal_failure_share), rule.worst_normal_share)
    attempts = max(blocks[-1].attempts, 1) if blocks else FIRST_GUESS_ATTEMPTS
    ceiling = 16
    while ceiling < attempts:
        ceiling *= 4
    p95s = [block.p95_ms for block in quiet if block.p95_ms is not None]
    slow_ms = None
    if p95s:
        slow_ms = round(max(rule.slow_floor_ms, rule.slow_factor * median(p95s)))
    return Normal(share, float(ceiling * BLOCKS_A_WEEK), slow_ms)
