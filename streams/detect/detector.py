"""All links of one partition of `link.measurements`: merge, keep the clock, pass facts on.

The result is a pure function of the *set* of measurements: one applied twice is known by its offsets, and
the clock, the least watermark over the source partitions, orders everything else.
"""

import heapq
from collections.abc import Container, Iterable
from typing import Final, NamedTuple

from streams.detect.link.minute import MINUTE_MS
from streams.detect.link.minutes import PACK_AFTER_MS
from streams.detect.link.tracker import Late, LinkTracker, Output
from streams.detect.ranges import (
    PATIENCE_MS,
    Cuts,
    Gap,
    changed_gap,
    gap_before,
    reach,
    source_key,
    undeclared,
)
from streams.detect.rule.rules import Rules
from streams.model.measurement import Measurement, Source
from streams.model.retirement import Service
from streams.model.settings import DetectSettings
from streams.model.topics import LOOKUPS

NOT_YET: Final = -(1 << 62)
FORGET_EVERY_MS: Final = 1_800_000
STEP_MS: Final = 600_000
"""Steps of a clock that need not hurry; they divide the above: nothing is forgotten at another time."""
LOOSE_MINUTES: Final = 5_000
"""How many minutes of all links are kept unpacked where no state is saved: of busy links some 100 MB."""
_NONE: Final[frozenset[str]] = frozenset()


class Applied(NamedTuple):
    """What applying a measurement did: ``fresh`` False for one that was known, or came too ``early``."""

    fresh: bool
    output: dict[str, Output]
    gap: Gap | None = None
    early: bool = False


