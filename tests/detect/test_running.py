"""The dossiers of an outage that is still open, kept up from slot to slot."""

import pytest
from small_logs import START_MS, Fault, Told, by_watermark, draw_log, measure

from streams.detect.detector import Detector
from streams.detect.link.snapshot import load, save
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.events import Heartbeat
from streams.model.settings import DetectSettings

OUTAGE = Fault(240, 420, share=0.8)


def late(log, seed):
    """Return the log with some records told minutes after their time."""
    return [
        Told(told.told_ms + 90_000, told.partition, told.event)
        if number % 17 == seed and not isinstance(told.event, Heartbeat)
        else told
        for number, told in enumerate(log)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("lateness_ms", [120_000, 86_400_000], ids=["forgets soon", "forgets nothing"])
def test_the_running_figure_is_the_one_worked_out_from_scratch(seed, lateness_ms):
    """At every moment the running figure is that of a process which has just been restarted, and it grows."""
    settings = DetectSettings(allowed_lateness_ms=lateness_ms)
    measurements = measure(late(draw_log(seed, faults=[OUTAGE]), seed))
    detector = Detector(Rules(Rule()), settings, sorted(measurements))
    seen = []
    for position, measurement in enumerate(by_watermark(measurements)):
        detector.apply(measurement)
        for tracker in detector.trackers.values():
            running = tracker.dossiers_so_far(detector.clock_ms)
            fresh = Detector(Rules(Rule()), settings, sorted(measurements))
            load(fresh, save(detector, position))
            assert fresh.trackers[tracker.link].dossiers_so_far(detector.clock_ms) == running
            if running is not None:
                seen.append((detector.clock_ms, running))
    assert seen[0][1] < 30
    assert seen[-1][1] > 150
    assert seen[0][0] - START_MS < (OUTAGE.start + 30) * 1000


def test_the_last_running_figure_is_that_of_the_closed_outage():
    """Just before the end the running figure is what the closing revision says, but for the last seconds."""
    measurements = measure(draw_log(1, faults=[OUTAGE]))
    detector = Detector(Rules(Rule()), DetectSettings(), sorted(measurements))
    running, closed = [], None
    for measurement in by_watermark(measurements):
        for output in detector.apply(measurement).output.values():
            closed = next((outage for outage in output.outages if outage.status == "closed"), closed)
        figures = [tracker.dossiers_so_far(detector.clock_ms) for tracker in detector.trackers.values()]
        running += [figure for figure in figures if figure is not None]
    assert closed is not None
    assert running[-1] == pytest.approx(closed.dossiers_affected, abs=10)
