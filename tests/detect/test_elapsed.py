"""The time that a link spends in each state: every second once, by the log alone, as the ledger counts it."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from small_logs import START_MS, Result, by_watermark, eventful_log, interleaved, measure, take

from lab.hour_trials import differ, hours, of_history
from streams.detect.detector import Detector
from streams.detect.link.elapsed import SETTLE_MS
from streams.detect.link.snapshot import load, save
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.availability import LinkHistory, Minutes, OutageSpan, account
from streams.model.hours.calendar import AROUND_THE_CLOCK
from streams.model.intervals import union
from streams.model.retirement import Retirement, Service
from streams.model.settings import DetectSettings

MINUTE_MS = 60_000


def detector_of(measurements, service=None) -> Detector:
    """Return a detector that counts time and has seen nothing."""
    return Detector(Rules(Rule()), DetectSettings(), sorted(measurements), service=service or Service())


def readings(order, detector, *, every: int = 1, position: int = 0) -> dict[tuple[str, int], tuple[int, ...]]:
    """Return the totals read after every so many measurements, by link and by until when they count."""
    found = {}
    for at in range(position, len(order)):
        detector.apply(order[at], at)
        if at % every == 0 or at == len(order) - 1:
            for link, tracker in detector.trackers.items():
                spent = tracker.spent(detector.clock_ms)
                if spent.until_ms is not None:
                    found[link, spent.until_ms] = structs.astuple(spent)
    return found


@cache
def followed():
    """Return the measurements of a log with late records, and the totals of every minute."""
    measurements = measure(eventful_log(late=True))
    order = by_watermark(measurements)
    return measurements, order, readings(order, detector_of(measurements))


def test_every_second_is_in_exactly_one_state_and_none_is_taken_back():
    """The states add up to the time that passed since the first window; none of them ever falls."""
    _, _, found = followed()
    before = {}
    for (link, _), (since_ms, until_ms, *states) in found.items():
        assert sum(states) == until_ms - since_ms
        earlier = before.setdefault(link, (since_ms, *states))
        assert earlier[0] == since_ms
        assert all(a <= b for a, b in zip(earlier[1:], states, strict=True))
        before[link] = since_ms, *states
    assert all(before["npd"][1:5]), "each state but that of a retired link"


@settings(max_examples=5)
@given(st.data())
def test_totals_are_a_function_of_the_log_alone(data):
    """However partitions are read in turns, how seldom totals are read, and wherever a crash restores an
    earlier state, they are the same for the same minute.
    """
    measurements, order, whole = followed()
    order = data.draw(st.sampled_from([order, *(interleaved(measurements, seed) for seed in range(3))]))
    detector = detector_of(measurements)
    crash = data.draw(st.integers(1, len(order) - 1))
    saved = data.draw(st.integers(0, crash))
    state = {}
    for at in range(crash):
        if at == saved:
            state = save(detector, at)
        detector.apply(order[at], at)
    detector = detector_of(measurements)
    position = load(detector, state) or 0
    again = readings(order, detector, every=data.draw(st.sampled_from([1, 7, 400])), position=position)
    assert {key: whole[key] for key in again} == again
    assert max(until for _, until in again) == max(until for _, until in whole)


def ledgers_hour(result: Result, link: str, start_ms: int, end_ms: int) -> tuple[int, ...]:
    """Return up, degraded, down and unknown of a stretch as the ledger counts them."""
    last = {one.start_ms: one for one in result.windows if one.link == link}
    unknown = []
    for at in range(start_ms, end_ms, MINUTE_MS):
        unknown_ms = last[at].state_ms["UNKNOWN"] if at in last else MINUTE_MS
        unknown.append((at + MINUTE_MS - unknown_ms, at + MINUTE_MS))
    spans = [OutageSpan(o.outage_id, o.kind, o.start_ms, o.end_ms) for o in result.final() if o.link == link]
    history = LinkHistory(spans, union(unknown), [], Minutes([]))
    counted = account(history, AROUND_THE_CLOCK, start_ms, end_ms)[0]
    up_ms = counted.observed_ms - counted.down_ms - counted.degraded_ms
    return up_ms, counted.degraded_ms, counted.down_ms, counted.unknown_ms


def test_totals_are_what_the_ledger_counts():
    """Of facts that came in time each minute counts as in the ledger, through silence, blindness, trouble."""
    measurements = measure(eventful_log())
    order, detector, result = by_watermark(measurements), detector_of(measurements), Result()
    found = {}
    for measurement in order:
        take(result, detector.apply(measurement).output)
        for link, tracker in detector.trackers.items():
            spent = tracker.spent(detector.clock_ms)
            if spent.until_ms is not None:
                found[link, spent.until_ms] = structs.astuple(spent)
    kinds = {outage.kind for outage in result.final()}
    assert kinds == {"down", "degraded"}
    for (link, until_ms), (since_ms, _, *states) in found.items():
        if until_ms > since_ms:
            assert tuple(states[:4]) == ledgers_hour(result, link, since_ms, until_ms), (link, until_ms)
    assert len(found) > 150


def test_an_hour_of_a_sparse_link_is_the_ledgers_unless_it_was_decided_late():
    """Every hour is the ledger's unless what was published about one of its minutes within 15 minutes after
    that differs from what was published at last.
    """
    rates = {"1 in 100 s": 0.01, "1 in 20 s": 0.05, "1 in 5 s": 0.2}
    alike = troubled = 0
    for _, told in of_history(1, rates, 6.0):
        for hour in hours(told):
            assert not differ(hour.counted, hour.ledger) or differ(hour.in_time, hour.ledger)
            alike += not differ(hour.counted, hour.ledger)
            troubled += hour.ledger[0] < sum(hour.ledger)
    assert troubled > 20
    assert alike > 50


def retirement(revision: int, from_ms: int, *, withdrawn: bool = False) -> Retirement:
    """Return a revision of the retirement of one of the links."""
    return Retirement("tax", revision, from_ms, "ops", "replaced", START_MS, withdrawn)


@pytest.mark.parametrize("lead_ms", [0, 120_000])
def test_a_retired_link_is_not_in_service_until_it_is_back(lead_ms):
    """From its retirement on, to the millisecond, a link's time is in no other state; what was counted before
    the retirement was known stays, and another link's time is its own.
    """
    measurements = measure(eventful_log())
    order = by_watermark(measurements)
    gone_ms, back_ms = START_MS + 3_000_500, START_MS + 5_400_000
    service = Service(lead_ms)
    assert service.take(retirement(1, gone_ms), gone_ms - 60_000)
    assert service.take(retirement(2, gone_ms, withdrawn=True), back_ms)
    assert not service.take(retirement(2, gone_ms, withdrawn=True), back_ms)
    found = readings(order, detector_of(measurements, service))
    whole = readings(order, detector_of(measurements))
    assert {key: one for key, one in found.items() if key[0] == "npd"} == {
        key: one for key, one in whole.items() if key[0] == "npd"
    }
    last = max(until_ms for link, until_ms in found if link == "tax")
    *_, out_ms = found["tax", last]
    counted_back_ms = -(-(back_ms + lead_ms - SETTLE_MS) // MINUTE_MS) * MINUTE_MS - MINUTE_MS
    assert out_ms == counted_back_ms - gone_ms
    assert sum(found["tax", last][2:]) == sum(whole["tax", last][2:])
