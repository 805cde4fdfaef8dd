"""One link as `detect` follows it: facts in, windows and outage revisions out, in event time.

Time is the *clock*: the least watermark over the source partitions, which the caller passes in as the end
of the last slot it closes. Facts of open slots are only added up. Facts about a slot that their own
partition had closed before are late: they wait until the clock has passed the watermark they came with,
so that what they correct, and when, does not depend on the order in which partitions were read.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from streams.detect.facts import copy_slot, merge_slots
from streams.detect.history import MINUTE_MS, History
from streams.detect.outages import Totals, draft, next_revision, retraction, says_the_same, totals_of
from streams.detect.rule import Rule
from streams.detect.sight import Sight
from streams.detect.spells import TroubleSpell, spells_of
from streams.detect.windows import Trouble, state_ms, window
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
    alive: list[tuple[int, int]]


class Output(NamedTuple):
    """What a link has to publish."""

    windows: list[Window]
    outages: list[Outage]


class LinkTracker:
    """Follows one link."""

    def __init__(self, link: str, rule: Rule, settings: DetectSettings, evidence_of: EvidenceOf) -> None:
        self.link, self.rule, self.settings = link, rule, settings
        lookback_ms = settings.lookup_timeout_ms + 2 * settings.slot_ms
        self.history = History(rule, settings, lookback_ms)
        self.sight = Sight()
        self.published: dict[str, Outage] = {}
        self.too_late = 0
        self._evidence_of = evidence_of
        self._open: dict[int, LinkSlot] = {}
        self._late: list[Late] = []
        self._windows: dict[int, Window] = {}
        self._due: set[int] = set()
        self._finals: set[int] = set()
        self._spells: list[TroubleSpell] = []
        self._carried: dict[int, Totals] = {}
        self._horizon_ms = -(1 << 62)

    def add(self, slots: Iterable[LinkSlot]) -> None:
        """Add facts about slots that are still open."""
        for slot in slots:
            known = self._open.get(slot.start_ms)
            if known is None:
                self._open[slot.start_ms] = copy_slot(slot)
            else:
                merge_slots(known, slot)

    def add_late(self, late: Late) -> None:
        """Keep late facts until the clock reaches their time."""
        heapq.heappush(self._late, late)

    def advance(self, clock_ms: int) -> Output:
        """Close every slot that ends by ``clock_ms`` and return what there is to publish, in order."""
        output = Output([], [])
        while (now_ms := self._next_time()) <= clock_ms:
            self._advance_to(now_ms, output)
        return output

    def state_at(self, clock_ms: int) -> LinkStateName:
        """Return the state in the last slot closed by ``clock_ms``."""
        slot_ms = self.settings.slot_ms
        spent = self._state_ms(clock_ms - slot_ms, clock_ms)
        order: tuple[LinkStateName, ...] = ("DOWN", "DEGRADED", "UNKNOWN", "UP")
        return max(order, key=lambda name: spent[name])

    def prune(self, before_ms: int) -> None:
        """Forget what no record may correct any more; keep the sums of spells that still last."""
        self._horizon_ms = before_ms
        for spell in self._spells:
            if spell.start_ms < before_ms and (spell.end_ms is None or spell.end_ms >= before_ms):
                carried = self._carried.setdefault(spell.start_ms, Totals())
                for slot in self.history.slots(-(1 << 62), before_ms):
                    carried.add(slot, spell.start_ms, before_ms)
        self._drop_old_spells(before_ms - self.rule.flap_gap_ms)
        self.history.prune(before_ms)
        self.sight.prune(before_ms)
        self._windows = {at: known for at, known in self._windows.items() if at >= before_ms}

    def oldest_ms(self, horizon_ms: int) -> int:
        """Return the earliest time of which evidence may still be asked for."""
        return min((spell.start_ms for spell in self._spells), default=horizon_ms)

    def _drop_old_spells(self, before_ms: int) -> None:
        gone = [spell for spell in self._spells if self._is_over(spell, before_ms)]
        if not gone:
            return
        last_closed = gone[-1].closed_ms or 0
        verdicts = self.history.verdicts
        self.history.verdicts = [decided for decided in verdicts if decided.decided_ms > last_closed]
        self._spells = self._spells[len(gone) :]
        first_ms = self._spells[0].start_ms if self._spells else 1 << 62
        self.published = {
            key: outage for key, outage in self.published.items() if (outage.end_ms or first_ms) >= first_ms
        }
        for spell in gone:
            self._carried.pop(spell.start_ms, None)

    def _is_over(self, spell: TroubleSpell, before_ms: int) -> bool:
        """Say whether a spell ended, and was published as ended, before a time."""
        if spell.end_ms is None or spell.end_ms >= before_ms:
            return False
        return self._final_ms(spell.end_ms) not in self._finals

    def _next_time(self) -> int:
        slot_ms = self.settings.slot_ms
        times = [min(self._open) + slot_ms] if self._open else []
        times += [self._late[0].due_ms] if self._late else []
        times += [min(self._due) + MINUTE_MS] if self._due else []
        times += [min(self._finals)] if self._finals else []
        return min(times, default=1 << 62)

    def _advance_to(self, now_ms: int, output: Output) -> None:
        """Do what is due at ``now_ms``: close slots, then correct, then publish."""
        slot_ms = self.settings.slot_ms
        verdicts = len(self.history.verdicts)
        for start_ms in sorted(start_ms for start_ms in self._open if start_ms + slot_ms <= now_ms):
            self.history.add(self._open.pop(start_ms))
            self._expect_windows(start_ms)
        touched = self._correct(now_ms)
        review = len(self.history.verdicts) != verdicts or bool(touched)
        if any(final_ms <= now_ms for final_ms in self._finals):
            self._finals = {final_ms for final_ms in self._finals if final_ms > now_ms}
            review = True
        if review:
            touched |= self._review(now_ms, output, corrected=bool(touched))
        due = {at for at in self._due if at + MINUTE_MS <= now_ms}
        self._due -= due
        for at in sorted(due | {at for at in touched if at in self._windows}):
            self._publish_window(at, output)

    def _expect_windows(self, slot_start_ms: int) -> None:
        """Give a window to the minute of a slot with facts, and to those for which its evidence holds."""
        first_ms = slot_start_ms // MINUTE_MS * MINUTE_MS
        until_ms = slot_start_ms + self.rule.evidence_ttl_ms
        self._due.update(at for at in range(first_ms, until_ms, MINUTE_MS) if at not in self._windows)

    def _correct(self, now_ms: int) -> set[int]:
        """Apply the late facts that are due; return the starts of the minutes they touch."""
        slots: list[LinkSlot] = []
        touched: set[int] = set()
        while self._late and self._late[0].due_ms <= now_ms:
            late = heapq.heappop(self._late)
            for start_ms, end_ms in late.alive:
                self.sight.add(start_ms, end_ms)
                touched.update(range(start_ms // MINUTE_MS * MINUTE_MS, end_ms, MINUTE_MS))
            for slot in late.slots:
                if slot.start_ms < self._horizon_ms:
                    self.too_late += 1
                    continue
                slots.append(slot)
                touched.add(slot.start_ms // MINUTE_MS * MINUTE_MS)
                self._expect_windows(slot.start_ms)
        if slots:
            self.history.correct(slots)
        return touched

    def _final_ms(self, end_ms: int) -> int:
        """Return when all outcomes of requests asked before ``end_ms`` are known, as the end of a slot."""
        slot_ms = self.settings.slot_ms
        return -(-(end_ms + self.settings.lookup_timeout_ms + slot_ms) // slot_ms) * slot_ms

    def _review(self, now_ms: int, output: Output, *, corrected: bool) -> set[int]:
        """Compare the spells as judged now with what is published; publish what differs.

        Return the minutes whose state that may change. A close is said once its figures are final.
        """
        self._spells = spells_of(self.history.verdicts, self.rule)
        unmatched = {key: outage for key, outage in self.published.items() if outage.status != "retracted"}
        changed: set[int] = set()
        for spell in self._spells:
            match = _match(spell, unmatched.values(), now_ms)
            if match is not None:
                del unmatched[match.outage_id]
            if spell.end_ms is not None and self._final_ms(spell.end_ms) > now_ms:
                self._finals.add(self._final_ms(spell.end_ms))
                if match is not None:
                    continue
            revised = self._revise(spell, match, now_ms, corrected=corrected)
            if revised is not None:
                output.outages.append(revised)
                self.published[revised.outage_id] = revised
                changed |= _minutes(revised, now_ms) | (_minutes(match, now_ms) if match else set())
        for outage in unmatched.values():
            gone = retraction(outage, now_ms, "late" if corrected else "rule")
            output.outages.append(gone)
            self.published[gone.outage_id] = gone
            changed |= _minutes(outage, now_ms)
        return changed

    def _revise(
        self, spell: TroubleSpell, match: Outage | None, now_ms: int, *, corrected: bool
    ) -> Outage | None:
        """Return the revision that a spell calls for, or None where what is published still holds."""
        until_ms = now_ms if spell.end_ms is None else spell.end_ms
        slots = self.history.slots(spell.start_ms - MINUTE_MS, self._final_ms(until_ms))
        totals = totals_of(slots, max(spell.start_ms, self._horizon_ms), until_ms)
        if spell.start_ms in self._carried:
            totals = self._carried[spell.start_ms].plus(totals)
        slow_ms = self.history.normal_at(spell.start_ms).slow_ms
        drafted = draft(self.link, spell, totals, self.rule, slow_ms, now_ms)
        evidence = self._evidence_of(spell.start_ms, now_ms)
        if match is None:
            fresh = self._fresh_id(drafted)
            return msgspec.structs.replace(
                drafted, outage_id=fresh, reason="late" if corrected else "opened", evidence=evidence
            )
        both_open = drafted.status == match.status == "open"
        if (both_open and _alike(match, drafted)) or says_the_same(match, drafted):
            return None
        reason: Reason = "late" if corrected else ("closed" if drafted.status == "closed" else "opened")
        return next_revision(match, drafted, reason, evidence)

    def _fresh_id(self, drafted: Outage) -> str:
        """Return an id no retracted outage of the link bears already."""
        name, again = drafted.outage_id, 1
        while name in self.published:
            again += 1
            name = f"{drafted.outage_id}-{again}"
        return name

    def _trouble(self) -> list[Trouble]:
        """Return the spells that are published, with the kind last said."""
        return [
            (outage.start_ms, outage.end_ms, outage.kind)
            for outage in self.published.values()
            if outage.status != "retracted"
        ]

    def _state_ms(self, start_ms: int, end_ms: int) -> dict[str, int]:
        ttl_ms = self.rule.evidence_ttl_ms
        recent = self.history.slots(start_ms - ttl_ms - self.settings.slot_ms, end_ms)
        evident = [slot.start_ms for slot in recent if slot.asked]
        trouble = self._trouble()
        return state_ms(start_ms, end_ms, self.settings.slot_ms, evident, self.sight, trouble, self.rule)

    def _publish_window(self, start_ms: int, output: Output) -> None:
        end_ms = start_ms + MINUTE_MS
        slots = list(self.history.slots(start_ms, end_ms))
        spent = self._state_ms(start_ms, end_ms)
        known = self._windows.get(start_ms)
        if known is None and not slots and spent["UNKNOWN"] == MINUTE_MS:
            return
        fresh = window(self.link, start_ms, end_ms, spent, slots)
        if known is not None:
            fresh = msgspec.structs.replace(fresh, revision=known.revision)
            if fresh == known:
                return
            fresh = msgspec.structs.replace(fresh, revision=known.revision + 1)
        self._windows[start_ms] = fresh
        output.windows.append(fresh)


def _match(spell: TroubleSpell, outages: Iterable[Outage], now_ms: int) -> Outage | None:
    """Return the outage that overlaps a spell most; the earliest where several do so alike."""
    best, most = None, 0
    for outage in sorted(outages, key=lambda outage: outage.start_ms):
        until_ms = min(spell.end_ms or now_ms, outage.end_ms or now_ms)
        overlap = until_ms - max(spell.start_ms, outage.start_ms)
        if overlap > most:
            best, most = outage, overlap
    return best


def _alike(one: Outage, other: Outage) -> bool:
    """Say whether two open revisions differ in running figures only."""
    return (one.kind, one.start_ms, one.changes, one.fault_domain) == (
        other.kind,
        other.start_ms,
        other.changes,
        other.fault_domain,
    )


def _minutes(outage: Outage, now_ms: int) -> set[int]:
    """Return the starts of the minutes an outage touches."""
    first_ms = outage.start_ms // MINUTE_MS * MINUTE_MS
    return set(range(first_ms, outage.end_ms or now_ms, MINUTE_MS))
