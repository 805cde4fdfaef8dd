"""The minutes of one link in order, of which nothing is read from before an overlong silence.

From the minutes also follows which decisions are final, and since when nothing is known of the link.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from streams.detect.link.minute import MINUTE_MS, Decided, Minute
from streams.detect.link.sight import Sight
from streams.detect.link.silence import PACE_MINUTES, is_too_long, usual_gap_ms
from streams.detect.rule.cusum import QUIET, RuleState, after_silence
from streams.detect.rule.expected import SILENCE
from streams.detect.rule.rules import LinkRules
from streams.model.events import NO_RESPONSE
from streams.model.intervals import length_ms
from streams.model.measurement import LinkSlot
from streams.model.settings import DetectSettings

SlotsOf = Callable[[int, int], Iterator[LinkSlot]]
"""Returns the slots that begin in a span of time, ascending."""
PACK_AFTER_MS: Final = 3 * MINUTE_MS
"""Minutes older than this are trimmed and packed: only a late record or a long spell reads them again."""


class Minutes:
    """Facts of one link by minute; old ones are packed."""

    def __init__(self, rules: LinkRules, settings: DetectSettings) -> None:
        self.rules, self.settings = rules, settings
        self.minutes: dict[int, Minute] = {}
        self.sight = Sight()
        """When an observer was alive."""
        self.state = QUIET
        """The rule's state after the last slot."""
        self.final_ms = -(1 << 62)
        """No more facts before this will come; verdicts that settled by then are final."""
        self.pack_after_ms = PACK_AFTER_MS
        """How old a minute is when it is packed; this affects only memory and running time."""
        self._order: list[int] = []
        self._untrimmed: deque[int] = deque()
        self._unpacked: deque[int] = deque()

    def between(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, Minute]]:
        """Yield the minutes that overlap ``[from_ms, to_ms)`` with their starts, ascending."""
        order = self._order
        for at in range(bisect_left(order, from_ms - MINUTE_MS + 1), bisect_left(order, to_ms)):
            yield order[at], self.minutes[order[at]]

    def first_minute_ms(self) -> int | None:
        """Return the start of the first minute that  is kept, None if there is none."""
        return self._order[0] if self._order else None

    def last_minute_ms(self) -> int | None:
        """Return the start of the last minute, None if there is none."""
        return self._order[-1] if self._order else None

    def minute_before_ms(self, start_ms: int) -> int:
        """Return the start of the last minute kept before ``start_ms``, or ``start_ms`` if there is none."""
        at = bisect_left(self._order, start_ms)
        return self._order[at - 1] if at else start_ms

    def _index(self) -> None:
        """Rebuild the indexes after `minutes` was assigned."""
        self._order = sorted(self.minutes)
        self._unpacked.extend(at for at in self._order if self.minutes[at].packed is None)
        self._untrimmed.extend(self._unpacked)

    def _keep(self, start_ms: int, minute: Minute) -> Minute:
        """Store a minute whose start is in `_order` already; trim and pack those that are now old."""
        self.minutes[start_ms] = minute
        while self._untrimmed[0] < start_ms - PACK_AFTER_MS:
            if (old := self.minutes.get(self._untrimmed.popleft())) is not None:
                old.trim()
        while self._unpacked[0] < start_ms - self.pack_after_ms:
            if (old := self.minutes.get(self._unpacked.popleft())) is not None:
                old.pack()
        return minute

    def _touch(self, start_ms: int) -> None:
        """Note that an old minute is untrimmed and unpacked."""
        self._untrimmed.appendleft(start_ms)
        self._unpacked.appendleft(start_ms)

    def _drop(self, before_ms: int) -> list[tuple[int, Minute]]:
        """Remove, and return, the minutes before a time."""
        gone = bisect_left(self._order, before_ms)
        dropped = [(start_ms, self.minutes.pop(start_ms)) for start_ms in self._order[:gone]]
        del self._order[:gone]
        while self._unpacked and self._unpacked[0] < before_ms:
            self._unpacked.popleft()
        return dropped

    def settles_ms(self, decided_ms: int) -> int:
        """Return the slot end by which all outcomes of requests made before a verdict are known."""
        slot_ms = self.settings.slot_ms
        return -(-(decided_ms + self.settings.timeout_at_ms(decided_ms) + slot_ms) // slot_ms) * slot_ms

    def is_final(self, decided_ms: int) -> bool:
        """Return whether no future fact can change what was decided at ``decided_ms``."""
        return self.settles_ms(decided_ms) <= self.final_ms

    def _is_final(self, decided: Decided) -> bool:
        return self.is_final(decided.decided_ms)

    def resumed(self, state: RuleState, start_ms: int) -> RuleState:
        """Return the state at the start of a slot, without evidence from before an overlong silence."""
        if state.heard_ms and self._is_cut_off(state.heard_ms, start_ms):
            return after_silence(state)
        return state

    def lost_ms(self, now_ms: int) -> int | None:
        """Return since when nothing is known of a link in trouble, if too long ago; otherwise None."""
        heard_ms = self.state.heard_ms
        return heard_ms if heard_ms and self._is_cut_off(heard_ms, now_ms) else None

    def loses_ms(self, now_ms: int) -> int:
        """Return the earliest time at which `lost_ms` may return a time, if nothing is learned until then."""
        heard_ms, slot_ms = self.state.heard_ms, self.settings.slot_ms
        least_ms = self._least_silence_ms(now_ms)
        may_ms = heard_ms + least_ms + slot_ms
        if may_ms <= now_ms:
            unwatched_ms = now_ms - heard_ms - length_ms(self.sight.within(heard_ms, now_ms))
            may_ms = max(now_ms + slot_ms, now_ms + least_ms - unwatched_ms)
            usual_ms = self._usual_gap_ms(heard_ms)
            if usual_ms is not None:
                may_ms = min(may_ms, max(now_ms, heard_ms + round(SILENCE * usual_ms)) + slot_ms)
        return -(-may_ms // slot_ms) * slot_ms

    def _is_cut_off(self, heard_ms: int, start_ms: int) -> bool:
        """Return whether nothing was known for so long that earlier facts say nothing about later ones."""
        least_ms = self._least_silence_ms(start_ms)
        if start_ms - heard_ms <= least_ms:
            return False
        unwatched_ms = start_ms - heard_ms - length_ms(self.sight.within(heard_ms, start_ms))
        return is_too_long(start_ms - heard_ms, unwatched_ms, least_ms, self._usual_gap_ms(heard_ms))

    def _least_silence_ms(self, at_ms: int) -> int:
        """Return the longest silence that is never too long; it is no shorter than the lookback."""
        return max(self.rules.at(at_ms).evidence_ttl_ms, self.settings.lookback_ms(at_ms) + 2 * MINUTE_MS)

    def _usual_gap_ms(self, before_ms: int) -> float | None:
        """Return the time between two requests that was usual before ``before_ms``."""
        return usual_gap_ms([(at, self.minutes[at].attempts) for at in self._asked_before(before_ms)])

    def _asked_before(self, before_ms: int) -> list[int]:
        """Return the last minutes with attempts before a time, which determine the usual pace."""
        found: list[int] = []
        for at in reversed(self._order[: bisect_left(self._order, before_ms)]):
            if self.minutes[at].attempts > 0:
                found.append(at)
                if len(found) == PACE_MINUTES:
                    break
        return found[::-1]

    def _after_silences(self, touched: set[int]) -> set[int]:
        """Return the minutes after those silences whose length may be judged by any of some minutes."""
        found, order = set[int](), self._order
        for start_ms in touched:
            at, asked = bisect_left(order, start_ms), 0
            while at < len(order) and asked <= PACE_MINUTES:
                if at and order[at] - order[at - 1] > self.settings.lookback_ms(start_ms) + MINUTE_MS:
                    found.add(order[at])
                asked += self.minutes[order[at]].attempts > 0
                at += 1
        return found

    def _slots_since(self, at_ms: int, back_ms: int) -> SlotsOf:
        """Return the slots from ``back_ms`` on, none from before an overlong silence before ``at_ms``."""
        since_ms = self._unbroken_ms(at_ms, back_ms)
        return lambda from_ms, to_ms: self.slots(max(from_ms, since_ms), to_ms)

    def _unbroken_ms(self, at_ms: int, back_ms: int) -> int:
        """Return the end of the last overlong silence before ``at_ms``, or ``back_ms`` if that is later."""
        later_ms: int | None = None
        for at in range(bisect_right(self._order, at_ms) - 1, -1, -1):
            if later_ms is not None and later_ms <= back_ms:
                break
            slots = [slot for slot in self.minutes[self._order[at]].read() if self._tells(slot)]
            if not slots:
                continue
            if later_ms is not None and self._is_cut_off(
                slots[-1].start_ms + self.settings.slot_ms, later_ms
            ):
                return max(later_ms, back_ms)
            later_ms = slots[0].start_ms
        return back_ms

    def _tells(self, slot: LinkSlot) -> bool:
        """Return whether a slot has evidence of the link's condition."""
        return any(asked.ok > 0 or asked.failed > 0 for asked in slot.asked) and not self._unseen(slot)

    def slots(self, from_ms: int, to_ms: int) -> Iterator[LinkSlot]:
        """Yield the slots that begin in ``[from_ms, to_ms)``, ascending, without unobserved ones."""
        for _, minute in self.between(from_ms, to_ms):
            for slot in minute.read():
                if from_ms <= slot.start_ms < to_ms and not self._unseen(slot):
                    yield slot

    def _unseen(self, slot: LinkSlot) -> bool:
        """Return whether a slot holds only expired requests and no observer was alive to see an answer."""
        expired_only = not slot.requested and len(slot.outcomes) == 1 and NO_RESPONSE in slot.outcomes
        return expired_only and not self.sight.covers(slot.start_ms, slot.start_ms + self.settings.slot_ms)
