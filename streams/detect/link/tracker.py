"""One link as `detect` follows it: facts in, windows and outage revisions out, in event time.

Time is the *clock*: the least watermark over the source partitions, which the caller passes in as the end
of the last slot it closes. Facts of open slots are only added up. Facts about a slot that their own
partition had closed before are late: they wait until the clock has passed the watermark they came with,
so that what they correct, and when, does not depend on the order in which partitions were read.

Work is done only when something is due (`next_ms`): a slot with facts closes, late facts take effect, the
figures of an outage become final, or a minute's window ends.
"""

import heapq
from bisect import insort
from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from streams.detect.link.facts import merged
from streams.detect.link.history import History
from streams.detect.link.minute import MINUTE_MS
from streams.detect.link.outages import (
    Totals,
    alike,
    draft,
    matching,
    next_revision,
    retraction,
    says_the_same,
    totals_of,
)
from streams.detect.link.sight import GRACE_MS, Sight
from streams.detect.link.spells import TroubleSpell, spells_of
from streams.detect.link.windows import FAR, STATE_OF, Trouble, Windows, changed_minutes, minutes_of
from streams.detect.rule.expected import HOUR_MS
from streams.detect.rule.rules import LinkRules
from streams.model.intervals import Interval, length_ms
from streams.model.measurement import LinkSlot, Source
from streams.model.outage import LinkStateName, Outage, Reason, Window
from streams.model.settings import DetectSettings

EvidenceOf = Callable[[int, int], list[Source]]
"""From a span of event time to the source ranges that hold its records."""


class Late(NamedTuple):
    """Late facts: when they are due, where they came from, and what they say."""

    due_ms: int
    source: Source
    slots: list[LinkSlot]
    alive: list[Interval]


class Output(NamedTuple):
    """What a link has to publish."""

    windows: list[Window]
    outages: list[Outage]