class Detector:
    """Follows the links of one partition of `link.measurements`, each under its own rules.

    A revision of a rule may be given to ``rules`` at any time before the clock reaches its own.
    ``partitions`` are the source partitions whose watermarks make the clock; the clock stands until each
    has been heard. With ``outages_only`` no windows are made; the outages are the same. Where nobody waits
    for what is found the clock may be ``unhurried``: it goes in steps of `STEP_MS`, and at last by
    `catch_up`. The same is found then, with less to do between. Given a ``service``, the time that each link
    spends in each state is counted (`LinkTracker.spent`).
    """

    def __init__(
        self,
        rules: Rules,
        settings: DetectSettings,
        partitions: Iterable[int],
        *,
        outages_only: bool = False,
        unhurried: bool = False,
        service: Service | None = None,
    ) -> None:
        self.rules, self.settings = rules, settings
        self._service = service
        self._unhurried = unhurried
        self._step_ms = STEP_MS if unhurried else settings.slot_ms
        self._next_ms = NOT_YET
        """Before this watermark the clock need not be looked at."""
        self._outages_only = outages_only
        self.trackers: dict[str, LinkTracker] = {}
        self.clock_ms = NOT_YET
        self.partitions = set(partitions)
        self.watermarks: dict[int, int] = dict.fromkeys(self.partitions, NOT_YET)
        self.applied: dict[str, int] = {}
        self.cuts: dict[int, Cuts] = {}
        self.waiting: dict[str, int] = {}
        """Sources of which a range is missing, and since when by the broker's time."""
        self._unawaited: set[str] = set()
        self._whole: bool | None = None
        """Whether `link.measurements` is followed from its beginning, None before the first measurement."""
        self.resume_at: dict[str, int] = {}
        self.forget_every_ms = FORGET_EVERY_MS
        """How often what is old is forgotten, which changes nothing that is found."""
        self._forgot_ms = NOT_YET
        self._gaps: list[Gap] = []
        """Gaps that the clock has not passed yet: they count for links that are heard of later as well."""
        self._wake: list[tuple[int, str]] = []
        self._wake_at: dict[str, int] = {}

    def apply(
        self, measurement: Measurement, position: int | None = None, logged_ms: int | None = None
    ) -> Applied:
        """Take in a measurement; return what the links have to publish, by link, in link order.

        ``position`` is its offset in `link.measurements`. A link restored from a state that has followed
        further than that (`resume_at`) is left alone: it knows the measurement already. ``logged_ms`` is the
        broker's time there. With it, a range whose predecessor is missing is left out for a while: a producer
        may fail with one record and still send the next, and then `measure` sends both again, in order.
        """
        source = measurement.source
        ahead = self._ahead_of(position)
        key = source_key(source)
        applied, until = self.applied.get(key), reach(source, source.next_offset)
        if applied is not None and until <= applied:
            return Applied(fresh=False, output={}, gap=self._changed(measurement, ahead))
        if source.topic != LOOKUPS:
            self.applied[key] = until
            return Applied(fresh=True, output={})
        if self._comes_too_early(measurement, applied, position, logged_ms):
            return Applied(fresh=False, output={}, early=True)
        self.applied[key] = until
        gap = gap_before(
            measurement, applied, self.watermarks.get(source.partition), self.clock_ms, self.settings
        )
        if gap is not None:
            self._miss(gap, ahead)
        if gap is None or gap.reason != "overlap":
            self._take_in(measurement, ahead)
        partition, watermark_ms = source.partition, measurement.watermark_ms
        cuts = self.cuts.get(partition)
        if cuts is None:
            cuts = self.cuts[partition] = Cuts()
        cuts.add(watermark_ms, source)
        self.watermarks[partition] = watermark_ms
        return Applied(fresh=True, output=self._advance(ahead, self._step_ms), gap=gap)

    def wait_for_nothing(self) -> None:
        """Take the next range of each source as it comes: `link.measurements` is another topic now."""
        self._unawaited = set(self.applied)
        self.waiting, self.resume_at = {}, {}

    def _comes_too_early(
        self, measurement: Measurement, applied: int | None, position: int | None, logged_ms: int | None
    ) -> bool:
        """Say whether to wait for the range before this one, which `measure` has not said to be gone."""
        key = source_key(measurement.source)
        if self._whole is None:  # else reading began behind a head that is gone
            self._whole = bool(self.applied) or not position
        if key in self._unawaited:
            self._unawaited.discard(key)
            return False
        if logged_ms is None or not undeclared(measurement, applied if self._whole else applied or 1):
            self.waiting.pop(key, None)
            return False
        since_ms = self.waiting.setdefault(key, logged_ms)
        if logged_ms - since_ms < PATIENCE_MS:
            return True
        del self.waiting[key]
        return False

    def _ahead_of(self, position: int | None) -> frozenset[str]:
        """Return the links whose restored state has followed further than a position."""
        if position is None or not self.resume_at:
            return _NONE
        ahead = frozenset(link for link, resume_at in self.resume_at.items() if resume_at > position)
        self.resume_at = {link: self.resume_at[link] for link in ahead}
        return ahead

    def _changed(self, measurement: Measurement, ahead: Container[str]) -> Gap | None:
        """Return the gap that a range makes which is not the one applied at its place, None for a copy.

        It is left out, as what it says may overlap with what was applied; its time is unknown.
        """
        cuts = self.cuts.get(measurement.source.partition)
        if measurement.source.topic != LOOKUPS or cuts is None or not cuts.contradict(measurement.source):
            return None
        gap = changed_gap(measurement, self.clock_ms, self.settings)
        self._miss(gap, ahead)
        return gap

    def _miss(self, gap: Gap, ahead: Container[str]) -> None:
        """Count the time of a gap as unknown for every link: records of any of them may be missing."""
        self._gaps = [known for known in self._gaps if known.end_ms > self.clock_ms] + [gap]
        for link, tracker in self.trackers.items():
            if link not in ahead:
                tracker.windows.sight.miss(gap.start_ms, gap.end_ms)

    def catch_up(self) -> dict[str, Output]:
        """Move the clock as far as what was applied allows; return what the links have to publish."""
        self._next_ms = NOT_YET
        return self._advance(_NONE, self.settings.slot_ms)

    def lagging(self, behind_ms: int) -> list[int]:
        """Return the source partitions that hold up the clock by more than a time, or were never heard."""
        ahead_ms = max(self.watermarks.values(), default=NOT_YET)
        return [one for one, at in self.watermarks.items() if at < ahead_ms - behind_ms or at == NOT_YET]

    def exempt(self, partitions: Iterable[int]) -> dict[str, Output]:
        """Go on without source partitions to which nobody writes; return what the links have to publish.

        One that is written to again joins again, and what it then says of the past is late.
        """
        for partition in partitions:
            self.watermarks.pop(partition, None)
        return self.catch_up()

    def _take_in(self, measurement: Measurement, ahead: Container[str]) -> None:
        slot_ms = self.settings.slot_ms
        source = measurement.source
        closed_ms = self.watermarks.get(source.partition, NOT_YET) // slot_ms * slot_ms
        due_ms = measurement.watermark_ms // slot_ms * slot_ms
        late: dict[str, Late] = {}
        for alive in measurement.alive:
            if alive.observer != "portal":
                continue
            start_ms, end_ms = alive.start_ms, alive.end_ms
            is_late = (start_ms // slot_ms + 1) * slot_ms <= closed_ms
            for link in alive.links:
                if link in ahead:
                    continue
                tracker = self.trackers.get(link) or self.tracker(link)
                if is_late:
                    late.setdefault(link, Late(due_ms, source, [], [])).alive.append((start_ms, end_ms))
                else:
                    tracker.sight.add(start_ms, end_ms)
        for cells in measurement.links:
            if cells.link in ahead:
                continue
            slots, behind = cells.slots, cells.late_slots
            if slots and slots[0].start_ms < self.clock_ms:  # only where a partition was not waited for
                behind = [slot for slot in slots if slot.start_ms < self.clock_ms] + behind
                slots = [slot for slot in slots if slot.start_ms >= self.clock_ms]
            tracker = self.trackers.get(cells.link) or self.tracker(cells.link)
            comes_first = tracker.add(slots)
            if behind:
                late.setdefault(cells.link, Late(due_ms, source, [], [])).slots.extend(behind)
            elif comes_first and cells.link not in late:
                self.schedule(cells.link)
        for link, facts in late.items():
            self.tracker(link).add_late(facts)
            self.schedule(link)

    def tracker(self, link: str) -> LinkTracker:
        """Return the tracker of a link, new if the link is."""
        tracker = self.trackers.get(link)
        if tracker is None:
            rules, evidence = self.rules.of(link), self._evidence
            tracker = LinkTracker(link, rules, self.settings, evidence, self._service)
            tracker.windows.wanted = not self._outages_only
            self.trackers[link] = tracker
            for gap in self._gaps:
                tracker.windows.sight.miss(gap.start_ms, gap.end_ms)
            if self._unhurried:
                self._share_room()
        return tracker

    def _share_room(self) -> None:
        """Let each link keep as many minutes unpacked as there is room for."""
        share_ms = LOOSE_MINUTES // len(self.trackers) * MINUTE_MS
        for tracker in self.trackers.values():
            tracker.history.pack_after_ms = max(share_ms, PACK_AFTER_MS)

    def schedule(self, link: str) -> None:
        """Note when a link has to be looked at next."""
        due_ms = self.trackers[link].next_ms()
        if due_ms != self._wake_at.get(link):
            self._wake_at[link] = due_ms
            heapq.heappush(self._wake, (due_ms, link))

    def _evidence(self, start_ms: int, until_ms: int) -> list[Source]:
        from_ms = start_ms - self.settings.out_of_orderness_ms
        ranges = (self.cuts[partition].covering(from_ms, until_ms) for partition in sorted(self.cuts))
        return [source for source in ranges if source is not None]

    def _advance(self, ahead: Container[str], step_ms: int) -> dict[str, Output]:
        """Move the clock to the least watermark once that is in another step.

        Every link that has something due moves with it.
        """
        watermark_ms = min(self.watermarks.values(), default=NOT_YET)
        if watermark_ms < self._next_ms:
            return {}
        slot_ms, lateness_ms = self.settings.slot_ms, self.settings.allowed_lateness_ms
        clock_ms = watermark_ms // slot_ms * slot_ms
        if (clock_ms - lateness_ms) // step_ms <= (self.clock_ms - lateness_ms) // step_ms or clock_ms < 0:
            return {}
        self._next_ms = ((clock_ms - lateness_ms) // step_ms + 1) * step_ms + lateness_ms
        self.clock_ms = clock_ms
        output = self._close_due(ahead)
        self._forget()
        return output

    def _close_due(self, ahead: Container[str]) -> dict[str, Output]:
        """Move every link that has something due up to the clock."""
        output: dict[str, Output] = {}
        due: set[str] = set()
        waiting: list[tuple[int, str]] = []
        while self._wake and self._wake[0][0] <= self.clock_ms:
            at_ms, link = heapq.heappop(self._wake)
            if link in ahead:
                waiting.append((at_ms, link))
            elif self._wake_at.get(link) == at_ms:
                due.add(link)
        for entry in waiting:
            heapq.heappush(self._wake, entry)
        for link in sorted(due):
            published = self.trackers[link].advance(self.clock_ms)
            del self._wake_at[link]
            self.schedule(link)
            if published.windows or published.outages:
                output[link] = published
        return output

    def _forget(self) -> None:
        """Forget, now and then, what is older than the allowed lateness."""
        before_ms = (
            (self.clock_ms - self.settings.allowed_lateness_ms) // self.forget_every_ms * self.forget_every_ms
        )
        if before_ms <= self._forgot_ms:
            return
        self._forgot_ms = before_ms
        for link, tracker in self.trackers.items():
            if link not in self.resume_at:
                tracker.spent(self.clock_ms)  # what is counted is not needed any more
                tracker.forget(before_ms)
        for cuts in self.cuts.values():
            cuts.prune(before_ms - 2 * self.settings.out_of_orderness_ms)
