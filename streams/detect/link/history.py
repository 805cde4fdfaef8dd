"""One link's facts over the last hours, and the rule's verdicts over them.

Slots are judged in order as the watermark closes them. A late fact changes a slot already judged: its
minute is judged again, and those after it until the rule's state is what it was the first time (usually
at once), and those whose normal it moves. So a late record leads to the same verdicts as the same record
on time.
"""

import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from streams.detect.link.blocks import Blocks
from streams.detect.link.habits import Habits, Past
from streams.detect.link.minute import MINUTE_MS, Decided, Minute
from streams.detect.link.placing import (
    REACH_MS,
    SLOW_LOOKBACK_MS,
    confirmed,
    confirmed_recovery,
    first_edge_ms,
    settled_edge_ms,
)
from streams.detect.rule.cusum import QUIET, Counts, Normal, RuleState, Verdict, step
from streams.detect.rule.normal import BLOCK_MS
from streams.detect.rule.rules import LinkRules
from streams.detect.rule.slowness import slow_answers
from streams.model.events import NO_RESPONSE
from streams.model.measurement import LinkSlot
from streams.model.settings import DetectSettings

PACK_AFTER_MS: Final = 3 * MINUTE_MS
"""Minutes older than this are trimmed, and packed: only a late record or a long spell reads them again."""


