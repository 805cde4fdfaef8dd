"""Outages as published: revisions, kinds, silence and blindness, saved state."""

import sys
from random import Random

import pytest
from small_logs import START_MS, Fault, Told, by_watermark, detect, draw_log, measure, run, take

from streams.detect.detector import Detector
from streams.detect.link.snapshot import load, save
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.settings import DetectSettings

OUTAGE = [Fault(300, 120)]


def at(second):
    """Return a second of the log as epoch milliseconds."""
    return START_MS + second * 1000


def test_an_outage_opens_and_closes_in_two_revisions():
    """A clean outage is published twice: when it is found, and when its figures are final."""
    result = run(draw_log(1, faults=OUTAGE))
    first, last = result.outages
    assert (first.status, first.reason, first.supersedes, first.end_ms) == ("open", "opened", None, None)
    assert (last.status, last.reason, last.supersedes) == ("closed", "closed", 1)
    assert (last.outage_id, last.revision, last.kind) == (first.outage_id, 2, "down")
    assert abs(last.start_ms - at(300)) < 5_000
    assert abs(last.end_ms - at(420)) < 5_000
    assert first.detected_at_ms - last.start_ms < 15_000


def test_figures_of_an_outage_are_those_of_the_log():
    """Attempts, failures, dossiers, services and agencies are counted over the requests asked within it."""
    log = draw_log(1, faults=OUTAGE)
    outage = run(log).final()[0]
    asked = {
        told.event.lookup_id: told.event.occurred_at_ms
        for told in log
        if isinstance(told.event, LookupRequested)
    }
    done = [told.event for told in log if isinstance(told.event, LookupCompleted)]
    inside = [event for event in done if outage.start_ms <= asked[event.lookup_id] < outage.end_ms]
    within = [event for event in inside if event.outcome in ("unreachable", "timeout")]
    assert (outage.attempts, outage.failures) == (len(inside), len(within))
    assert (
        abs(outage.dossiers_affected - len({event.dossier_id for event in within})) <= 1
    )  # by slot at the edges
    assert outage.services == sorted({event.service for event in within})
    assert outage.agencies == sorted({event.agency for event in within})


def test_a_close_that_falls_together_with_a_late_record_is_still_a_close():
    """The revision that ends an outage says `closed`; what a late record then changes says `late`."""
    log = draw_log(1, faults=OUTAGE)
    answers = [t for t in log if isinstance(t.event, LookupCompleted) and at(200) < t.told_ms < at(290)]
    for delay in range(100, 200, 5):
        disturbed = [Told(t.told_ms + delay * 1000, t.partition, t.event) if t in answers else t for t in log]
        reasons = [o.reason for o in run(disturbed).outages if o.status == "closed"]
        assert reasons[0] == "closed"


@pytest.mark.parametrize(("outcome", "domain"), [("provider_error", "provider"), ("reset", "link")])
def test_the_fault_domain_follows_from_outcomes(outcome, domain):
    """Provider faults blame the provider, the rest the link."""
    assert run(draw_log(2, faults=[Fault(300, 120, outcome=outcome)])).final()[0].fault_domain == domain


@pytest.mark.parametrize(("share", "kind"), [(1.0, "down"), (0.6, "down"), (0.25, "degraded")])
def test_half_of_the_attempts_divide_down_from_degraded(share, kind):
    """The kind is read from all attempts of the outage."""
    final = run(draw_log(4, faults=[Fault(200, 500, share)], rate=3.0)).final()
    assert [outage.kind for outage in final] == [kind]


@pytest.mark.parametrize(
    ("shares", "seed", "kinds"),
    [
        ((0.35, 0.75), 3, ["degraded", "down"]),
        ((0.3, 0.55), 2, ["degraded", "down"]),
        ((0.7, 0.4), 0, ["down", "degraded"]),
    ],
)
def test_an_open_outage_is_of_the_kind_that_its_attempts_show_by_now(shares, seed, kinds):
    """Trouble that turns out to be of the other kind is told so within minutes, before it has ended."""
    faults = [Fault(200, 240, shares[0]), Fault(440, 2_400, shares[1])]
    *opened, closed = run(draw_log(seed, seconds=3_400, faults=faults, rate=0.1)).outages
    assert [outage.kind for outage in opened] == kinds
    assert opened[-1].detected_at_ms < at(1_600)
    assert (closed.status, closed.kind) == ("closed", kinds[-1])


