"""`detect`'s logic behind a simulated `measure`: deliveries repeated, states saved, lost and restored."""

from random import Random

from streams.detect.detector import Detector
from streams.detect.link.snapshot import load, save
from streams.detect.ranges import Gap
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.canonical import encode
from streams.model.measurement import Measurement, Source
from streams.model.settings import DetectSettings

SETTINGS = DetectSettings()


def _detector(partitions: int) -> Detector:
    return Detector(Rules(Rule()), SETTINGS, range(partitions))


def follow(
    published: list[Measurement], partitions: int, rng: Random, crashes: int
) -> tuple[dict[object, bytes], list[Gap], set[Source], set[Source]]:
    """Follow measurements as they stand on the topic, with crashes.

    Return what is made known, the gaps, the ranges that were applied, and those that came too early.

    A crash goes back to the last state saved; what was published since is published again, and must be the
    same to the byte.
    """
    detector, saved, saved_at, at = _detector(partitions), {}, 0, 0
    said: dict[object, bytes] = {}
    gaps: list[Gap] = []
    taken: set[Source] = set()
    early: set[Source] = set()
    dies_at = sorted(rng.randrange(len(published) + 1) for _ in range(crashes))
    while at < len(published):
        if dies_at and at >= dies_at[0]:
            dies_at.pop(0)
            detector = _detector(partitions)
            at = load(detector, saved) or 0  # where nothing is saved, all is delivered again
            assert at in {0, saved_at}
            continue
        applied = detector.apply(published[at], at, at)
        (taken if applied.fresh else early if applied.early else set()).add(published[at].source)
        at += 1
        if applied.gap is not None:
            gaps.append(applied.gap)
        for output in applied.output.values():
            for one in (*output.windows, *output.outages):
                name = getattr(one, "outage_id", one.start_ms), one.link, one.revision
                assert said.setdefault(name, encode(one)) == encode(one), name
        if crashes and rng.random() < 0.05:
            saved, saved_at = save(detector, at), at
    return said, gaps, taken, early


def check_detected(
    published: list[Measurement], undisturbed: list[Measurement], partitions: int, rng: Random
) -> None:
    """Check that `detect` makes known what it would have without any fault, and tells no gap."""
    wanted, gaps, *_ = follow(sorted(undisturbed, key=lambda m: m.watermark_ms), partitions, rng, 0)
    assert gaps == [], gaps
    found, gaps, *_ = follow(published, partitions, rng, rng.randrange(3))
    assert gaps == [], gaps
    assert found == wanted, (len(found), len(wanted))


def check_told(published: list[Measurement], partitions: int, rng: Random) -> None:
    """Check that every range is applied, is a copy of one applied, or belongs to a gap that was told."""
    _, gaps, taken, early = follow(published, partitions, rng, rng.randrange(3))
    told = {gap.source for gap in gaps}
    covered = {(s.partition, at) for s in taken for at in range(s.first_offset, s.next_offset)}
    for gap in gaps:
        covered |= {(gap.source.partition, at) for at in range(gap.expected_offset, gap.source.next_offset)}
    last: dict[int, int] = {}
    for measurement in published:
        source = measurement.source
        last[source.partition] = max(last.get(source.partition, 0), source.incarnation)
    for measurement in published:
        source = measurement.source
        of_earlier_log = source.incarnation < last[source.partition]  # whose end is told by a gap
        offsets = {(source.partition, at) for at in range(source.first_offset, source.next_offset)}
        left_out = source in early and offsets <= covered
        assert source in taken or source in told or of_earlier_log or left_out, source
