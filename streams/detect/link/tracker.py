"""Tracks one link: takes facts, and returns windows and outage revisions, all in event time.

Time is the *clock*: the lowest watermark of the source partitions, which the caller passes as the end of the
last slot it closes. Facts of open slots are only added up. Facts about a slot that their own partition had
already closed are late: they wait until the clock has passed the watermark they came with, so that what they
correct, and when, does not depend on the order in which partitions were read.

Work is done only when something is due (`next_ms`): a slot with facts closes, late facts take effect, the
figures of an outage become final, or a minute's window ends.
"""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from streams.detect.link.elapsed import Elapsed, Spent
from streams.detect.link.facts import merged
from streams.detect.link.history import History
from streams.detect.link.minute import MINUTE_MS
from streams.detect.link.publication import EvidenceOf, Publication
from streams.detect.link.said import STATE_OF
from streams.detect.link.sight import GRACE_MS, Sight
from streams.detect.link.windows import FAR, Windows, minutes_of
from streams.detect.rule.expected import HOUR_MS
from streams.detect.rule.rules import LinkRules
from streams.model.intervals import Interval, length_ms
from streams.model.measurement import LinkSlot, Source
from streams.model.outage import LinkStateName, Outage, Window
from streams.model.retirement import Service
from streams.model.settings import DetectSettings


class Late(NamedTuple):
    """Late facts: when they are due, their source, and their contents."""

    due_ms: int
    source: Source
    slots: list[LinkSlot]
    alive: list[Interval]


class Output(NamedTuple):
    """What a link has to publish."""

    windows: list[Window]
    outages: list[Outage]


