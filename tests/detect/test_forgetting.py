"""What detection forgets changes nothing that it finds."""

from functools import cache
from itertools import combinations, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.forgetting_trials import forgetting, remembering_all, taken_back, told
from lab.long_histories import draw
from streams.detect.detector import Detector
from streams.detect.link.minute import MINUTE_MS, Minute
from streams.detect.link.outages import PATIENCE_MS, names_of
from streams.detect.link.remains import FAR, Remains
from streams.detect.link.totals import totals_of
from streams.detect.rule.cusum import QUIET
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.settings import DetectSettings


@pytest.mark.parametrize("seed", [*(f"short/{seed}" for seed in range(12)), "confined/5", "confined/45", 13])
def test_a_bound_on_memory_changes_no_revision(seed):
    """A history judged under a bound on lateness just above its latest fact, forgetting every few minutes and
    saved and loaded on the way, gives the revisions that it gives where all of it is remembered.
    """
    history = history_of(seed)
    assert told(forgetting(history, seed)) == told(remembering_all(history))


def history_of(seed, *, late=True):
    """Return a history of five hours, with confined trouble if its seed is named so; a number is longer."""
    hours = 5 if isinstance(seed, str) else None
    return draw(seed, late=late, hours=hours, confined=str(seed).startswith("confined"))


@settings(max_examples=40)
@given(st.integers(0, 9), st.data())
def test_sums_of_forgotten_facts_give_the_figures_of_any_spell(seed, data):
    """Facts are forgotten in steps, and after each some cuts are edges no longer: a spell from any cut that
    is left to any other, or to the end, has the figures that it has where every fact is kept.
    """
    minutes = minutes_of(seed)
    last_ms = max(minutes) + MINUTE_MS
    cuts = sorted(data.draw(st.sets(st.integers(min(minutes), last_ms), max_size=8)))
    floors = sorted(data.draw(st.sets(st.integers(min(minutes), last_ms), min_size=1, max_size=4)))
    remains, kept = Remains(), dict(minutes)
    for floor_ms in floors:
        forgotten = [(at, kept.pop(at)) for at in sorted(kept) if at + MINUTE_MS <= floor_ms]
        remains.take(forgotten, [cut_ms for cut_ms in cuts if cut_ms < floor_ms])
        cuts = data.draw(st.lists(st.sampled_from(cuts), unique=True).map(sorted)) if cuts else cuts
    for start_ms, end_ms in combinations([*cuts, FAR], 2):
        span = start_ms - MINUTE_MS, end_ms + LOOKBACK_MS
        some = [*remains.between(*span), *((at, kept[at]) for at in sorted(kept) if overlaps(at, *span))]
        whole = [(at, minutes[at]) for at in sorted(minutes) if overlaps(at, *span)]
        figures = totals_of(some, start_ms, end_ms, remains.totals(start_ms, end_ms))
        assert figures == totals_of(whole, start_ms, end_ms)


LOOKBACK_MS = DetectSettings().longest_lookback_ms


def overlaps(minute_ms, start_ms, end_ms):
    """Say whether a minute overlaps a span."""
    return start_ms < minute_ms + MINUTE_MS and minute_ms < end_ms


@cache
def minutes_of(seed):
    """Return the minutes of half an hour of one link, with facts that came late."""
    minutes = {}
    for measurement in draw(f"figures/{seed}", hours=0.5).measurements:
        for slot in [one for cells in measurement.links for one in (*cells.slots, *cells.late_slots)]:
            minutes.setdefault(slot.start_ms // MINUTE_MS * MINUTE_MS, Minute(QUIET)).merge(slot)
    return minutes


@pytest.mark.parametrize(
    "seed",
    [*(f"short/{seed}" for seed in (24, 2, 4, 12)), *(f"confined/{seed}" for seed in (2, 4, 5, 45, 78))],
)
def test_without_late_facts_nothing_is_taken_back(seed):
    """No outage is retracted, none is revised as late, no published end moves back, and no start moves on by
    more than an edge may when all that was asked by then is known.
    """
    revisions = forgetting(history_of(seed, late=False), seed)
    assert revisions
    assert taken_back(revisions) == []


@pytest.mark.parametrize("seed", range(4))
def test_when_an_outage_was_first_known_stays_through_its_revisions(seed):
    """Every revision says when the first was decided, and of a last run of closed ones when that began; an
    open one is published again for its changes alone at most once in five minutes.
    """
    by_id = {}
    for outage in forgetting(draw(f"short/{seed}", hours=5), seed):
        revisions = by_id.setdefault(outage.outage_id, [])
        revisions.append(outage)
        assert outage.first_published_at_ms == revisions[0].detected_at_ms
        ended = list(takewhile(lambda one: one.end_ms is not None, reversed(revisions)))
        assert outage.end_published_at_ms == (ended[-1].detected_at_ms if ended else None)
        before = revisions[-2] if len(revisions) > 1 else outage
        if before.status == outage.status == "open" and before is not outage and outage.reason == "opened":
            said = [(o.kind, o.start_ms, o.fault_domain, names_of(o)) for o in (before, outage)]
            assert said[0] != said[1] or outage.detected_at_ms - before.detected_at_ms >= PATIENCE_MS
    assert by_id


def test_trouble_that_is_over_leaves_no_state():
    """Hours after the last of many outages no verdict, outage, sum or evidence of any of them is kept."""
    history = draw("short/0", late=False, hours=5)
    bound = DetectSettings(allowed_lateness_ms=600_000)
    detector = Detector(Rules(Rule()), bound, range(history.partitions))
    found = {
        outage.outage_id
        for measurement in history.measurements
        for output in detector.apply(measurement).output.values()
        for outage in output.outages
    }
    (tracker,) = detector.trackers.values()
    outages = tracker.outages
    assert len(found) > 3
    kept = (outages.published, outages.settled.told, outages.settled.link, outages.openings, outages.due)
    assert not any(kept), kept
    assert outages.remains == Remains()
    assert len(tracker.history.past) <= 2
