"""One link's facts over the last hours, and the rule's verdicts over them.

Slots are judged in order as the watermark closes them. A late fact changes a slot already judged: the
rule is run again from the minute before it, until its state is what it was the first time (usually soon),
so that a late record leads to the same verdicts as the same record on time.
"""

from bisect import bisect_left
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from streams.detect.edges import first_asked_ms, onset_ms, recovery_ms
from streams.detect.facts import copy_slot, merge_asked, merge_slots
from streams.detect.normal import BLOCK_MS, Block, block_of, normal_after
from streams.detect.rule import Counts, Normal, Rule, RuleState, Verdict, step
from streams.model.measurement import Asked, LinkSlot
from streams.model.settings import DetectSettings
from streams.model.sketch import bucket_of

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[LinkSlot]).decode

MINUTE_MS = 60_000
PACK_AFTER_MS = 10 * MINUTE_MS
"""Minutes older than this are kept packed: they are only read again for a late record or a long spell."""


class Decided(Struct, frozen=True):
    """A verdict, when it was decided, and the edge it puts into the time of asking."""

    decided_ms: int
    verdict: Verdict
    edge_ms: int


class Minute(Struct):
    """The slots of one minute, and the rule's state before the first of them."""

    before: RuleState
    slots: list[LinkSlot]
    packed: bytes | None = None

    def read(self) -> list[LinkSlot]:
        """Return the slots, ascending."""
        return self.slots if self.packed is None else _unpack(self.packed)