class LinkTracker:
    """Follows one link."""

    def __init__(
        self, link: str, rules: LinkRules, settings: DetectSettings, evidence_of: EvidenceOf
    ) -> None:
        self.link, self.rules, self.settings = link, rules, settings
        self._slot_ms = settings.slot_ms
        lookback_ms = settings.lookup_timeout_ms + 2 * settings.slot_ms
        self.history = History(rules, settings, lookback_ms)
        self.published: dict[str, Outage] = {}
        """The last revision of each outage that facts may still revise."""
        self.too_late = 0
        self._evidence_of = evidence_of
        self.open: dict[int, LinkSlot] = {}
        self.late: list[Late] = []
        self.windows = Windows(link, rules, settings, self.history)
        self.finals: list[int] = []
        self.spells: list[TroubleSpell] = []
        self.trouble: list[Trouble] = []
        self.carried: dict[int, Totals] = {}
        self.openings: dict[int, list[Source]] = {}
        self.hour: tuple[int, int, int] = (0, 0, 0)
        self._open_order: list[int] = []

    @property
    def sight(self) -> Sight:
        """When the link's observer was alive."""
        return self.windows.sight

    def add(self, slots: Iterable[LinkSlot]) -> bool:
        """Add facts about slots that are still open; say whether one is now the first of them."""
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
        """Keep late facts until the clock reaches their time."""
        heapq.heappush(self.late, late)

    def next_ms(self) -> int:
        """Return when something is due next."""
        due_ms, windows = self._facts_ms(), self.windows
        if windows.next_ms < windows.until_ms and windows.next_ms + MINUTE_MS < due_ms:
            return windows.next_ms + MINUTE_MS
        return due_ms

    def _facts_ms(self) -> int:
        """Return when something other than a window is due next."""
        due_ms = self._open_order[0] + self._slot_ms if self._open_order else FAR
        if self.late and self.late[0].due_ms < due_ms:
            due_ms = self.late[0].due_ms
        if self.finals and self.finals[0] < due_ms:
            due_ms = self.finals[0]
        return due_ms

    def advance(self, clock_ms: int) -> Output:
        """Close every slot that ends by ``clock_ms`` and return what there is to publish, in order."""
        output, windows = Output([], []), self.windows
        while (now_ms := self._facts_ms()) <= clock_ms:
            if windows.next_ms < now_ms - MINUTE_MS:  # nothing that they depend on changes in between
                windows.close(now_ms - 1, self.trouble, output.windows)
            self._advance_to(now_ms, output)
        if windows.next_ms <= clock_ms - MINUTE_MS:
            windows.close(clock_ms, self.trouble, output.windows)
        return output

    def state_at(self, clock_ms: int) -> LinkStateName:
        """Return the state in the last slot closed by ``clock_ms``, as judged by now."""
        slot_ms = self.settings.slot_ms
        if not self.windows.known(clock_ms - slot_ms, clock_ms):
            return "UNKNOWN"
        for begins, ends, kind in reversed(self.trouble):
            if begins < clock_ms and (ends is None or ends >= clock_ms):
                return STATE_OF[kind]
        return "UP"

    def prune(self, before_ms: int) -> None:
        """Forget what no record may correct any more; keep the sums of spells that still last."""
        if self.windows.wanted:  # nothing else goes by what is expected
            self._learn(before_ms)
        forgotten = self.history.prune(before_ms)
        for spell in self.spells:
            if forgotten and spell.start_ms < before_ms:
                carried = self.carried.setdefault(spell.start_ms, Totals())
                end_ms = FAR if spell.end_ms is None else spell.end_ms
                for minute_ms, minute in forgotten:
                    if spell.start_ms - MINUTE_MS < minute_ms <= end_ms + self.settings.lookup_timeout_ms:
                        carried.add(minute_ms, minute, spell.start_ms, end_ms)
        self._drop_old_spells(before_ms - self.rules.flap_gap_ms)
        self.windows.prune(before_ms)

    def _drop_old_spells(self, before_ms: int) -> None:
        """Forget spells that ended, and were published as ended, before a time."""
        gone = 0
        for spell in self.spells:
            if spell.end_ms is None or spell.end_ms >= before_ms or self._final_ms(spell) in self.finals:
                break
            gone += 1
        first_ms = self.spells[gone].start_ms if gone < len(self.spells) else FAR
        if gone:
            last_closed_ms = self.spells[gone - 1].closed_ms or 0
            self.history.past = [d for d in self.history.past if d.decided_ms > last_closed_ms]
            for spell in self.spells[:gone]:
                self.carried.pop(spell.start_ms, None)
                self.openings.pop(spell.start_ms, None)
            del self.spells[:gone]
            self.trouble = self._trouble()
        for key, outage in list(self.published.items()):
            over_ms = outage.detected_at_ms if outage.status == "retracted" else outage.end_ms
            if over_ms is not None and over_ms < min(before_ms, first_ms):
                del self.published[key]

    def _learn(self, before_ms: int) -> None:
        """Tell the profile of each hour about to be forgotten what was asked in it."""
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
            seen_ms = length_ms(self.windows.sight.within(hour_ms, hour_ms + HOUR_MS)) - troubled * MINUTE_MS
            self.windows.expected.learn(hour_ms, attempts, seen_ms)

    def _advance_to(self, now_ms: int, output: Output) -> None:
        """Do what is due at ``now_ms``: close slots, then correct, then publish."""
        slot_ms = self._slot_ms
        review = False
        touched: set[int] = set()
        order, windows = self._open_order, self.windows
        while order and order[0] + slot_ms <= now_ms:
            slot = self.open.pop(heapq.heappop(order))
            if self.history.add(slot) is not None:
                review = True
            touched.update(windows.expect(slot))
        while self.finals and self.finals[0] <= now_ms:
            self.finals.pop(0)
            review = True
        if review:
            touched |= self._review(now_ms, output, None, set())
        if self.late and self.late[0].due_ms <= now_ms:
            corrected = self._correct(now_ms)
            touched |= corrected | self._review(now_ms, output, "late", corrected)
        if windows.next_ms <= now_ms - MINUTE_MS:
            windows.close(now_ms, self.trouble, output.windows)
        if touched:
            output.windows.extend(windows.correct(touched, self.trouble))

    def _correct(self, now_ms: int) -> set[int]:
        """Apply the late facts that are due; return the starts of the minutes they touch."""
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
        return touched | self.windows.reconsider(slots)

    def _final_ms(self, spell: TroubleSpell) -> int:
        """Return when all outcomes asked before a spell's end was decided are known, as the end of a slot."""
        return self.history.settles_ms(spell.closed_ms or 0)

    def _review(self, now_ms: int, output: Output, cause: Reason | None, dirty: set[int] | None) -> set[int]:
        """Compare the spells as judged now with what is published; publish what differs.

        ``cause`` is why, None in the course of time; ``dirty`` are the minutes whose facts changed, None for
        all. Return the minutes whose state that changes. A close is said once its figures are final.
        """
        for settles_ms in self.history.settle(now_ms):
            if settles_ms not in self.finals:
                insort(self.finals, settles_ms)
        self.spells = spells_of(self.history.verdicts, self.rules)
        unmatched = {outage.outage_id: outage for outage in self._standing()}
        for spell in self.spells:
            match = matching(spell, unmatched.values(), now_ms)
            if match is not None:
                del unmatched[match.outage_id]
            if spell.end_ms is not None and (final_ms := self._final_ms(spell)) > now_ms:
                if final_ms not in self.finals:
                    insort(self.finals, final_ms)
                if match is not None and match.status == "open":
                    continue
            if match is not None and self._stands(match, spell, now_ms, dirty):
                continue
            revised = self._revise(spell, match, now_ms, cause)
            if revised is not None:
                output.outages.append(revised)
                self.published[revised.outage_id] = revised
        for outage in unmatched.values():
            gone = retraction(outage, now_ms, cause or "late")
            output.outages.append(gone)
            self.published[gone.outage_id] = gone
        before, self.trouble = self.trouble, self._trouble()
        return changed_minutes(before, self.trouble, now_ms)

    def _stands(self, match: Outage, spell: TroubleSpell, now_ms: int, dirty: set[int] | None) -> bool:
        """Say whether nothing can have changed since an outage was last published as closed."""
        if dirty is None or match.status == "open" or spell.end_ms is None:
            return False
        if (match.start_ms, match.end_ms, match.changes) != (spell.start_ms, spell.end_ms, spell.changes):
            return False
        final_ms = self._final_ms(spell)
        if match.detected_at_ms < final_ms <= now_ms:
            return False
        return not any(spell.start_ms - MINUTE_MS < at <= final_ms for at in dirty)

    def _revise(
        self, spell: TroubleSpell, match: Outage | None, now_ms: int, cause: Reason | None
    ) -> Outage | None:
        """Return the revision that a spell calls for, or None where what is published still holds."""
        until_ms = now_ms if spell.end_ms is None else spell.end_ms
        known_ms = until_ms + self.settings.lookup_timeout_ms + 2 * self.settings.slot_ms
        minutes = self.history.between(spell.start_ms - MINUTE_MS, known_ms)
        end_ms = FAR if spell.end_ms is None else spell.end_ms
        totals = totals_of(minutes, spell.start_ms, end_ms, self.carried.get(spell.start_ms))
        slow_ms = self.history.normal_at(spell.start_ms).slow_ms
        drafted = draft(self.link, spell, totals, self.rules.at(spell.opened_ms - 1), slow_ms, now_ms)
        if match is None:
            evidence = self._evidence(spell.start_ms, now_ms)
            fresh = self._fresh_id(drafted)
            return replace(drafted, outage_id=fresh, reason=cause or "opened", evidence=evidence)
        both_open = drafted.status == match.status == "open"
        if (both_open and alike(match, drafted)) or says_the_same(match, drafted):
            return None
        reason: Reason = cause or (_closing(spell) if drafted.status == "closed" else "opened")
        return next_revision(match, drafted, reason, self._evidence(spell.start_ms, now_ms))

    def _evidence(self, start_ms: int, now_ms: int) -> list[Source]:
        """Return the source ranges behind an outage: whole, or for a long one how it began and how it is."""
        oldest_ms = now_ms - self.settings.allowed_lateness_ms
        if start_ms >= oldest_ms:
            evidence = self._evidence_of(start_ms, now_ms)
            self.openings.setdefault(start_ms, evidence)
            return evidence
        return self.openings.get(start_ms, []) + self._evidence_of(oldest_ms, now_ms)

    def _fresh_id(self, drafted: Outage) -> str:
        """Return an id that no other outage of the link bears already."""
        name, again = drafted.outage_id, 1
        while name in self.published:
            again += 1
            name = f"{drafted.outage_id}-{again}"
        return name

    def _standing(self) -> list[Outage]:
        """Return the published outages that were not taken back."""
        return [outage for outage in self.published.values() if outage.status != "retracted"]

    def _trouble(self) -> list[Trouble]:
        """Return the spells as judged now, each with the kind last published of it."""
        standing = self._standing()
        trouble: list[Trouble] = []
        for spell in self.spells:
            outage = matching(spell, standing, FAR)
            if outage is not None:
                trouble.append((spell.start_ms, spell.end_ms, outage.kind))
        return trouble


def _closing(spell: TroubleSpell) -> Reason:
    return "normal" if spell.normal else "closed"
