"""What detection forgets changes nothing that it finds."""

import pytest

from lab.forgetting_trials import forgetting, remembering_all, told
from lab.long_histories import draw
from streams.detect.detector import Detector
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
