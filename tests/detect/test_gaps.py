"""Records that are missing are told, and the time they cover is unknown."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from small_logs import START_MS, Fault, by_watermark, draw_log, interleaved, measure

from streams.detect.detector import Detector
from streams.detect.link.snapshot import load, save
from streams.detect.ranges import PATIENCE_MS
from streams.detect.rule.cusum import Rule
from streams.detect.rule.rules import Rules
from streams.model.settings import DetectSettings

SETTINGS = DetectSettings()
LOG = draw_log(5, faults=[Fault(400, 120)])
MEASUREMENTS = measure(LOG)


def fresh() -> Detector:
    """Return a detector of the log's partitions that has seen nothing."""
    return Detector(Rules(Rule()), SETTINGS, sorted(MEASUREMENTS))


def applied(order, detector=None):
    """Return the gaps told and the windows published for measurements in an order."""
    detector, gaps, windows = detector or fresh(), [], {}
    for measurement in order:
        result = detector.apply(measurement)
        gaps += [] if result.gap is None else [result.gap]
        for output in result.output.values():
            windows |= {(one.link, one.start_ms): one for one in output.windows}
    return gaps, windows


@given(seed=st.integers(0, 10_000), copies=st.integers(0, 30))
@settings(max_examples=20)
def test_no_gap_is_told_where_nothing_is_missing(seed, copies):
    """In any interleaving of the partitions, with any ranges repeated, no gap is told."""
    order, rng = interleaved(MEASUREMENTS, seed), Random(seed)
    for _ in range(copies):
        at = rng.randrange(len(order))
        order.insert(rng.randrange(at, len(order)) + 1, order[at])
    assert applied(order)[0] == []


@given(partition=st.sampled_from(sorted(MEASUREMENTS)), first=st.integers(1, 120), length=st.integers(1, 40))
@settings(max_examples=20)
def test_missing_ranges_are_told_and_their_time_is_unknown(partition, first, length):
    """Without some ranges of a partition one gap is told, and no second of it is up or down."""
    of_one = MEASUREMENTS[partition]
    first = min(first, len(of_one) - 2)
    kept = of_one[:first] + of_one[first + length :]
    if len(kept) <= first:  # nothing follows that could tell
        return
    gaps, windows = applied(by_watermark(MEASUREMENTS | {partition: kept}))
    (gap,) = gaps
    assert (gap.reason, gap.expected_offset) == ("missing", of_one[first].source.first_offset)
    assert gap.start_ms <= of_one[first - 1].watermark_ms
    assert gap.end_ms > kept[first].watermark_ms
    inside = [w for (_, start), w in windows.items() if gap.start_ms <= start and w.end_ms <= gap.end_ms]
    assert all(w.state_ms.get("UNKNOWN", 0) == w.end_ms - w.start_ms for w in inside)
    assert inside or gap.end_ms - gap.start_ms < 120_000


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"incarnation": 1, "first_offset": 0, "next_offset": 9}, "began_again"),
        ({"first_offset": -3}, "overlap"),
    ],
)
def test_ranges_that_do_not_follow_are_told(changed, reason):
    """A range that overlaps what is applied, or is of another log, is told as what it is."""
    order = by_watermark(MEASUREMENTS)
    at = len(order) // 2
    source = order[at].source
    moved = {name: source.first_offset + value if value < 0 else value for name, value in changed.items()}
    broken = replace(order[at], source=replace(source, **moved))
    gaps, _ = applied([*order[:at], broken])
    assert [gap.reason for gap in gaps] == [reason]


def test_a_gap_outlives_a_restart():
    """A detector restored from its state counts the same time as unknown, and tells no gap again."""
    of_one = MEASUREMENTS[0]
    order = by_watermark(MEASUREMENTS | {0: of_one[:60] + of_one[75:]})
    gaps, windows = applied(order)
    at = next(n for n, m in enumerate(order) if m.source == of_one[75].source) + 1
    before = fresh()
    gaps_before, windows_before = applied(order[:at], before)
    after = fresh()
    assert load(after, save(before, at)) == at
    gaps_after, windows_after = applied(order[at:], after)
    assert gaps_before + gaps_after == gaps
    assert windows_before | windows_after == windows
    assert len(gaps) == 1


def test_a_measurement_without_its_sums_leaves_its_time_unknown():
    """A range that was too large to carry its sums is told, and so is its time."""
    order = by_watermark(MEASUREMENTS)
    at = len(order) // 2
    order[at] = replace(order[at], links=[], alive=[], incomplete="too_large")
    gaps, _ = applied(order)
    assert [(gap.reason, gap.source) for gap in gaps] == [("too_large", order[at].source)]


def test_a_range_that_comes_before_its_predecessor_waits_for_it():
    """Sent again in order, both count once and no gap is told; one that never comes is told in the end."""
    of_one = MEASUREMENTS[0]
    order = [*of_one[:5], *of_one[6:9], *of_one[5:]]  # the sixth was refused, and its successors were not
    detector = fresh()
    results = [detector.apply(one, at, START_MS + at) for at, one in enumerate(order)]
    assert [result.early for result in results[5:8]] == [True] * 3
    assert [result.gap for result in results] == [None] * len(order)
    assert sum(result.fresh for result in results) == len(of_one)
    lost = fresh()
    missing = [*of_one[:5], *of_one[6:]]
    late = [lost.apply(one, at, START_MS + at * PATIENCE_MS // 10) for at, one in enumerate(missing)]
    (told,) = [result.gap for result in late if result.gap is not None]
    assert (told.reason, told.expected_offset) == ("missing", of_one[5].source.first_offset)
    assert sum(result.early for result in late) == 10


def test_behind_a_topic_that_was_made_again_nothing_is_waited_for():
    """The next range of each source is applied though its predecessor is missing, and the gap is told."""
    of_one = MEASUREMENTS[0]
    detector = fresh()
    for at, one in enumerate(of_one[:5]):
        detector.apply(one, at, START_MS)
    detector.wait_for_nothing()
    results = [detector.apply(one, at, START_MS) for at, one in enumerate(of_one[8:10])]
    assert [result.fresh for result in results] == [True, True]
    assert [result.gap is not None for result in results] == [True, False]


def test_what_measure_says_to_be_gone_is_not_waited_for():
    """A range that names the records gone before it is applied at once, and the gap is told."""
    of_one = MEASUREMENTS[0]
    detector = fresh()
    after = replace(of_one[6], gone_from=of_one[5].source.first_offset)
    results = [detector.apply(one, at, START_MS) for at, one in enumerate([*of_one[:5], after])]
    assert [result.gap.reason for result in results if result.gap is not None] == ["missing"]


def test_other_records_in_place_of_those_applied_are_told():
    """A range that holds other records than the one applied of its offsets is left out, and told."""
    of_one = MEASUREMENTS[0]
    order = by_watermark(MEASUREMENTS)
    at = order.index(of_one[20])
    changed = replace(of_one[20], source=replace(of_one[20].source, digest="0" * 64))
    gaps, _ = applied([*order[: at + 3], changed])
    assert [(gap.reason, gap.source) for gap in gaps] == [("changed", changed.source)]
