"""Measurements judged while they come: applied in the order of their watermarks, as far as that is known.

The order is that of the whole log: by watermark, then source. A partition's measurements come in that order,
so the least of those at hand is next once every partition has one at hand. Each exclusion takes effect
before the first measurement that passes the time at which it was recorded.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from streams.detect.detector import NOT_YET, Detector
from streams.detect.rule import Rule
from streams.detect.tracker import Output
from streams.model.canonical import ordered_outages
from streams.model.exclusion import Exclusion
from streams.model.measurement import Measurement, Source
from streams.model.outage import Outage, Window
from streams.model.settings import DetectSettings
from streams.replay.packed import Packed, Sorter, unpacker


class Judging:
    """Finds the windows and outages of measurements of `npd.lookups`, as they come from each partition.

    All partitions must be known from the start: their least watermark is the clock.
    """

    def __init__(
        self, rule: Rule, settings: DetectSettings, partitions: Iterable[int], *, outages_only: bool = False
    ) -> None:
        self._detector = Detector(rule, settings, partitions, outages_only=outages_only)
        self._unpack = unpacker(Measurement)
        self._blocks: dict[int, deque[bytes]] = {at: deque() for at in self._detector.watermarks}
        self._rows: dict[int, Iterator[Measurement]] = {at: iter(()) for at in self._blocks}
        self._hungry = set(self._blocks)
        self._ended = False
        self._heads: list[tuple[int, Source, int, Measurement]] = []
        self._applied_ms = NOT_YET
        self._windows: dict[str, Sorter[Window]] = {}
        self._outages: list[Outage] = []

    @property
    def partitions(self) -> set[int]:
        """The source partitions whose least watermark is the clock."""
        return set(self._blocks)

    def go_on(self, exclusions: Iterable[Exclusion], blocks: Iterable[tuple[int, bytes]]) -> bool:
        """Take in exclusions, and packed measurements of partitions, each partition's in order.

        Return False where one comes after its turn, or is of a partition not known: then all that is found
        from here on is worthless.
        """
        for exclusion in exclusions:
            if exclusion.recorded_at_ms < self._applied_ms:
                return False
            self._detector.announce(exclusion)
        for partition, block in blocks:
            if partition not in self._blocks:
                return False
            self._blocks[partition].append(block)
            if partition in self._hungry:
                self._hungry.discard(partition)
                self._next(partition)
        self._run()
        return True

    def finish(self) -> tuple[Packed[Window], list[Outage]]:
        """Return every revision of every window and outage, in canonical order."""
        self._ended = True
        self._run()
        self._take(self._detector.take_announced())
        windows = (self._windows[link].finish() for link in sorted(self._windows))
        return Packed.joined(Window, windows), ordered_outages(self._outages)

    def _run(self) -> None:
        """Apply measurements while the next one is known: at the end it is, whoever has none left."""
        heads, apply = self._heads, self._detector.apply
        while heads and (self._ended or not self._hungry):
            watermark_ms, _, partition, measurement = heapq.heappop(heads)
            self._applied_ms = watermark_ms
            self._take(apply(measurement).output)
            self._next(partition)

    def _next(self, partition: int) -> None:
        """Put the next measurement of a partition at hand, or note that it is waited for."""
        measurement = next(self._rows[partition], None)
        while measurement is None:
            if not self._blocks[partition]:
                self._hungry.add(partition)
                return
            self._rows[partition] = iter(self._unpack(self._blocks[partition].popleft()))
            measurement = next(self._rows[partition], None)
        heapq.heappush(self._heads, (measurement.watermark_ms, measurement.source, partition, measurement))

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
