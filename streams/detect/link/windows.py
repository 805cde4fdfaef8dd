"""The one-minute windows of a link: counts, latency, and the time spent in each state.

A slot in which an outcome became known is evidence: the link's state is known from the slot's start until the
evidence is too old, or until silence has lasted beyond chance. All other time is UNKNOWN, and so is time
without an observer. Known time inside an outage has the state of that outage, the rest is UP.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from streams.detect.link.history import History
from streams.detect.link.minute import MINUTE_MS
from streams.detect.link.said import Trouble, digest_of, digest_of_times, state_ms, window
from streams.detect.link.short import asked_around, least_failures, short_failures, slots_needed
from streams.detect.link.sight import GRACE_MS, Sight
from streams.detect.rule.expected import Expected
from streams.detect.rule.normal import BLOCK_MS
from streams.detect.rule.rules import LinkRules
from streams.model.intervals import Intervals, clip, difference, intersection, union
from streams.model.measurement import LinkSlot
from streams.model.outage import ShortFailures, Window
from streams.model.settings import DetectSettings

FAR: Final = 1 << 62


class Windows:
    """The windows of one link: which are due, and what was published for each."""

    def __init__(self, link: str, rules: LinkRules, settings: DetectSettings, history: History) -> None:
        self.link, self.rules, self.settings, self.history = link, rules, settings, history
        self.expected = Expected()
        self.wanted = True
        """Whether windows are made. If not, nothing is kept for them either."""
        self.published: dict[int, tuple[int, bytes]] = {}
        """Revision and digest of each window published, by start."""
        self.evident = array("q")  # there are thousands; a list takes five times the memory
        """Starts of the slots with evidence, ascending."""
        self.vouched = array("q")
        """Until when each slot in `evident` keeps the link's state known."""
        self.next_ms = FAR
        self.until_ms = -FAR
        self.first_ms = FAR
        """Start of the first window that was ever published."""
        self.oldest_ms = -FAR
        """Windows before this are forgotten."""

    @property
    def sight(self) -> Sight:
        """When the link's observer was alive."""
        return self.history.sight

    def see(self, start_ms: int, end_ms: int) -> bool:
        """Note that an observer was alive in a span; return whether that was not known already."""
        whole = [(start_ms, end_ms + GRACE_MS)]
        news = self.sight.within(*whole[0]) != whole
        self.sight.add(start_ms, end_ms)
        return news

    def due_ms(self) -> int:
        """Return when the next window ends."""
        return self.next_ms + MINUTE_MS if self.next_ms < self.until_ms else FAR

    def expect(self, slot: LinkSlot) -> Iterable[int]:
        """Schedule windows for the minute of a slot with facts, and for those in which its evidence holds.

        Return the starts of earlier minutes about which more is known now: in an outage where requests get no
        answer nothing is known until they time out, and then each is evidence for the time of its request.
        """
        minute_ms = slot.start_ms // MINUTE_MS * MINUTE_MS
        if not self.wanted:
            return ()
        if self.next_ms >= self.until_ms:
            self.next_ms = max(minute_ms, self.until_ms)
        until_ms = minute_ms + MINUTE_MS
        earlier = self._relevelled()
        if slot.asked:
            until_ms = self._vouch(slot.start_ms)
            if slot.asked[0].second * 1000 < slot.start_ms - self.settings.slot_ms:
                earlier = {*earlier, *self._vouch_for_asking(slot)}
            if sum(asked.failed for asked in slot.asked) > 1:  # short failures are found a minute later
                until_ms = max(until_ms, minute_ms + 2 * MINUTE_MS)
        self._reach(until_ms)
        return earlier

    def _relevelled(self) -> Iterable[int]:
        """Return the published minutes whose raised normal has changed."""
        spans = self.history.habits.take_relevelled()
        if not spans:
            return ()
        return {at for start_ms, end_ms in spans for at in self.published if start_ms <= at < end_ms}

    def _reach(self, until_ms: int) -> None:
        """Schedule windows up to ``until_ms`` at least."""
        if until_ms > self.until_ms:
            self.until_ms = -(-until_ms // MINUTE_MS) * MINUTE_MS

    def reconsider(self, slots: Sequence[LinkSlot]) -> set[int]:
        """Check again which slots are evidence, after late facts; return the minutes possibly affected.

        Outcomes removed by a correction are no longer evidence, as if they had never existed.
        """
        touched: set[int] = set()
        if not self.wanted:
            return {slot.start_ms // MINUTE_MS * MINUTE_MS for slot in slots}
        for slot in slots:
            touched.add(slot.start_ms // MINUTE_MS * MINUTE_MS)
            touched.update(self.expect(slot))
        for at_ms in {at for slot in slots for at in (slot.start_ms, *self._asked_in(slot))}:
            at = bisect_left(self.evident, at_ms)
            if at < len(self.evident) and self.evident[at] == at_ms:
                touched.update(minutes_of(at_ms, self.vouched[at]))
                if not self._is_evident(at_ms):
                    del self.evident[at], self.vouched[at]
        return {*touched, *self._vouch_again(), *self._relevelled()}

    def _vouch(self, slot_start_ms: int) -> int:
        """Note that a slot is evidence; return until when it keeps the link's state known."""
        until_ms = self._vouches_until_ms(slot_start_ms)
        evident = self.evident
        if not evident or slot_start_ms > evident[-1]:
            evident.append(slot_start_ms)
            self.vouched.append(until_ms)
        else:
            at = bisect_left(evident, slot_start_ms)
            if evident[at] != slot_start_ms:
                evident.insert(at, slot_start_ms)
                self.vouched.insert(at, until_ms)
        return until_ms

    def _vouches_until_ms(self, slot_start_ms: int) -> int:
        slot_ms, ttl_ms = self.settings.slot_ms, self.rules.at(slot_start_ms).evidence_ttl_ms
        volume = self.history.habits.volume_before(slot_start_ms)
        recent = None if volume is None else volume / 4 / (BLOCK_MS / 1000)
        silence_ms = self.expected.silence_ms(slot_start_ms, recent)
        if silence_ms is not None and silence_ms < ttl_ms:
            ttl_ms = max(silence_ms, slot_ms)
        return slot_start_ms + slot_ms + ttl_ms

    def _vouch_again(self) -> set[int]:
        """Recompute how long evidence holds after corrections of the link's volume.

        Return the minutes possibly affected.
        """
        touched: set[int] = set()
        for from_ms, to_ms in self.history.take_resummed():
            for at in range(bisect_left(self.evident, from_ms), bisect_left(self.evident, to_ms)):
                until_ms = self._vouches_until_ms(self.evident[at])
                if until_ms != self.vouched[at]:
                    touched.update(minutes_of(self.evident[at], max(until_ms, self.vouched[at])))
                    self.vouched[at] = until_ms
                    self._reach(until_ms)
        return touched

    def _vouch_for_asking(self, slot: LinkSlot) -> set[int]:
        """Note that a slot's outcomes are evidence for their request times; return the changed minutes."""
        news: set[int] = set()
        for at_ms in self._asked_in(slot):
            at = bisect_left(self.evident, at_ms)
            if at == len(self.evident) or self.evident[at] != at_ms:
                news.update(minutes_of(at_ms, self._vouch(at_ms)))
        return {minute_ms for minute_ms in news if minute_ms < self.next_ms}

    def _asked_in(self, slot: LinkSlot) -> list[int]:
        """Return the starts of earlier slots, except the previous one, with requests of a slot's outcomes."""
        slot_ms = self.settings.slot_ms
        reach_ms = self.settings.lookback_ms(slot.start_ms)
        asked = {asked.second * 1000 // slot_ms * slot_ms for asked in slot.asked}
        return sorted(at for at in asked if slot_ms < slot.start_ms - at <= reach_ms)

    def _is_evident(self, at_ms: int) -> bool:
        """Return whether outcomes became known in a slot, or soon after for requests made in it."""
        reach_ms = self.settings.longest_lookback_ms
        for _, minute in self.history.between(at_ms, at_ms + reach_ms + 1):
            for slot in minute.read():
                told = [asked for asked in slot.asked if asked.ok or asked.failed]
                if slot.start_ms == at_ms and told:
                    return True
                if at_ms in self._asked_in(replace(slot, asked=told)):
                    return True
        return False

    def close(self, now_ms: int, trouble: Sequence[Trouble], into: list[Window]) -> None:
        """Append to ``into`` the windows that end by ``now_ms`` and were not published yet."""
        last_ms = min(now_ms - MINUTE_MS, self.until_ms - 1)
        while self.next_ms <= last_ms:
            start_ms = self.next_ms
            self.next_ms = start_ms + MINUTE_MS
            fresh = self._publish(start_ms, trouble)
            if fresh is not None:
                into.append(fresh)
            if self._short_failures(start_ms - MINUTE_MS, trouble) is not UNSET:  # known only now
                fresh = self._publish(start_ms - MINUTE_MS, trouble)
                if fresh is not None:
                    into.append(fresh)

    def correct(self, minutes: Iterable[int], trouble: Sequence[Trouble]) -> Iterator[Window]:
        """Yield the next revisions of the windows of some minutes, for those whose contents changed."""
        chosen = set(minutes) if self.wanted else set()
        asked = {minute_ms - MINUTE_MS for minute_ms in chosen}  # outcomes may become known a minute later
        for minute_ms in sorted(chosen | asked):
            if minute_ms < self.oldest_ms:
                continue
            if minute_ms in self.published or minute_ms < self.next_ms:
                fresh = self._publish(minute_ms, trouble)
                if fresh is not None:
                    yield fresh

    def known(self, start_ms: int, end_ms: int) -> Intervals:
        """Return when the state is known within ``[start_ms, end_ms)``."""
        if self.knows_all(start_ms, end_ms):
            return [(start_ms, end_ms)]
        slot_ms, evident = self.settings.slot_ms, self.evident
        first = max(bisect_right(evident, start_ms) - 1, 0)
        vouching = evident[first : bisect_left(evident, end_ms)]
        vouched: Intervals = []
        for at, until_ms in zip(vouching, self.vouched[first : first + len(vouching)], strict=True):
            if vouched and at <= vouched[-1][1]:
                vouched[-1] = vouched[-1][0], max(until_ms, vouched[-1][1])
            else:
                vouched.append((at, until_ms))
        seen = self.sight.within(start_ms, end_ms)
        slots = [(at, at + slot_ms) for at in vouching]
        known = clip(union([*intersection(vouched, seen), *slots]), start_ms, end_ms)
        return difference(known, self.sight.gaps)

    def knows_all(self, start_ms: int, end_ms: int) -> bool:
        """Return whether all the time is known, the usual case of `known`."""
        evident, vouched = self.evident, self.vouched
        at = bisect_right(evident, start_ms) - 1
        if at < 0 or not self.sight.covers_all(start_ms, end_ms):
            return False
        until_ms = vouched[at]
        while until_ms < end_ms:
            at += 1
            if at == len(evident) or evident[at] > until_ms:
                return False
            until_ms = max(until_ms, vouched[at])
        return True

    def forget(self, before_ms: int) -> None:
        """Forget the windows before a time; they stay as last published."""
        self.oldest_ms = max(self.oldest_ms, before_ms)
        self.sight.prune(before_ms - self.rules.evidence_ttl_ms)
        old = max(bisect_left(self.evident, before_ms) - 1, 0)
        del self.evident[:old], self.vouched[:old]
        while self.published and (oldest_ms := next(iter(self.published))) < before_ms:
            del self.published[oldest_ms]

    def _publish(self, start_ms: int, trouble: Sequence[Trouble]) -> Window | None:
        """Return the window of a minute if its contents are new, otherwise None."""
        end_ms = start_ms + MINUTE_MS
        minute = self.history.minutes.get(start_ms)
        known = self.published.get(start_ms)
        raised = self.history.habits.raised_at(start_ms)
        if not trouble and self.knows_all(start_ms, end_ms):
            spent = {"UNKNOWN": 0, "UP": MINUTE_MS, "DEGRADED": 0, "DOWN": 0}
            if minute is None and known is None:
                self._say(start_ms, 1, digest_of_times(0, 0, 0, raised))
                return Window(
                    self.link, start_ms, end_ms, 1, "UP", spent, 0, 0, 0, {}, None, None, normal=raised
                )
        else:
            spent = state_ms(self.known(start_ms, end_ms), trouble, start_ms, end_ms)
        if known is None and minute is None and spent["UNKNOWN"] == MINUTE_MS:
            return None
        fresh = window(self.link, start_ms, end_ms, spent, minute)
        short = self._short_failures(start_ms, trouble)
        if short is not UNSET or raised is not UNSET:
            fresh = replace(fresh, short_failures=short, normal=raised)
        if minute is None and short is UNSET:
            digest = digest_of_times(spent["UNKNOWN"], spent["DEGRADED"], spent["DOWN"], raised)
        else:
            digest = digest_of(fresh)
        if known is not None:
            if known[1] == digest:
                return None
            fresh = replace(fresh, revision=known[0] + 1)
        self._say(start_ms, fresh.revision, digest)
        return fresh

    def _say(self, start_ms: int, revision: int, digest: bytes) -> None:
        """Note the revision and digest published for a minute."""
        self.published[start_ms] = revision, digest
        self.first_ms = min(self.first_ms, start_ms)

    def _may_be_short(self, start_ms: int) -> bool:
        """Return whether short full failures may have begun in a minute; False until the next is closed."""
        if start_ms + MINUTE_MS >= self.next_ms:
            return False
        minutes = (self.history.minutes.get(at) for at in (start_ms, start_ms + MINUTE_MS))
        failures = sum(minute.failures for minute in minutes if minute is not None)
        normal = self.history.normal_at(start_ms)
        return failures > 1 and failures >= least_failures(self.rules.at(start_ms), normal)

    def _short_failures(self, start_ms: int, trouble: Sequence[Trouble]) -> ShortFailures | UnsetType:
        """Return the full failures that began in a minute and were too short for an outage; UNSET if none."""
        if not self._may_be_short(start_ms):
            return UNSET
        settings = self.settings
        slots = self.history.slots(*slots_needed(start_ms, settings.lookup_timeout_ms, settings.slot_ms))
        spans = ((begins, FAR if ends is None else ends) for begins, ends, _ in trouble)
        rule, normal = self.rules.at(start_ms), self.history.normal_at(start_ms)
        return short_failures(start_ms, asked_around(start_ms, slots), spans, rule, normal) or UNSET


def changed_minutes(before: list[Trouble], after: list[Trouble], now_ms: int) -> set[int]:
    """Return the starts of the minutes in which a link's trouble differs ``before`` and ``after``."""
    ends: Mapping[tuple[int, str], int | None] = {(start, kind): end for start, end, kind in before}
    changed: set[int] = set()
    for start_ms, end_ms, kind in after:
        known = ends.get((start_ms, kind), FAR)
        if known == FAR:
            changed |= minutes_of(start_ms, end_ms or now_ms)
        elif known != end_ms:
            edges = sorted((known or now_ms, end_ms or now_ms))
            changed |= minutes_of(*edges)
    kept = {(start_ms, kind) for start_ms, _, kind in after}
    for start_ms, end_ms, kind in before:
        if (start_ms, kind) not in kept:
            changed |= minutes_of(start_ms, end_ms or now_ms)
    return changed


def minutes_of(start_ms: int, end_ms: int) -> set[int]:
    """Return the starts of the minutes that overlap ``[start_ms, end_ms)``."""
    return set(range(start_ms // MINUTE_MS * MINUTE_MS, end_ms, MINUTE_MS))