class LinkTracker:
    """Tracks one link. Given a ``service``, which knows when links were retired, counts its time by state."""

    def __init__(
        self,
        link: str,
        rules: LinkRules,
        settings: DetectSettings,
        evidence_of: EvidenceOf,
        service: Service | None = None,
    ) -> None:
        self.link, self.rules, self.settings = link, rules, settings
        self._slot_ms = settings.slot_ms
        self.history = History(rules, settings)
        self.too_late = 0
        self.open: dict[int, LinkSlot] = {}
        self.late: list[Late] = []
        self.windows = Windows(link, rules, settings, self.history)
        self.outages = Publication(link, rules, settings, self.history, evidence_of)
        self.elapsed = None if service is None else Elapsed(link, self.windows, settings, service)
        self.hour: tuple[int, int, int] = (0, 0, 0)
        self._open_order: list[int] = []

    @property
    def sight(self) -> Sight:
        """When the link's observer was alive."""
        return self.history.sight

    def add(self, slots: Iterable[LinkSlot]) -> bool:
        """Add facts about slots that are still open; return whether one is now the first open slot."""
        order, first = self._open_order, False
        for slot in slots:
            start_ms = slot.start_ms
            known = self.open.get(start_ms)
            if known is None:
                first = first or not order or start_ms < order[0]
                self.open[start_ms] = slot
                heapq.heappush(order, start_ms)
            else:
                self.open[start_ms] = merged(known, slot)
        return first

    def add_late(self, late: Late) -> None:
        """Keep late facts until they are due."""
        heapq.heappush(self.late, late)

    def next_ms(self) -> int:
        """Return when something is next due."""
        due_ms, windows = self._facts_ms(), self.windows
        if windows.next_ms < windows.until_ms and windows.next_ms + MINUTE_MS < due_ms:
            return windows.next_ms + MINUTE_MS
        return due_ms

    def _facts_ms(self) -> int:
        """Return when something other than a window is next due."""
        due_ms = self._open_order[0] + self._slot_ms if self._open_order else FAR
        if self.late and self.late[0].due_ms < due_ms:
            due_ms = self.late[0].due_ms
        outages = self.outages
        if outages.due and outages.due[0] < due_ms:
            due_ms = outages.due[0]
        due_ms = min(due_ms, outages.look_ms)
        local_ms = outages.locals.due_ms(self.history)
        return due_ms if local_ms is None or due_ms < local_ms else local_ms

    def advance(self, clock_ms: int) -> Output:
        """Close every slot that ends by ``clock_ms`` and return what to publish, in order."""
        output, windows = Output([], []), self.windows
        while (now_ms := self._facts_ms()) <= clock_ms:
            if windows.next_ms < now_ms - MINUTE_MS:  # nothing they depend on changes in between
                windows.close(now_ms - 1, self.outages.trouble, output.windows)
            self.spent(now_ms - 1)
            self._advance_to(now_ms, output)
        if windows.next_ms <= clock_ms - MINUTE_MS:
            windows.close(clock_ms, self.outages.trouble, output.windows)
        return output

    def spent(self, clock_ms: int) -> Spent | None:
        """Return how long the link was in each state, counted up to a clock reached by `advance`."""
        return None if self.elapsed is None else self.elapsed.settle(clock_ms, self.outages.trouble)

    def spent_ms(self, clock_ms: int) -> dict[str, int] | None:
        """Return `spent` in milliseconds by name of state."""
        spent = self.spent(clock_ms)
        return None if spent is None else spent.by_state()

    def state_at(self, clock_ms: int) -> LinkStateName:
        """Return the state in the last slot closed by ``clock_ms``, as judged now."""
        slot_ms = self.settings.slot_ms
        if not self.windows.known(clock_ms - slot_ms, clock_ms):
            return "UNKNOWN"
        for begins, ends, kind in reversed(self.outages.trouble):
            if begins < clock_ms and (ends is None or ends >= clock_ms):
                return STATE_OF[kind]
        return "UP"

    def dossiers_so_far(self, clock_ms: int) -> int | None:
        """Return the number of distinct dossiers hit so far by the open outage, None without one."""
        return self.outages.dossiers_so_far(clock_ms)

    def forget(self, before_ms: int) -> None:
        """Forget, in one operation, everything that no future fact can change.

        Future facts are no older than ``before_ms``. Judging them may read somewhat older facts; those, the
        verdicts that are not final, and the outages connected with them are kept.
        """
        history = self.history
        if before_ms <= history.final_ms:
            return
        final = history.make_final(before_ms)
        local_ms = self.outages.locals.floor_ms(before_ms, history)
        floor_ms = history.floor_ms(min(before_ms, local_ms))
        if self.windows.wanted:  # only windows use the expected volume
            self._learn(floor_ms)
        self.outages.make_final(final, floor_ms)
        self.outages.forget(floor_ms, history.forget(floor_ms))
        self.windows.forget(floor_ms)

    def _learn(self, before_ms: int) -> None:
        """Update the expected volume with the attempts of each hour about to be forgotten."""
        hour_ms, attempts, troubled = self.hour
        for minute_ms, minute in self.history.between(-FAR, before_ms):
            this_ms = minute_ms // HOUR_MS * HOUR_MS
            if this_ms != hour_ms:
                self._learn_hour(hour_ms, attempts, troubled)
                hour_ms, attempts, troubled = this_ms, 0, 0
            if minute.before.condition == "UP" and not minute.verdicts:
                attempts += minute.attempts
            else:
                troubled += 1
        self.hour = hour_ms, attempts, troubled

    def _learn_hour(self, hour_ms: int, attempts: int, troubled: int) -> None:
        if hour_ms:
            seen_ms = length_ms(self.sight.within(hour_ms, hour_ms + HOUR_MS)) - troubled * MINUTE_MS
            self.windows.expected.learn(hour_ms, attempts, seen_ms)

    def _advance_to(self, now_ms: int, output: Output) -> None:
        """Do what is due at ``now_ms``: close slots, then apply corrections, then publish."""
        slot_ms = self._slot_ms
        review = False
        touched: set[int] = set()
        order, windows, outages = self._open_order, self.windows, self.outages
        while order and order[0] + slot_ms <= now_ms:
            slot = self.open.pop(heapq.heappop(order))
            if self.history.add(slot) is not None:
                review = True
            touched.update(windows.expect(slot))
        if outages.locals.advance(self.history, now_ms):
            review = True
        if review or (outages.due and outages.due[0] <= now_ms) or outages.sight_changed(now_ms):
            touched |= outages.review(now_ms, output.outages, None, set())
        if self.late and self.late[0].due_ms <= now_ms:
            corrected = self._correct(now_ms)
            touched |= corrected | outages.review(now_ms, output.outages, "late", corrected)
        if windows.next_ms <= now_ms - MINUTE_MS:
            windows.close(now_ms, self.outages.trouble, output.windows)
        if touched:
            output.windows.extend(windows.correct(touched, self.outages.trouble))

    def _correct(self, now_ms: int) -> set[int]:
        """Apply the late facts that are due; return the starts of the minutes they affect."""
        slots: list[LinkSlot] = []
        touched: set[int] = set()
        seen: set[int] = set()
        while self.late and self.late[0].due_ms <= now_ms:
            late = heapq.heappop(self.late)
            oldest_ms = (late.due_ms - self.settings.allowed_lateness_ms) // MINUTE_MS * MINUTE_MS
            for start_ms, end_ms in late.alive:
                if start_ms >= oldest_ms:
                    touched.update(minutes_of(start_ms, end_ms))
                    if self.windows.see(start_ms, end_ms):
                        seen.update(minutes_of(start_ms, end_ms + GRACE_MS))
            for slot in late.slots:
                if slot.start_ms < oldest_ms:
                    self.too_late += 1
                    continue
                slots.append(slot)
        if seen:
            self.history.look_again(seen)
        if slots:
            self.history.correct(slots)
        self.outages.locals.judge_again(self.history, self.history.take_rejudged())
        return touched | self.windows.reconsider(slots)
