"""Judges measurements as they arrive, block by block, keeping the partitions close in time.

The clock is the least watermark of all partitions, so the order of partitions changes no result; the next
block is taken from the partition that is furthest behind. A revision of a rule must be known before the clock
reaches its time.
"""

from collections import deque
from collections.abc import Iterable

from streams.detect.detector import Detector
from streams.detect.link.tracker import Output
from streams.detect.rule.rules import Rules
from streams.model.canonical import ordered_outages
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.settings import DetectSettings
from streams.replay.packed import Packed, Sorter, unpacker


class Judging:
    """Finds windows and outages in measurements of `npd.lookups`, as they arrive from each partition.

    All partitions must be known from the start: their least watermark is the clock.
    """

    def __init__(
        self, rules: Rules, settings: DetectSettings, partitions: Iterable[int], *, outages_only: bool = False
    ) -> None:
        self._detector = Detector(rules, settings, partitions, outages_only=outages_only, unhurried=True)
        self._unpack = unpacker(Measurement)
        self._blocks: dict[int, deque[bytes]] = {at: deque() for at in self._detector.watermarks}
        self._ended = False
        self._windows: dict[str, Sorter[Window]] = {}
        self._outages: list[Outage] = []

    @property
    def partitions(self) -> set[int]:
        """The source partitions whose least watermark is the clock."""
        return set(self._blocks)

    def go_on(self, blocks: Iterable[tuple[int, bytes]], changed_ms: Iterable[int] = ()) -> bool:
        """Judge packed measurements of partitions, each partition's in order.

        ``changed_ms`` are the times of rules that became known since the last call. Returns False if one of
        them has already passed, or if a block is from an unknown partition: the findings are then invalid.
        """
        if any(at_ms < self._detector.clock_ms for at_ms in changed_ms):
            return False
        for partition, block in blocks:
            if partition not in self._blocks:
                return False
            self._blocks[partition].append(block)
        self._run()
        return True

    def finish(self) -> tuple[Packed[Window], list[Outage]]:
        """Return every revision of every window and outage, in canonical order."""
        self._ended = True
        self._run()
        self._take(self._detector.catch_up())
        windows = (self._windows[link].finish() for link in sorted(self._windows))
        return Packed.joined(Window, windows), ordered_outages(self._outages)

    def _run(self) -> None:
        """Apply blocks as long as the partition furthest behind has one; at the end, apply all."""
        apply, watermark_of = self._detector.apply, self._detector.watermarks.__getitem__
        waiting = self._blocks
        while waiting:
            partition = min(waiting, key=watermark_of)
            if waiting[partition]:
                for measurement in self._unpack(waiting[partition].popleft()):
                    if output := apply(measurement).output:
                        self._take(output)
            elif self._ended:
                waiting = {at: blocks for at, blocks in waiting.items() if blocks}
            else:
                return

    def _take(self, output: dict[str, Output]) -> None:
        for link, published in output.items():
            if published.windows:
                sorter = self._windows.get(link)
                if sorter is None:
                    sorter = self._windows[link] = Sorter(Window, _by_start)
                for window in published.windows:
                    sorter.add(window)
            self._outages += published.outages


def _by_start(window: Window) -> tuple[int, int]:
    return window.start_ms, window.revision
