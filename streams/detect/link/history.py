"""One link's facts over the last hours, and the rule's verdicts over them.

Slots are judged in order as the watermark closes them. A late fact changes a slot already judged. Then its
minute is judged again, those after it until the rule's state is the same as the first time (usually at once),
and those whose normal it changes. So a late record leads to the same verdicts as if it had been on time.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable

from msgspec.structs import replace

from streams.detect.link.blocks import Blocks
from streams.detect.link.habits import Habits, Past
from streams.detect.link.minute import MINUTE_MS, Decided, Minute
from streams.detect.link.minutes import PACK_AFTER_MS, Minutes
from streams.detect.link.placing import (
    REACH_MS,
    SLOW_LOOKBACK_MS,
    SlotsOf,
    confirmed,
    confirmed_recovery,
    first_edge_ms,
    settled_edge_ms,
    trouble_before,
)
from streams.detect.rule.cusum import QUIET, Counts, Normal, RuleState, Verdict, step
from streams.detect.rule.normal import BLOCK_MS
from streams.detect.rule.rules import LinkRules
from streams.detect.rule.slowness import slow_answers
from streams.model.measurement import LinkSlot
from streams.model.settings import DetectSettings


class History(Minutes):
    """Facts and verdicts of one link."""

    def __init__(self, rules: LinkRules, settings: DetectSettings) -> None:
        super().__init__(rules, settings)
        self.past: list[Decided] = []
        """The last verdicts whose minutes are forgotten; later verdicts are judged against them."""
        self.habits = Habits(rules, settings.slot_ms)
        self._deciding: list[int] = []
        self._blocks = Blocks()
        self._reach_ms = max(SLOW_LOOKBACK_MS, REACH_MS + 2 * settings.longest_lookback_ms) + MINUTE_MS
        """How far before the start of its evidence, or before its edge, a verdict may read facts."""
        self._resummed: set[int] = set()
        self._rejudged: set[int] = set()

    @property
    def verdicts(self) -> list[Decided]:
        """The remembered verdicts, in order of decision."""
        return self.past + [decided for at in self._deciding for decided in self.minutes[at].verdicts]

    @property
    def unsettled(self) -> list[Decided]:
        """The verdicts that facts may still change, in order of decision."""
        return [decided for decided in self.verdicts if not self._is_final(decided)]

    def restore(
        self, minutes: dict[int, Minute], past: list[Decided], final_ms: int, state: RuleState, usual: Past
    ) -> None:
        """Continue from the saved state of another history. Call it first, on a new object."""
        self.minutes, self.past, self.state, self.habits.past = minutes, past, state, usual
        self.final_ms = final_ms
        self._index()
        self._deciding = [at for at in self._order if minutes[at].verdicts]

    def add(self, slot: LinkSlot) -> Decided | None:
        """Add and judge a slot that has just closed, which must be later than all before it."""
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
        """Merge late facts into slots already closed, and judge again whatever they affect."""
        touched: set[int] = set()
        for slot in late:
            start_ms = slot.start_ms // MINUTE_MS * MINUTE_MS
            minute = self.minutes.get(start_ms)
            if minute is None:
                minute = self._begin(start_ms)
            if minute.packed is not None:  # merging unpacks it, until the next minute begins
                self._unpacked.appendleft(start_ms)
            if start_ms < self._order[-1] - PACK_AFTER_MS:
                self._untrimmed.appendleft(start_ms)
            minute.merge(slot)
            self._blocks.note(start_ms, minute)
            touched.add(start_ms)
        self.look_again(touched)

    def look_again(self, touched: set[int]) -> None:
        """Judge again the minutes whose facts, or whose observer coverage, changed."""
        touched = {at for at in touched if at in self.minutes} | self._after_silences(touched)
        for at in (
            self._deciding
        ):  # an edge may depend on facts before the start of the test that found it, or after
            for decided in self.minutes[at].verdicts:
                from_ms = min(decided.verdict.since_ms, decided.edge_ms) - self._reach_ms
                to_ms = self.settles_ms(decided.decided_ms)
                if any(from_ms < start_ms < to_ms for start_ms in touched):
                    touched.add(at)
                    break
        self._judge_again(touched)

    def settle(self, now_ms: int) -> list[int]:
        """Place for good the edges for which that is possible now; return when the others can be placed."""
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
                slots = self._slots_since(slot_ms, decided.edge_ms - self._reach_ms)
                back_ms = self.settings.lookback_ms(decided.decided_ms)
                settled_ms = settled_edge_ms(decided, before, after, known_ms, slots, back_ms, rule, normal)
                minute = self.minutes[at]
                settled = replace(decided, settled_ms=settled_ms)
                minute.verdicts = [settled if one is decided else one for one in minute.verdicts]
        return pending

    def take_rejudged(self) -> set[int]:
        """Return the minutes that were judged again since the last call."""
        taken, self._rejudged = self._rejudged, set()
        return taken

    def make_final(self, before_ms: int) -> list[Decided]:
        """Note that no more facts before a time will come; return the verdicts this makes final."""
        unsettled = self.unsettled
        self.final_ms = before_ms
        return [decided for decided in unsettled if self._is_final(decided)]

    def floor_ms(self, before_ms: int) -> int:
        """Return a time before which no fact is read again, if no more facts before ``before_ms`` will come.

        Judging reads back to the start of its evidence, and a little further. Evidence begins with a slot
        that is judged again, or at the start of a test sum that is above zero at that slot.
        """
        unsettled = [decided for decided in self.unsettled if _reads_facts(decided)]
        minutes = (at - at % MINUTE_MS for at in (d.decided_ms - self.settings.slot_ms for d in unsettled))
        from_ms = min([before_ms, *minutes])
        at = bisect_left(self._order, from_ms)
        state = self.minutes[self._order[at]].before if at < len(self._order) else self.state
        begins = [from_ms, *(test.since_ms for test in state.tests if test.total > 0)]
        begins += [min(decided.verdict.since_ms, decided.edge_ms) for decided in unsettled]
        floor_ms = min(begins) - self._reach_ms
        return min([floor_ms, *self._asked_before(floor_ms)]) // BLOCK_MS * BLOCK_MS

    def forget(self, before_ms: int) -> list[tuple[int, Minute]]:
        """Forget, and return, the minutes before the start ``before_ms`` of a block."""
        if self._order and self._order[-1] < before_ms:  # no later slot caused them to be summed up
            self._sum_up(self._order[-1] // BLOCK_MS * BLOCK_MS)
        forgotten = self._drop(before_ms)
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
        """Return what was normal for the link at a time, with the failure share the verdict was based on."""
        return self.normal_at(at_ms)._replace(failure_share=verdict.normal_share)

    def take_resummed(self) -> list[tuple[int, int]]:
        """Return the spans whose preceding block's volume was corrected since the last call."""
        spans = []
        for block_ms in sorted(self._resummed):
            last_ms = self.habits.next_telling_ms(block_ms + BLOCK_MS) or self._order[-1]
            spans.append((block_ms + BLOCK_MS, last_ms + BLOCK_MS))
        self._resummed.clear()
        return spans

    def _begin(self, start_ms: int) -> Minute:
        """Begin a minute; sum up the block that this ends, if any."""
        order, before = self._order, self.state
        if order and start_ms < order[-1]:
            before = self.minutes[order[bisect_left(order, start_ms)]].before
            insort(order, start_ms)
            self._touch(start_ms)
        else:
            if order and order[-1] // BLOCK_MS < start_ms // BLOCK_MS:
                self._sum_up(order[-1] // BLOCK_MS * BLOCK_MS)
            order.append(start_ms)
            self._untrimmed.append(start_ms)
            self._unpacked.append(start_ms)
        return self._keep(start_ms, Minute(before))

    def _judge(
        self, state: RuleState, slot: LinkSlot, earlier: list[Decided]
    ) -> tuple[RuleState, Decided | None]:
        """Run the rule over one slot; return its new state and a verdict, with its edge, if there is one.

        ``earlier`` are the previous verdicts of the same minute.
        """
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
        state = self.resumed(state, start_ms)
        end_ms, rule = start_ms + self.settings.slot_ms, self.rules.at(start_ms)
        counts = Counts(max(ok, 0), max(failed, 0), max(min(slow, ok), 0))

        def holds(verdict: Verdict) -> bool:
            return self._confirmed(verdict, state, end_ms, earlier)

        after, verdict = step(state, slot.start_ms, end_ms, counts, rule, normal, holds)
        if after != QUIET:
            after = after._replace(heard_ms=end_ms)
        if verdict is None:
            return after, None
        normal, back_ms = self._normal_of(verdict, start_ms), self.settings.lookback_ms(end_ms)
        slots = self._slots_for(state, verdict, end_ms)
        edge_ms = first_edge_ms(state, verdict, end_ms, slots, back_ms, rule, normal)
        slow = verdict.test == "slow" or (state.spell is not None and state.spell.slow)
        return after, Decided(end_ms, verdict, edge_ms, slow, trouble=trouble_before(state))

    def _confirmed(self, verdict: Verdict, state: RuleState, end_ms: int, earlier: list[Decided]) -> bool:
        """Return whether a verdict also holds by request times; ``earlier`` are those of its minute."""
        if verdict.test == "normal":
            return True
        slot_ms = end_ms - self.settings.slot_ms
        slots, back_ms = self._slots_for(state, verdict, end_ms), self.settings.lookback_ms(end_ms)
        rule, normal = self.rules.at(slot_ms), self._normal_of(verdict, slot_ms)
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

    def _slots_for(self, state: RuleState, verdict: Verdict, end_ms: int) -> SlotsOf:
        """Return the slots that a verdict may read: none from before an overlong silence."""
        if verdict.condition == "UP" and state.spell is not None and state.spell.slow:
            return self._slots_since(end_ms, verdict.since_ms - SLOW_LOOKBACK_MS)
        return self.slots  # its evidence began after any such silence, and it reads no further back

    def _judge_again(self, touched: set[int]) -> None:
        """Judge the minutes ``touched`` again, and the later ones that this affects."""
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
            for near in self._deciding[max(at - 1, 0) : at + 2]:  # this one's edge bounds theirs
                other = self.minutes[near]
                other.verdicts = [one if self._is_final(one) else _unsettled(one) for one in other.verdicts]
        minute.verdicts = verdicts

    def _moved_by(self, block_ms: int) -> list[int]:
        """Sum a block up again, if it was before; return the minutes whose normal this changes."""
        habits = self.habits
        volume = habits.volume_before(block_ms + BLOCK_MS)
        if self._order[-1] // BLOCK_MS * BLOCK_MS <= block_ms or not self._sum_up(block_ms):
            return []
        if habits.volume_before(block_ms + BLOCK_MS) != volume:
            self._resummed.add(block_ms)
        moved = habits.moved_since(block_ms)
        return [at for later in moved for at, _ in self.between(later, later + BLOCK_MS)]

    def _sum_up(self, block_ms: int) -> bool:
        """Sum up a block of ten minutes; return whether the result changed."""
        minutes = list(self.between(block_ms, block_ms + BLOCK_MS))
        return self.habits.put(block_ms, self._blocks.sum_up(block_ms, minutes, self.rules.at(block_ms)))


def _reads_facts(decided: Decided) -> bool:
    """Return whether a verdict's edge depends on facts, rather than on an earlier edge or the clock."""
    return not decided.verdict.whole and decided.verdict.test != "normal"


def _unsettled(decided: Decided) -> Decided:
    return replace(decided, settled_ms=None)
