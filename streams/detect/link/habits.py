"""A link's usual behaviour, kept as blocks and hours; from these follows what is normal at any time.

Blocks of ten minutes are summed up when they end, and again when a late record changes one; their hour, and
the levels of the hours after it, are then updated. What is normal in a block depends on the blocks and hours
before it, so after summing up `moved_since` returns the later blocks whose normal has changed.
"""

from bisect import bisect_left
from typing import Final

from msgspec import UNSET, Struct, UnsetType, field

from streams.detect.rule.cusum import Normal
from streams.detect.rule.expected import HOUR_MS
from streams.detect.rule.level import UNKNOWN, Hour, Level, levelled, needed
from streams.detect.rule.normal import BLOCK_MS, BLOCKS, Block, coarse_volume, normal_after, sums_of
from streams.detect.rule.rules import EVER, LinkRules
from streams.model.outage import RaisedNormal

FAR: Final = 1 << 62


class Past(Struct, array_like=True):
    """What is kept: the blocks of the last hours, the latest that count for the normal, and the hours."""

    blocks: list[Block] = field(default_factory=list)
    telling: list[Block] = field(default_factory=list)
    hours: list[Hour] = field(default_factory=list)


class Habits:
    """The blocks and hours of one link."""

    def __init__(self, rules: LinkRules, slot_ms: int) -> None:
        self.rules, self._slot_ms = rules, slot_ms
        self.past = Past()
        self._normals: dict[int, Normal] = {}
        self._recent = list[Block](), UNKNOWN, rules.at(EVER), normal_after([], rules.at(EVER), slot_ms)
        """The arguments of the last call of `normal_after` (blocks, level, rule), and its result."""
        self._relevelled: list[tuple[int, int]] = []

    def in_block(self, block_ms: int) -> Normal | None:
        """Return what is normal in the block that begins at a time, if `normal_at` has computed it."""
        return self._normals.get(block_ms)

    def normal_at(self, at_ms: int) -> Normal:
        """Return what was normal for the link at a time."""
        block_ms = at_ms // BLOCK_MS * BLOCK_MS
        known = self._normals.get(block_ms)
        if known is None:
            telling = self.past.telling
            end = bisect_left(telling, block_ms, key=_start)
            blocks, level = telling[max(end - BLOCKS, 0) : end], self.level_at(block_ms)
            rule = self.rules.at(block_ms)
            if (blocks, level, rule) != self._recent[:3]:  # on a quiet link most blocks add nothing
                normal = normal_after(blocks, rule, self._slot_ms, level)
                self._recent = blocks, level, rule, normal
            known = self._recent[3]
            if level.stays and level.until_ms == block_ms // HOUR_MS * HOUR_MS:
                known = known._replace(stays=True)
            self._normals[block_ms] = known
        return known

    def level_at(self, at_ms: int) -> Level:
        """Return the level after the last hour that ended by ``at_ms``."""
        hours = self.past.hours
        end = bisect_left(hours, at_ms // HOUR_MS * HOUR_MS, key=_start_of_hour)
        return hours[end - 1].level if end else UNKNOWN

    def volume_before(self, at_ms: int) -> int | None:
        """Return the rounded attempts of the last block before a time that counts for the normal, if any."""
        telling, block_ms = self.past.telling, at_ms // BLOCK_MS * BLOCK_MS
        if telling and telling[-1].start_ms < block_ms:
            return coarse_volume(telling[-1].attempts)
        end = bisect_left(telling, block_ms, key=_start)
        return coarse_volume(telling[end - 1].attempts) if end else None

    def next_telling_ms(self, at_ms: int) -> int | None:
        """Return the start of the first block from a time on that counts for the normal, if there is one."""
        following = bisect_left(self.past.telling, at_ms, key=_start)
        return self.past.telling[following].start_ms if following < len(self.past.telling) else None

    def raised_at(self, at_ms: int) -> RaisedNormal | UnsetType:
        """Return which of the link's normal values were raised at a time; UNSET if none."""
        return _raised(self.level_at(at_ms))

    def take_relevelled(self) -> list[tuple[int, int]]:
        """Return the time spans in which the raised values changed, and forget them."""
        spans, self._relevelled = self._relevelled, []
        return spans

    def put(self, block_ms: int, block: Block | None) -> bool:
        """Keep a block, or remove it if None; return whether anything changed."""
        if not _put(self.past.blocks, block_ms, block):
            return False
        _put(self.past.telling, block_ms, block if block is not None and block.telling else None)
        self._sum_hour(block_ms // HOUR_MS * HOUR_MS)
        return True

    def moved_since(self, block_ms: int) -> list[int]:
        """Return the starts of later blocks whose normal differs from what `normal_at` had computed."""
        moved = []
        for later in sorted(at for at in self._normals if at > block_ms):
            before = self._normals.pop(later)
            if self.normal_at(later) != before:
                moved.append(later)
        return moved

    def prune(self, before_ms: int) -> None:
        """Forget the blocks of hours that no late record may change, and the hours no longer needed."""
        past = self.past
        hour_ms = before_ms // HOUR_MS * HOUR_MS
        del past.blocks[: bisect_left(past.blocks, hour_ms, key=_start)]
        old = bisect_left(past.telling, hour_ms, key=_start)
        if old > 2 * BLOCKS:
            del past.telling[: old - BLOCKS]
        past.hours = needed(past.hours, hour_ms, self.rules.normal_after_ms)
        if len(self._normals) > 4 * BLOCKS:
            self._normals = {at: normal for at, normal in self._normals.items() if at >= before_ms - BLOCK_MS}

    def _sum_hour(self, hour_ms: int) -> None:
        """Sum up an hour from its blocks, and the levels from it on."""
        past, hours = self.past, self.past.hours
        first = bisect_left(past.blocks, hour_ms, key=_start)
        last = bisect_left(past.blocks, hour_ms + HOUR_MS, key=_start)
        blocks = past.blocks[first:last]
        at = bisect_left(hours, hour_ms, key=_start_of_hour)
        there = at < len(hours) and hours[at].start_ms == hour_ms
        said = hours[at].level if there else hours[at - 1].level if at else UNKNOWN
        hours[at : at + there] = (
            [Hour(hour_ms, sums_of(blocks, "UP"), sums_of(blocks, "DEGRADED"), said)] if blocks else []
        )
        for later in range(at, len(hours)):
            before, said = hours[later - 1].level if later else UNKNOWN, hours[later].level
            hours[later] = levelled(hours[: later + 1], before, self.rules.at(hours[later].start_ms))
            if _raised(hours[later].level) != _raised(said):
                until_ms = hours[later + 1].start_ms + HOUR_MS if later + 1 < len(hours) else FAR
                self._relevelled.append((hours[later].start_ms + HOUR_MS, until_ms))


def _raised(level: Level) -> RaisedNormal | UnsetType:
    if level.raised_ms is None and level.slower_ms is None:
        return UNSET
    return RaisedNormal(
        failure_share=None if level.raised_ms is None else level.failure_share,
        since_ms=level.raised_ms,
        slow_ms=None if level.slower_ms is None else level.slow_ms,
        slower_since_ms=level.slower_ms,
    )


def _put(blocks: list[Block], block_ms: int, block: Block | None) -> bool:
    at = bisect_left(blocks, block_ms, key=_start)
    there = at < len(blocks) and blocks[at].start_ms == block_ms
    known = blocks[at] if there else None
    if known == block:
        return False
    blocks[at : at + there] = [] if block is None else [block]
    return True


def _start(block: Block) -> int:
    return block.start_ms


def _start_of_hour(hour: Hour) -> int:
    return hour.start_ms
