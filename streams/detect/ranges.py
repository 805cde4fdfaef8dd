"""The ranges of source offsets that measurements cover: which were applied, and the gaps between them."""

from bisect import bisect_left
from typing import Final, NamedTuple

from msgspec import Struct, field

from streams.model.digest import combine
from streams.model.measurement import Measurement, Source
from streams.model.settings import DetectSettings

INCARNATION_BITS: Final = 50
OFFSET_MASK: Final = (1 << INCARNATION_BITS) - 1
PATIENCE_MS: Final = 60_000
"""How long, by the broker's time, a range waits for its predecessor; `measure` sends again much sooner."""


class Cuts(Struct):
    """The cuts of one source partition, ascending. A cut is a measurement's watermark and source range."""

    watermarks: list[int] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def add(self, watermark_ms: int, source: Source) -> None:
        """Add the next cut; a known cut changes nothing."""
        last = self.sources[-1] if self.sources else None
        if last is None or reach(source, source.first_offset) > reach(last, last.first_offset):
            self.watermarks.append(watermark_ms)
            self.sources.append(source)

    def covering(self, start_ms: int, until_ms: int) -> Source | None:
        """Return as one range the cuts with the events from ``start_ms`` to ``until_ms``; None if none."""
        first = bisect_left(self.watermarks, start_ms)
        last = min(bisect_left(self.watermarks, until_ms), len(self.sources) - 1)
        cuts = self.sources[first : last + 1]
        if not cuts:
            return None
        incarnation = cuts[-1].incarnation  # records of an earlier incarnation cannot be read any more
        cuts = [cut for cut in cuts if cut.incarnation == incarnation]
        digest = combine(cut.digest for cut in cuts)
        begin, end = cuts[0], cuts[-1]
        return Source(begin.topic, begin.partition, begin.first_offset, end.next_offset, digest, incarnation)

    def contradict(self, source: Source) -> bool:
        """Return whether a range is known to hold other records than those applied for its offsets."""
        if not self.sources or source.incarnation != self.sources[-1].incarnation:
            return False
        first = bisect_left(self.sources, reach(source, source.first_offset), key=_begin)
        known = self.sources[first] if first < len(self.sources) else None
        return known != source and (
            first > 0 or (known is not None and known.first_offset < source.next_offset)
        )

    def prune(self, before_ms: int) -> None:
        """Forget the cuts whose watermark is before ``before_ms``."""
        gone = bisect_left(self.watermarks, before_ms)
        del self.watermarks[:gone], self.sources[:gone]


def _begin(source: Source) -> int:
    return reach(source, source.first_offset)


def source_key(source: Source) -> str:
    """Return the key of a range's partition in `Detector.applied`."""
    return f"{source.topic}/{source.partition}"


def reach(source: Source, offset: int) -> int:
    """Return an offset of a source as a number that grows across its incarnations.

    >>> reach(Source("t", 0, 5, 9, ""), 9), reach(Source("t", 0, 5, 9, "", 1), 9) > 9
    (9, True)
    """
    return source.incarnation << INCARNATION_BITS | offset


class Gap(NamedTuple):
    """Missing records of a source: the time ``[start_ms, end_ms)`` that they cover is unknown.

    ``reason`` is ``missing`` (the preceding range was never measured), ``overlap`` (part of the range has
    been applied already, as after a rebuild from a log without its head), ``changed`` (the offsets now hold
    other records than those applied: the log's end was cut off), ``began_again`` (it is a different log), or
    the value of `Measurement.incomplete`.
    """

    reason: str
    source: Source
    expected_offset: int
    start_ms: int
    end_ms: int


def undeclared(measurement: Measurement, applied: int | None) -> bool:
    """Return whether preceding ranges are missing that `measure` has not declared lost.

    ``applied`` is the `reach` of the last range's end, None before the first, which begins at offset 0.
    """
    source, gone_from = measurement.source, measurement.gone_from
    known = reach(source, 0) if applied is None else applied
    if source.incarnation != known >> INCARNATION_BITS or (applied is None and source.incarnation):
        return False  # nothing is expected of a different log
    expected = known & OFFSET_MASK
    return source.first_offset > expected and not (gone_from is not None and gone_from <= expected)


def gap_before(
    measurement: Measurement,
    applied: int | None,
    watermark_ms: int | None,
    clock_ms: int,
    settings: DetectSettings,
) -> Gap | None:
    """Return the gap between the last range applied of a source and this one, None if there is none.

    ``applied`` is the `reach` of that range's end and ``watermark_ms`` its watermark, None before the first.
    The missing events lie between the watermarks of the two.
    """
    first = reach(measurement.source, measurement.source.first_offset)
    if applied is not None and first != applied:
        if first < applied:
            reason = "overlap"
        else:
            same_log = first >> INCARNATION_BITS == applied >> INCARNATION_BITS
            reason = "missing" if same_log else "began_again"
    elif measurement.incomplete:
        reason = measurement.incomplete
    else:
        return None
    start_ms = measurement.watermark_ms - settings.slot_ms if watermark_ms is None else watermark_ms
    return _gap(reason, measurement, (applied or 0) & OFFSET_MASK, start_ms, clock_ms, settings)


def changed_gap(measurement: Measurement, clock_ms: int, settings: DetectSettings) -> Gap:
    """Return the gap of a range whose offsets had been applied with other records."""
    start_ms = measurement.watermark_ms - settings.slot_ms - settings.out_of_orderness_ms
    return _gap("changed", measurement, measurement.source.first_offset, start_ms, clock_ms, settings)


def _gap(
    reason: str,
    measurement: Measurement,
    expected: int,
    from_ms: int,
    clock_ms: int,
    settings: DetectSettings,
) -> Gap:
    start_ms = max(min(from_ms, measurement.watermark_ms), clock_ms)
    end_ms = max(measurement.watermark_ms, start_ms) + settings.out_of_orderness_ms
    return Gap(reason, measurement.source, expected, start_ms, end_ms)
