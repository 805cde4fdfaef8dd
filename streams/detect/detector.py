"""All links of one partition of `link.measurements`: merge, keep the clock, pass facts on.

The result is a pure function of the *set* of measurements: one applied twice is known by its offsets, and
the clock, the least watermark over the source partitions, orders everything else.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct, field

from streams.detect.rule import Rule
from streams.detect.tracker import Late, LinkTracker, Output
from streams.model import events
from streams.model.digest import combine
from streams.model.measurement import Measurement, Source
from streams.model.settings import DetectSettings

NOT_YET = -(1 << 62)


class Cuts(Struct):
    """The cuts of one source partition, ascending: watermark reached, and range covered."""

    watermarks: list[int] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def covering(self, start_ms: int, until_ms: int) -> Source | None:
        """Return, as one range, the cuts that hold the events from ``start_ms`` up to ``until_ms``."""
        first = bisect_left(self.watermarks, start_ms)
        last = min(bisect_left(self.watermarks, until_ms), len(self.sources) - 1)
        cuts = self.sources[first : last + 1]
        if not cuts:
            return None
        digest = combine(cut.digest for cut in cuts)
        return Source(cuts[0].topic, cuts[0].partition, cuts[0].first_offset, cuts[-1].next_offset, digest)

    def prune(self, before_ms: int) -> None:
        """Forget the cuts whose watermark stayed before ``before_ms``."""
        gone = bisect_left(self.watermarks, before_ms)
        del self.watermarks[:gone], self.sources[:gone]


class Applied(NamedTuple):
    """What applying a measurement did: ``fresh`` False for one that was known."""

    fresh: bool
    output: dict[str, Output]


class Detector:
    """Follows the links of one partition of `link.measurements`.

    ``partitions`` are the source partitions whose watermarks make the clock; the clock stands until each
    has been heard.
    """

    def __init__(self, rule: Rule, settings: DetectSettings, partitions: Iterable[int]) -> None:
        self.rule, self.settings = rule, settings
        self.trackers: dict[str, LinkTracker] = {}
        self.clock_ms = NOT_YET
        self._watermarks: dict[int, int] = dict.fromkeys(partitions, NOT_YET)
        self._applied: dict[tuple[str, int], int] = {}
        self._cuts: dict[int, Cuts] = {}
        self._pruned_ms = NOT_YET

    def apply(self, measurement: Measurement) -> Applied:
        """Take in a measurement; return what the links have to publish, by link, in link order."""
        source = measurement.source
        key = (source.topic, source.partition)
        if source.first_offset < self._applied.get(key, 0):
            return Applied(fresh=False, output={})
        self._applied[key] = source.next_offset
        if source.topic != events.LOOKUPS:
            return Applied(fresh=True, output={})
        self._take_in(measurement)
        cuts = self._cuts.setdefault(source.partition, Cuts())
        cuts.watermarks.append(measurement.watermark_ms)
        cuts.sources.append(source)
        self._watermarks[source.partition] = measurement.watermark_ms
        return Applied(fresh=True, output=self._advance())

    def watermarks(self) -> dict[int, int]:
        """Return the watermark of each source partition heard so far."""
        return {partition: at for partition, at in self._watermarks.items() if at != NOT_YET}

    def _take_in(self, measurement: Measurement) -> None:
        slot_ms = self.settings.slot_ms
        source = measurement.source
        closed_ms = self._watermarks.get(source.partition, NOT_YET) // slot_ms * slot_ms
        due_ms = measurement.watermark_ms // slot_ms * slot_ms
        late: dict[str, Late] = {}
        for alive in measurement.alive:
            if alive.observer != "portal":
                continue
            is_late = (alive.start_ms // slot_ms + 1) * slot_ms <= closed_ms
            for link in alive.links:
                tracker = self._tracker(link)
                if is_late:
                    late.setdefault(link, Late(due_ms, source, [], [])).alive.append(
                        (alive.start_ms, alive.end_ms)
                    )
                else:
                    tracker.sight.add(alive.start_ms, alive.end_ms)
        for cells in measurement.links:
            self._tracker(cells.link).add(cells.slots)
            if cells.late_slots:
                late.setdefault(cells.link, Late(due_ms, source, [], [])).slots.extend(cells.late_slots)
        for link, facts in late.items():
            self._tracker(link).add_late(facts)

    def _tracker(self, link: str) -> LinkTracker:
        tracker = self.trackers.get(link)
        if tracker is None:
            tracker = self.trackers[link] = LinkTracker(link, self.rule, self.settings, self._evidence)
        return tracker

    def _evidence(self, start_ms: int, until_ms: int) -> list[Source]:
        from_ms = start_ms - self.settings.out_of_orderness_ms
        ranges = (self._cuts[partition].covering(from_ms, until_ms) for partition in sorted(self._cuts))
        return [source for source in ranges if source is not None]

    def _advance(self) -> dict[str, Output]:
        """Move the clock to the least watermark, and every link with it."""
        slot_ms = self.settings.slot_ms
        clock_ms = min(self._watermarks.values()) // slot_ms * slot_ms
        if clock_ms <= self.clock_ms or clock_ms < 0:
            return {}
        self.clock_ms = clock_ms
        output = {}
        for link in sorted(self.trackers):
            published = self.trackers[link].advance(clock_ms)
            if published.windows or published.outages:
                output[link] = published
        self._prune()
        return output

    def _prune(self) -> None:
        """Forget, once a minute, what is older than the allowed lateness."""
        before_ms = (self.clock_ms - self.settings.allowed_lateness_ms) // 60_000 * 60_000
        if before_ms <= self._pruned_ms:
            return
        self._pruned_ms = before_ms
        for tracker in self.trackers.values():
            tracker.prune(before_ms)
        oldest_ms = min([before_ms, *(tracker.oldest_ms(before_ms) for tracker in self.trackers.values())])
        for cuts in self._cuts.values():
            cuts.prune(oldest_ms - 2 * self.settings.out_of_orderness_ms)