class History:
    """Facts and verdicts of one link."""

    def __init__(self, rules: LinkRules, settings: DetectSettings) -> None:
        self.rules, self.settings = rules, settings
        self.minutes: dict[int, Minute] = {}
        self.past: list[Decided] = []
        """The last of the verdicts whose minutes are forgotten: those to come are judged beside them."""
        self.final_ms = -(1 << 62)
        """No fact before this comes any more: verdicts that have settled by then are final."""
        self.state = QUIET
        self.habits = Habits(rules, settings.slot_ms)
        self._order: list[int] = []
        self._untrimmed: deque[int] = deque()
        self._unpacked: deque[int] = deque()
        self._deciding: list[int] = []
        self._blocks = Blocks()
        self._reach_ms = max(SLOW_LOOKBACK_MS, REACH_MS + 2 * settings.longest_lookback_ms) + MINUTE_MS
        """How far before its evidence began, or its edge, a verdict may read facts."""
        self.pack_after_ms = PACK_AFTER_MS
        """How old minutes are packed, which changes nothing but what they take in memory and in time."""
        self._resummed: set[int] = set()
        self._rejudged: set[int] = set()
        self.watched: Callable[[int, int], bool] = lambda _start_ms, _end_ms: True
        """Says whether an observer was alive at any time of a span."""

    @property
    def verdicts(self) -> list[Decided]:
        """Return the verdicts that are remembered, in order of decision."""
        return self.past + [decided for at in self._deciding for decided in self.minutes[at].verdicts]

    @property
    def unsettled(self) -> list[Decided]:
        """Return the verdicts that facts may still change, in order of decision."""
        return [decided for decided in self.verdicts if not self._is_final(decided)]

    def restore(
        self, minutes: dict[int, Minute], past: list[Decided], final_ms: int, state: RuleState, usual: Past
    ) -> None:
        """Go on, fresh from the constructor, where another history stood."""
        self.minutes, self.past, self.state, self.habits.past = minutes, past, state, usual
        self.final_ms = final_ms
        self._order = sorted(minutes)
        self._unpacked.extend(at for at in self._order if minutes[at].packed is None)
        self._untrimmed.extend(self._unpacked)
        self._deciding = [at for at in self._order if minutes[at].verdicts]

    def add(self, slot: LinkSlot) -> Decided | None:
        """Take in a slot that has just closed (later than all before it) and judge it."""
        start_ms = slot.start_ms // MINUTE_MS * MINUTE_MS
        minute = self.minutes.get(start_ms)
        if minute is None:
            minute = self._begin(start_ms)
        minute.append(slot)
        self.state, decided = self._judge(self.state, slot, minute.verdicts)
        if decided is not None:
            self._note(start_ms, [*minute.verdicts, decided])
        return decided

    def correct(self, late: Iterable[LinkSlot]) -> None:
        """Merge late facts into slots already closed, and judge again what they touch."""
        touched: set[int] = set()
        for slot in late:
            start_ms = slot.start_ms // MINUTE_MS * MINUTE_MS
            minute = self.minutes.get(start_ms)
            if minute is None:
                minute = self._begin(start_ms)
            if minute.packed is not None:  # it will not be, until the next minute begins
                self._unpacked.appendleft(start_ms)
            if start_ms < self._order[-1] - PACK_AFTER_MS:
                self._untrimmed.appendleft(start_ms)
            minute.merge(slot)
            self._blocks.note(start_ms, minute)
            touched.add(start_ms)
        self.look_again(touched)

    def look_again(self, touched: set[int]) -> None:
        """Judge again the minutes whose facts, or what is known of the observer, changed."""
        touched = {at for at in touched if at in self.minutes}
        for at in self._deciding:  # an edge may lie in facts before the test that found it began, or after
            for decided in self.minutes[at].verdicts:
                from_ms = min(decided.verdict.since_ms, decided.edge_ms) - self._reach_ms
                to_ms = self.settles_ms(decided.decided_ms)
                if any(from_ms < start_ms < to_ms for start_ms in touched):
                    touched.add(at)
                    break
        self._judge_again(touched)

    def settles_ms(self, decided_ms: int) -> int:
        """Return when all outcomes of requests asked before a verdict are known, as the end of a slot."""
        slot_ms = self.settings.slot_ms
        return -(-(decided_ms + self.settings.timeout_at_ms(decided_ms) + slot_ms) // slot_ms) * slot_ms

    def _is_final(self, decided: Decided) -> bool:
        return self.settles_ms(decided.decided_ms) <= self.final_ms

    def settle(self, now_ms: int) -> list[int]:
        """Place the edges again that can be placed for good by now; return when others can be."""
        pending = []
        verdicts = [one for one in self.verdicts if not one.verdict.whole]
        neighbours = zip([None, *verdicts], verdicts, [*verdicts[1:], None], strict=False)
        for before, decided, after in neighbours:
            if decided.settled_ms is not None:
                continue
            known_ms = self.settles_ms(decided.decided_ms)
            at = (decided.decided_ms - self.settings.slot_ms) // MINUTE_MS * MINUTE_MS
            if known_ms > now_ms:
                pending.append(known_ms)
            elif at in self.minutes:
                slot_ms = decided.decided_ms - self.settings.slot_ms
                normal, rule = self._normal_of(decided.verdict, slot_ms), self.rules.at(slot_ms)
                back_ms = self.settings.lookback_ms(decided.decided_ms)
                settled_ms = settled_edge_ms(
                    decided, before, after, known_ms, self.slots, back_ms, rule, normal
                )
                minute = self.minutes[at]
                settled = replace(decided, settled_ms=settled_ms)
                minute.verdicts = [settled if one is decided else one for one in minute.verdicts]
        return pending

    def take_rejudged(self) -> set[int]:
        """Return, once, the minutes that were judged again."""
        taken, self._rejudged = self._rejudged, set()
        return taken

    def first_minute_ms(self) -> int | None:
        """Return the start of the first minute that is kept, None where there is none."""
        return self._order[0] if self._order else None

    def last_minute_ms(self) -> int | None:
        """Return the start of the last minute, None where there is none."""
        return self._order[-1] if self._order else None

    def minute_before_ms(self, start_ms: int) -> int:
        """Return the start of the minute kept before one, or that one's own where there is none."""
        at = bisect_left(self._order, start_ms)
        return self._order[at - 1] if at else start_ms

    def between(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, Minute]]:
        """Yield the minutes that overlap ``[from_ms, to_ms)`` with their starts, ascending."""
        order = self._order
        for at in range(bisect_left(order, from_ms - MINUTE_MS + 1), bisect_left(order, to_ms)):
            yield order[at], self.minutes[order[at]]

    def make_final(self, before_ms: int) -> list[Decided]:
        """Note that no fact before a time comes any more; return the verdicts that are final by that."""
        unsettled = self.unsettled
        self.final_ms = before_ms
        return [decided for decided in unsettled if self._is_final(decided)]

    def floor_ms(self, before_ms: int) -> int:
        """Return a time before which no fact is read again, as no fact before ``before_ms`` comes any more.

        Whatever is judged from now on reads back to where its evidence began, and a little further. Evidence
        begins with a slot that is judged again, or where a sum began that is rising when that is.
        """
        unsettled = [decided for decided in self.unsettled if _reads_facts(decided)]
        minutes = (at - at % MINUTE_MS for at in (d.decided_ms - self.settings.slot_ms for d in unsettled))
        from_ms = min([before_ms, *minutes])
        at = bisect_left(self._order, from_ms)
        state = self.minutes[self._order[at]].before if at < len(self._order) else self.state
        begins = [from_ms, *(test.since_ms for test in state.tests if test.total > 0)]
        begins += [min(decided.verdict.since_ms, decided.edge_ms) for decided in unsettled]
        return (min(begins) - self._reach_ms) // BLOCK_MS * BLOCK_MS

    def forget(self, before_ms: int) -> list[tuple[int, Minute]]:
        """Forget, and return, the minutes before the start ``before_ms`` of a block."""
        if self._order and self._order[-1] < before_ms:  # nothing came after them that had them summed up
            self._sum_up(self._order[-1] // BLOCK_MS * BLOCK_MS)
        gone = bisect_left(self._order, before_ms)
        forgotten = [(start_ms, self.minutes.pop(start_ms)) for start_ms in self._order[:gone]]
        del self._order[:gone]
        while self._unpacked and self._unpacked[0] < before_ms:
            self._unpacked.popleft()
        self._deciding = [at for at in self._deciding if at >= before_ms]
        past = self.past + [decided for _, minute in forgotten for decided in minute.verdicts]
        bounding = [at for at, decided in enumerate(past) if not decided.verdict.whole]
        self.past = past[bounding[-1] if bounding else 0 :]
        self.habits.prune(before_ms)
        return forgotten

    def normal_at(self, at_ms: int) -> Normal:
        """Return what was normal for the link at a time."""
        return self.habits.normal_at(at_ms)

    def _normal_of(self, verdict: Verdict, at_ms: int) -> Normal:
        """Return what was normal for the link at a time as a verdict of then had it."""
        return self.normal_at(at_ms)._replace(failure_share=verdict.normal_share)

    def take_resummed(self) -> list[tuple[int, int]]:
        """Return, once, the spans before which the last quiet block says another volume since corrected."""
        spans = []
        for block_ms in sorted(self._resummed):
            last_ms = self.habits.next_telling_ms(block_ms + BLOCK_MS) or self._order[-1]
            spans.append((block_ms + BLOCK_MS, last_ms + BLOCK_MS))
        self._resummed.clear()
        return spans

    def _begin(self, start_ms: int) -> Minute:
        """Begin a minute; a block that ends with this is summed up."""
        order, before = self._order, self.state
        if order and start_ms < order[-1]:
            before = self.minutes[order[bisect_left(order, start_ms)]].before
            insort(order, start_ms)
            self._untrimmed.appendleft(start_ms)
            self._unpacked.appendleft(start_ms)
        else:
            if order and order[-1] // BLOCK_MS < start_ms // BLOCK_MS:
                self._sum_up(order[-1] // BLOCK_MS * BLOCK_MS)
            order.append(start_ms)
            self._untrimmed.append(start_ms)
            self._unpacked.append(start_ms)
        minute = self.minutes[start_ms] = Minute(before)
        while self._untrimmed[0] < start_ms - PACK_AFTER_MS:
            if (old := self.minutes.get(self._untrimmed.popleft())) is not None:
                old.trim()
        while self._unpacked[0] < start_ms - self.pack_after_ms:
            if (old := self.minutes.get(self._unpacked.popleft())) is not None:
                old.pack()
        return minute

    def _judge(
        self, state: RuleState, slot: LinkSlot, earlier: list[Decided]
    ) -> tuple[RuleState, Decided | None]:
        """Run the rule over one slot; a verdict comes with its edge. ``earlier`` are those of its minute."""
        ok = failed = 0
        for asked in slot.asked:
            ok += asked.ok
            failed += asked.failed
        if (ok <= 0 and failed <= 0) or (failed > 0 and self._unseen(slot)):
            return state, None
        start_ms = slot.start_ms
        normal = self.habits.in_block(start_ms - start_ms % BLOCK_MS) or self.normal_at(start_ms)
        slow = slow_answers(slot.latency, normal.slow_ms)
        if failed <= 0 and slow <= 0 and state == QUIET and normal.known:
            return state, None
        end_ms, rule = start_ms + self.settings.slot_ms, self.rules.at(start_ms)
        counts = Counts(max(ok, 0), max(failed, 0), max(min(slow, ok), 0))

        def holds(verdict: Verdict) -> bool:
            return self._confirmed(verdict, state, end_ms, earlier)

        after, verdict = step(state, slot.start_ms, end_ms, counts, rule, normal, holds)
        if verdict is None:
            return after, None
        normal, back_ms = self._normal_of(verdict, start_ms), self.settings.lookback_ms(end_ms)
        edge_ms = first_edge_ms(state, verdict, end_ms, self.slots, back_ms, rule, normal)
        slow = verdict.test == "slow" or (state.spell is not None and state.spell.slow)
        return after, Decided(end_ms, verdict, edge_ms, slow)

    def _confirmed(self, verdict: Verdict, state: RuleState, end_ms: int, earlier: list[Decided]) -> bool:
        """Say whether a verdict holds by the time of asking; ``earlier`` are those of its minute."""
        if verdict.test == "normal":
            return True
        slot_ms = end_ms - self.settings.slot_ms
        slots, rule, normal = self.slots, self.rules.at(slot_ms), self._normal_of(verdict, slot_ms)
        back_ms = self.settings.lookback_ms(end_ms)
        if verdict.condition == "UP":
            edge_ms = first_edge_ms(state, verdict, end_ms, slots, back_ms, rule, normal)
            return confirmed_recovery(state, edge_ms, end_ms, slots, rule, normal)
        last = earlier[-1] if earlier else self._last_before(end_ms - self.settings.slot_ms)
        from_ms = verdict.since_ms - back_ms
        if last is not None:
            from_ms = max(from_ms, last.edge_ms)
        return confirmed(verdict, from_ms, end_ms, slots, rule, normal)

    def _last_before(self, at_ms: int) -> Decided | None:
        """Return the last verdict before the minute of a time."""
        at = bisect_left(self._deciding, at_ms - at_ms % MINUTE_MS)
        if at:
            return self.minutes[self._deciding[at - 1]].verdicts[-1]
        return self.past[-1] if self.past else None

    def slots(self, from_ms: int, to_ms: int) -> Iterator[LinkSlot]:
        """Yield the slots that begin in ``[from_ms, to_ms)``, ascending, without those that say nothing."""
        for _, minute in self.between(from_ms, to_ms):
            for slot in minute.read():
                if from_ms <= slot.start_ms < to_ms and not self._unseen(slot):
                    yield slot

    def _unseen(self, slot: LinkSlot) -> bool:
        """Say whether a slot holds nothing but expired requests, and nobody was there to see an answer."""
        expired_only = not slot.requested and len(slot.outcomes) == 1 and NO_RESPONSE in slot.outcomes
        return expired_only and not self.watched(slot.start_ms, slot.start_ms + self.settings.slot_ms)

    def _judge_again(self, touched: set[int]) -> None:
        """Judge the minutes ``touched`` again, and whatever that changes after them."""
        todo, queued, changed = sorted(touched), set(touched), set[int]()
        while todo or changed:
            if changed and (not todo or todo[0] >= min(changed) + BLOCK_MS):
                block_ms = min(changed)
                changed.discard(block_ms)
                again = [at for at in self._moved_by(block_ms) if at not in queued]
                queued.update(again)
                todo = sorted([*todo, *again])
                continue
            start_ms = heapq.heappop(todo)
            queued.discard(start_ms)
            state = self._judge_minute(start_ms)
            changed.add(start_ms // BLOCK_MS * BLOCK_MS)
            after = bisect_left(self._order, start_ms) + 1
            if after == len(self._order):
                self.state = state
                continue
            following = self._order[after]
            if self.minutes[following].before != state:
                self.minutes[following].before = state
                if following not in queued:
                    queued.add(following)
                    heapq.heappush(todo, following)

    def _judge_minute(self, start_ms: int) -> RuleState:
        """Judge one minute again and return the state after it."""
        self._rejudged.add(start_ms)
        minute = self.minutes[start_ms]
        state, verdicts = minute.before, list[Decided]()
        for slot in minute.read():
            state, decided = self._judge(state, slot, verdicts)
            if decided is not None:
                verdicts.append(decided)
        self._note(start_ms, verdicts)
        return state

    def _note(self, start_ms: int, verdicts: list[Decided]) -> None:
        minute = self.minutes[start_ms]
        if bool(verdicts) != bool(minute.verdicts):
            if verdicts:
                insort(self._deciding, start_ms)
            else:
                self._deciding.remove(start_ms)
        if [_unsettled(one) for one in verdicts] != [_unsettled(one) for one in minute.verdicts]:
            at = bisect_left(self._deciding, start_ms)
            for near in self._deciding[max(at - 1, 0) : at + 2]:  # their edges are bounded by this one
                other = self.minutes[near]
                other.verdicts = [one if self._is_final(one) else _unsettled(one) for one in other.verdicts]
        minute.verdicts = verdicts

    def _moved_by(self, block_ms: int) -> list[int]:
        """Sum a block up again, if it was; return the minutes whose normal that moves."""
        habits = self.habits
        volume = habits.volume_before(block_ms + BLOCK_MS)
        if self._order[-1] // BLOCK_MS * BLOCK_MS <= block_ms or not self._sum_up(block_ms):
            return []
        if habits.volume_before(block_ms + BLOCK_MS) != volume:
            self._resummed.add(block_ms)
        moved = habits.moved_since(block_ms)
        return [at for later in moved for at, _ in self.between(later, later + BLOCK_MS)]

    def _sum_up(self, block_ms: int) -> bool:
        """Sum up a block of ten minutes; say whether that says something new."""
        minutes = list(self.between(block_ms, block_ms + BLOCK_MS))
        return self.habits.put(block_ms, self._blocks.sum_up(block_ms, minutes, self.rules.at(block_ms)))


def _reads_facts(decided: Decided) -> bool:
    """Say whether where the edge of a verdict lies hangs on facts, not on an earlier edge or on the clock."""
    return not decided.verdict.whole and decided.verdict.test != "normal"


def _unsettled(decided: Decided) -> Decided:
    return replace(decided, settled_ms=None)
