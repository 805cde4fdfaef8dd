"""All links of one partition of `link.measurements`: merges measurements, keeps the clock, passes facts on.

The result is a pure function of the *set* of measurements: a repeated one is recognised by its offsets, and
the clock, which is the lowest watermark of the source partitions, orders everything else.
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
"""Steps of an unhurried clock. They divide `FORGET_EVERY_MS`, so facts are forgotten at the same times."""
LOOSE_MINUTES: Final = 5_000
"""How many minutes of all links stay unpacked if no state is saved: some 100 MB for busy links."""
_NONE: Final[frozenset[str]] = frozenset()


class Applied(NamedTuple):
    """What applying a measurement did; ``fresh`` is False if it was known already or came too ``early``."""

    fresh: bool
    output: dict[str, Output]
    gap: Gap | None = None
    early: bool = False


class Detector:
    """Follows the links of one partition of `link.measurements`, each under its own rules.

    A revision of a rule may be given to ``rules`` at any time before the clock reaches the time it takes
    effect. ``partitions`` are the source partitions whose watermarks make the clock; the clock does not start
    until each has been heard from. With ``outages_only`` no windows are made; the outages are the same. If
    nobody waits for the results the clock may be ``unhurried``: it moves in steps of `STEP_MS`, and finally
    by `catch_up`. The results are the same, for less work. Given a ``service``, the time that each link
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
        """The clock cannot move before the watermark reaches this."""
        self._outages_only = outages_only
        self.trackers: dict[str, LinkTracker] = {}
        self.clock_ms = NOT_YET
        self.partitions = set(partitions)
        self.watermarks: dict[int, int] = dict.fromkeys(self.partitions, NOT_YET)
        self.applied: dict[str, int] = {}
        self.cuts: dict[int, Cuts] = {}
        self.waiting: dict[str, int] = {}
        """Sources with a missing range, and since when by the broker's time."""
        self._unawaited: set[str] = set()
        self.logged_ms = -1
        """The latest broker's time in the part of `link.measurements` followed so far, -1 if unknown."""
        self._whole: bool | None = None
        """Whether `link.measurements` is followed from its beginning, None before the first measurement."""
        self.resume_at: dict[str, int] = {}
        self.forget_every_ms = FORGET_EVERY_MS
        """How often old facts are forgotten; this does not change any result."""
        self._forgot_ms = NOT_YET
        self._gaps: list[Gap] = []
        """Gaps that the clock has not passed yet; they also apply to links that appear later."""
        self._wake: list[tuple[int, str]] = []
        self._wake_at: dict[str, int] = {}

    def apply(
        self, measurement: Measurement, position: int | None = None, logged_ms: int | None = None
    ) -> Applied:
        """Apply a measurement; return what the links have to publish, by link, in link order.

        ``position`` is its offset in `link.measurements`. A link whose restored state is already past that
        (`resume_at`) is left alone: it knows the measurement. ``logged_ms`` is the broker's time of the
        record. If given, a range whose predecessor is missing is left out for a while: a producer may fail to
        send one record and still send the next, and then `measure` sends both again, in order.
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
        """Accept the next range of each source as it comes: `link.measurements` is a different topic now."""
        self._unawaited, self._whole = set(self.applied), False
        self.waiting, self.resume_at, self.logged_ms = {}, {}, -1

    def _comes_too_early(
        self, measurement: Measurement, applied: int | None, position: int | None, logged_ms: int | None
    ) -> bool:
        """Return whether to wait for the preceding range, which `measure` has not declared lost."""
        key = source_key(measurement.source)
        if self._whole is None:  # not whole if reading began after records that were deleted
            self._whole = bool(self.applied) or not position
        if key in self._unawaited:
            self._unawaited.discard(key)
            return False
        unknown = applied is None and not self._whole
        if logged_ms is None or unknown or not undeclared(measurement, applied):
            self.waiting.pop(key, None)
            return False
        since_ms = self.waiting.setdefault(key, logged_ms)
        if logged_ms - since_ms < PATIENCE_MS:
            return True
        del self.waiting[key]
        return False

    def _ahead_of(self, position: int | None) -> frozenset[str]:
        """Return the links whose restored state is past a position."""
        if position is None or not self.resume_at:
            return _NONE
        ahead = frozenset(link for link, resume_at in self.resume_at.items() if resume_at > position)
        self.resume_at = {link: self.resume_at[link] for link in ahead}
        return ahead

    def _changed(self, measurement: Measurement, ahead: Container[str]) -> Gap | None:
        """Return the gap caused by a range that contradicts the one applied in its place, None for a copy.

        The range is left out, as its facts may overlap with those applied; its time counts as unknown.
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
        """Move the clock as far as the watermarks allow; return what the links have to publish."""
        self._next_ms = NOT_YET
        return self._advance(_NONE, self.settings.slot_ms)

    def lagging(self, behind_ms: int) -> list[int]:
        """Return the source partitions more than ``behind_ms`` behind the first, or never heard from."""
        ahead_ms = max(self.watermarks.values(), default=NOT_YET)
        return [one for one, at in self.watermarks.items() if at < ahead_ms - behind_ms or at == NOT_YET]

    def exempt(self, partitions: Iterable[int]) -> dict[str, Output]:
        """Continue without source partitions to which nobody writes; return what the links have to publish.

        A partition that is written to again joins again; its facts about the past are then late.
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
            if slots and slots[0].start_ms < self.clock_ms:  # only if a partition was not waited for
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
        """Return the tracker of a link, made if the link is new."""
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
        """Divide `LOOSE_MINUTES` among the links."""
        share_ms = LOOSE_MINUTES // len(self.trackers) * MINUTE_MS
        for tracker in self.trackers.values():
            tracker.history.pack_after_ms = max(share_ms, PACK_AFTER_MS)

    def schedule(self, link: str) -> None:
        """Note when a link next has something due."""
        due_ms = self.trackers[link].next_ms()
        if due_ms != self._wake_at.get(link):
            self._wake_at[link] = due_ms
            heapq.heappush(self._wake, (due_ms, link))

    def _evidence(self, start_ms: int, until_ms: int) -> list[Source]:
        from_ms = start_ms - self.settings.out_of_orderness_ms
        ranges = (self.cuts[partition].covering(from_ms, until_ms) for partition in sorted(self.cuts))
        return [source for source in ranges if source is not None]

    def _advance(self, ahead: Container[str], step_ms: int) -> dict[str, Output]:
        """Move the clock to the lowest watermark at a new step, together with every due link."""
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
        """Forget facts older than the allowed lateness, every `forget_every_ms`."""
        before_ms = (
            (self.clock_ms - self.settings.allowed_lateness_ms) // self.forget_every_ms * self.forget_every_ms
        )
        if before_ms <= self._forgot_ms:
            return
        self._forgot_ms = before_ms
        for link, tracker in self.trackers.items():
            if link not in self.resume_at:
                tracker.spent(self.clock_ms)  # facts that have been counted are no longer needed
                tracker.forget(before_ms)
        for cuts in self.cuts.values():
            cuts.prune(before_ms - 2 * self.settings.out_of_orderness_ms)