class History:
    """Facts and verdicts of one link."""

    def __init__(self, rule: Rule, settings: DetectSettings, lookback_ms: int) -> None:
        self.rule, self.settings = rule, settings
        self.minutes: dict[int, Minute] = {}
        self.verdicts: list[Decided] = []
        self.state = RuleState()
        self.blocks: list[Block] = []
        self._normals: dict[int, Normal] = {}
        self._lookback_ms = lookback_ms
        self._packed_until_ms = 0

    def add(self, slot: LinkSlot) -> None:
        """Take in a slot that has just closed (later than all before it) and judge it."""
        start_ms = slot.start_ms // MINUTE_MS * MINUTE_MS
        if start_ms not in self.minutes:
            self._enter(start_ms)
            self.minutes[start_ms] = Minute(self.state, [])
            self._pack(start_ms - PACK_AFTER_MS)
        self.minutes[start_ms].slots.append(slot)
        self.state = self._judge(self.state, slot)

    def correct(self, late: list[LinkSlot]) -> None:
        """Merge late facts into slots already closed, and judge again what they touch."""
        touched = {self._merge(slot) for slot in late}
        if touched:
            self._judge_again(min(touched), max(touched))

    def slots(self, from_ms: int, to_ms: int) -> Iterator[LinkSlot]:
        """Yield the slots that begin in ``[from_ms, to_ms)``, ascending."""
        for start_ms in sorted(self.minutes):
            if from_ms - MINUTE_MS < start_ms < to_ms:
                yield from (
                    slot for slot in self.minutes[start_ms].read() if from_ms <= slot.start_ms < to_ms
                )

    def prune(self, before_ms: int) -> None:
        """Forget the minutes before ``before_ms``, and the blocks that are no longer looked back on."""
        for start_ms in [start_ms for start_ms in self.minutes if start_ms < before_ms]:
            del self.minutes[start_ms]
        first_block = before_ms - self.settings.allowed_lateness_ms
        self.blocks = [block for block in self.blocks if block.start_ms >= first_block]
        self._normals = {key: value for key, value in self._normals.items() if key >= first_block}

    def normal_at(self, at_ms: int) -> Normal:
        """Return what was normal for the link at a time."""
        block_ms = at_ms // BLOCK_MS * BLOCK_MS
        known = self._normals.get(block_ms)
        if known is None:
            end = bisect_left(self.blocks, block_ms, key=_start)
            known = self._normals[block_ms] = normal_after(self.blocks[:end], self.rule)
        return known

    def _judge(self, state: RuleState, slot: LinkSlot) -> RuleState:
        """Run the rule over one slot; note a verdict with its edge."""
        ok = failed = 0
        for asked in slot.asked:
            ok += asked.ok
            failed += asked.failed
        if not ok and not failed:
            return state
        normal = self.normal_at(slot.start_ms)
        slow = 0
        if normal.slow_ms is not None:
            bar = bucket_of(normal.slow_ms)
            slow = sum(count for bucket, count in slot.latency.items() if bucket > bar)
        end_ms = slot.start_ms + self.settings.slot_ms
        counts = Counts(max(ok, 0), max(failed, 0), max(min(slow, ok), 0))
        state_after, verdict = step(state, slot.start_ms, end_ms, counts, self.rule, normal)
        if verdict is not None:
            edge_ms = self._edge(state, verdict, end_ms, normal)
            self.verdicts.append(Decided(end_ms, verdict, edge_ms))
        return state_after

    def _edge(self, state: RuleState, verdict: Verdict, end_ms: int, normal: Normal) -> int:
        """Return where the spell began or ended in the time of asking."""
        rule, since_ms = self.rule, verdict.since_ms
        seconds = self._seconds(since_ms - self._lookback_ms, end_ms)
        found: int | None
        if verdict.test == "slow" or (state.spell is not None and state.spell.slow):
            found = first_asked_ms(seconds, since_ms)
        elif verdict.test == "recovery":
            assert state.spell is not None
            share = (state.spell.failures + 1) / (state.spell.attempts + 2)
            found = recovery_ms(seconds, min(max(share, rule.partial_share), 0.9), normal.failure_share)
        elif verdict.test == "partial":
            found = onset_ms(seconds, max(rule.partial_share, 3 * normal.failure_share), normal.failure_share)
        elif verdict.test == "worse":
            found = onset_ms(seconds, rule.worse_share, rule.better_share)
        elif verdict.test == "better":
            found = recovery_ms(seconds, rule.worse_share, rule.better_share)
        else:
            found = onset_ms(seconds, rule.half_share, normal.failure_share)
        return since_ms if found is None else found

    def _seconds(self, from_ms: int, to_ms: int) -> list[Asked]:
        """Return what was asked, second by second, as known from the slots in ``[from_ms, to_ms)``."""
        return merge_asked(slot.asked for slot in self.slots(from_ms, to_ms))

    def _merge(self, late: LinkSlot) -> int:
        """Merge a late slot into its minute and return the minute's start."""
        start_ms = late.start_ms // MINUTE_MS * MINUTE_MS
        minute = self.minutes.get(start_ms)
        if minute is None:
            later = min((key for key in self.minutes if key > start_ms), default=None)
            before = self.state if later is None else self.minutes[later].before
            minute = self.minutes[start_ms] = Minute(before, [])
        slots = minute.read()
        at = bisect_left(slots, late.start_ms, key=_start)
        if at < len(slots) and slots[at].start_ms == late.start_ms:
            merge_slots(slots[at], late)
        else:
            slots.insert(at, copy_slot(late))
        if minute.packed is not None:
            minute.packed = _pack(slots)
        else:
            minute.slots = slots
        return start_ms

    def _judge_again(self, first_ms: int, last_ms: int) -> None:
        """Run the rule again from the minute ``first_ms``, at least through the minute ``last_ms``."""
        earlier = [decided for decided in self.verdicts if decided.decided_ms > first_ms]
        self.verdicts = [decided for decided in self.verdicts if decided.decided_ms <= first_ms]
        state = self.minutes[first_ms].before
        for start_ms in sorted(key for key in self.minutes if key >= first_ms):
            normal_moved = self._enter(start_ms)
            minute = self.minutes[start_ms]
            if start_ms > last_ms and not normal_moved and minute.before == state:
                self.verdicts += [decided for decided in earlier if decided.decided_ms > start_ms]
                return
            minute.before = state
            for slot in minute.read():
                state = self._judge(state, slot)
        self.state = state

    def _enter(self, start_ms: int) -> bool:
        """On entering a block, sum up the one before it; say whether that moved what is normal."""
        block_ms = start_ms // BLOCK_MS * BLOCK_MS
        before = max((key for key in self.minutes if key < start_ms), default=None)
        if before is None or before >= block_ms:
            return False
        summed_ms = before // BLOCK_MS * BLOCK_MS
        slots = list(self.slots(summed_ms, summed_ms + BLOCK_MS))
        block = block_of(summed_ms, slots, self._troubled(summed_ms))
        at = bisect_left(self.blocks, summed_ms, key=_start)
        known = self.blocks[at] if at < len(self.blocks) and self.blocks[at].start_ms == summed_ms else None
        if known == block:
            return False
        self.blocks[at : at + (known is not None)] = [block]
        old = self._normals.get(block_ms)
        self._normals = {key: value for key, value in self._normals.items() if key < block_ms}
        return self.normal_at(block_ms) != old

    def _troubled(self, block_ms: int) -> bool:
        """Say whether the block at ``block_ms`` saw trouble, as far as the verdicts say."""
        condition = "UP"
        for decided in self.verdicts:
            if decided.edge_ms >= block_ms + BLOCK_MS:
                break
            if decided.edge_ms >= block_ms and (condition != "UP" or decided.verdict.condition != "UP"):
                return True
            condition = decided.verdict.condition
        return condition != "UP"

    def _pack(self, before_ms: int) -> None:
        for start_ms in [key for key in self.minutes if self._packed_until_ms <= key < before_ms]:
            minute = self.minutes[start_ms]
            minute.packed, minute.slots = _pack(minute.slots), []
        self._packed_until_ms = max(self._packed_until_ms, before_ms)


def _start(part: LinkSlot | Block) -> int:
    return part.start_ms
