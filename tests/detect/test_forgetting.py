"""What detection forgets changes nothing that it finds."""

from itertools import takewhile

import pytest

from lab.forgetting_trials import forgetting, remembering_all, told
from lab.long_histories import draw
from streams.detect.detector import Detector
from streams.detect.link.outages import PATIENCE_MS, names_of
from streams.detect.link.placing import REACH_MS
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.settings import DetectSettings


@pytest.mark.parametrize("seed", range(12))
def test_a_bound_on_memory_changes_no_revision(seed):
    """A history judged under a bound on lateness just above its latest fact, forgetting every few minutes and
    saved and loaded on the way, gives the revisions that it gives where all of it is remembered.
    """
    history = draw(f"short/{seed}", hours=5)
    assert told(forgetting(history, seed)) == told(remembering_all(history))


@pytest.mark.parametrize("seed", [24, 2, 4, 12, 30, 31])
def test_without_late_facts_nothing_is_taken_back(seed):
    """No outage is retracted, none is revised as late, and no published end moves back."""
    history = draw(f"short/{seed}", late=False, hours=5)
    revisions = forgetting(history, seed)
    assert revisions
    assert {(outage.status, outage.reason) for outage in revisions} <= {
        ("open", "opened"),
        ("closed", "closed"),
        ("closed", "opened"),
    }
    by_id = {}
    for outage in sorted(revisions, key=lambda outage: (outage.outage_id, outage.revision)):
        before = by_id.get(outage.outage_id)
        by_id[outage.outage_id] = outage
        if before is not None:
            assert abs(outage.start_ms - before.start_ms) <= REACH_MS
            assert None in (before.end_ms, outage.end_ms) or before.end_ms == outage.end_ms


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
    settings = DetectSettings(allowed_lateness_ms=600_000)
    detector = Detector(Rules(Rule()), settings, range(history.partitions))
    found = {
        outage.outage_id
        for measurement in history.measurements
        for output in detector.apply(measurement).output.values()
        for outage in output.outages
    }
    (tracker,) = detector.trackers.values()
    outages = tracker.outages
    assert len(found) > 3
    kept = (outages.published, outages.settled, outages.remains, outages.openings, outages.due)
    assert not any(kept), kept
    assert len(tracker.history.past) <= 2