def test_swallowed_requests_are_an_outage_from_the_first_one_asked():
    """Requests without any completion become known half a minute later, yet the outage starts with them."""
    outage = run(draw_log(5, faults=[Fault(300, 90, outcome=None)])).final()[0]
    assert outage.kind == "down"
    assert abs(outage.start_ms - at(300)) < 5_000
    assert abs(outage.end_ms - at(390)) < 5_000


def test_not_found_is_no_failure():
    """A storm of citizens not found is no outage of the link."""
    assert run(draw_log(6, faults=[Fault(300, 300, outcome="not_found")])).outages == []


def test_silence_with_a_living_observer_is_unknown_and_no_outage():
    """Nobody asks for five minutes, once the link's pace is known: no outage, and the silence is unknown."""
    drawn = draw_log(7, seconds=1_800)
    log = [t for t in drawn if isinstance(t.event, Heartbeat) or not at(1_200) <= t.told_ms < at(1_500)]
    result = run(log)
    assert result.outages == []
    windows = {w.start_ms: w for w in result.last_windows().values() if w.start_ms >= at(900)}
    unknown_ms = sum(w.state_ms["UNKNOWN"] for w in windows.values())
    minutes = range(min(windows), max(windows), 60_000)
    missing_ms = sum(ms not in windows for ms in minutes) * 60_000
    assert 260_000 < unknown_ms + missing_ms < 310_000


def test_a_dead_observer_makes_a_link_unknown():
    """Without heartbeats and without records a link's state is unknown after the grace, not up."""
    blind = [t for t in draw_log(8, rate=0.05) if not at(300) <= t.told_ms < at(600)]
    windows = {start_ms: window for (_, start_ms), window in run(blind).last_windows().items()}
    before, after = (ms for ms in sorted(windows) if not at(330) <= ms <= at(530)), max(windows)
    assert next(before) < at(330)
    assert after > at(600)
    minutes = range(at(330) // 60_000 * 60_000 + 60_000, at(530), 60_000)
    assert len(minutes) >= 3
    # A minute without any record or heartbeat has no window: nothing vouches for it.
    assert {windows[ms].state if ms in windows else "UNKNOWN" for ms in minutes} == {"UNKNOWN"}
    assert [ms for ms in minutes if ms in windows and windows[ms].state_ms["UNKNOWN"] < 60_000] == []


def test_flapping_is_one_outage_with_its_changes_counted():
    """Six spells of 40 s with 30 s between them are one outage, not six."""
    faults = [Fault(200 + 70 * n, 40) for n in range(6)]
    final = run(draw_log(9, faults=faults, rate=3.0)).final()
    assert len(final) == 1
    assert final[0].changes >= 6


@pytest.mark.parametrize("cut", [0.1, 0.37, 0.5, 0.9])
def test_a_restored_state_goes_on_as_the_one_it_was_taken_from(cut):
    """Saved and loaded at any point, detection publishes the same from there on."""
    log = draw_log(11, faults=[Fault(300, 120), Fault(600, 60, outcome=None)])
    rng = Random(1)
    log = [Told(t.told_ms + (200_000 if rng.random() < 0.02 else 0), t.partition, t.event) for t in log]
    measurements = measure(log)
    order = by_watermark(measurements)
    whole = detect(measurements)
    half = int(len(order) * cut)
    first = detect(measurements, order=order[:half])
    saved = save(first.detector, half)
    second = Detector(Rules(Rule()), DetectSettings(), sorted(measurements))
    assert load(second, saved) == half
    for position, measurement in enumerate(order[half:], start=half):
        take(first, second.apply(measurement, position).output)
    assert first.outages == whole.outages
    assert first.windows == whole.windows


def test_state_is_bounded_and_small():
    """Seven hours of a busy link that is down for one of them fit in a megabyte, packed and saved."""
    slots = 7 * 720
    log = draw_log(12, seconds=1200, rate=20.0, faults=[Fault(300, 600)])
    detector = run(log).detector
    tracker = detector.trackers["npd"]
    a_minute = [sys.getsizeof(m.packed) for m in tracker.history.minutes.values() if m.packed is not None]
    assert max(a_minute) * slots / 12 < 1_000_000
    assert len(save(detector, 0)["link:npd"]) < 200_000
