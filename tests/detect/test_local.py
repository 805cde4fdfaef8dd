"""Local trouble: one service or one agency of a link fails wholly while the others are well."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from local_logs import Broken, draw_named_log
from small_logs import START_MS, by_watermark, detect, interleaved, measure, shuffled, take

from streams.detect.detector import Detector
from streams.detect.link.composing import Composed, events_of
from streams.detect.link.minute import Decided
from streams.detect.link.snapshot import load, save
from streams.detect.rule.cusum import Normal, Verdict
from streams.detect.rule.definition import Rule
from streams.detect.rule.local import step
from streams.detect.rule.local_state import QUIET, Facts, LocalSpell, Struck
from streams.detect.rule.rules import LinkRules, Rules
from streams.model.measurement import Part
from streams.model.settings import DetectSettings

SLOW = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
MINUTE = 60_000


def second(at_ms):
    """Return an instant as seconds of the log."""
    return (at_ms - START_MS) / 1000


@pytest.mark.parametrize(
    ("rate", "share", "kind", "outcome"),
    [
        (1.0, 0.1, "service", "unreachable"),
        (1.0, 0.1, "agency", "timeout"),
        (2.0, 0.02, "agency", None),
        (2.0, 0.05, "service", "provider_error"),
        (1.0, 0.3, "service", "timeout"),
    ],
)
def test_trouble_of_one_name_is_confined_to_it(rate, share, kind, outcome):
    """A service, or an agency, that fails wholly is one degraded outage, confined to it, with its edges."""
    log = draw_named_log(5, rate, 3600, [Broken(900, 1200, kind, outcome)], share=share)
    (outage,) = detect(measure(log.told)).final()
    to = outage.confined_to
    assert outage.kind == "degraded"
    assert (to.services, to.agencies) == (["broken"], []) if kind == "service" else ([], ["broken"])
    asked = log.asked_in(kind, outage.start_ms, outage.end_ms)
    assert abs(to.failures - asked) <= 2 >= to.attempts - to.failures
    assert (outage.services if kind == "service" else outage.agencies) == ["broken"]
    first, last = log.edges(kind, 900, 2100)
    gap_ms = 1000 / (rate * share)  # a failure by chance shortly before may pass for the first
    assert -5_000 - 3 * gap_ms < outage.start_ms - first < 5_000
    assert abs(outage.end_ms - last) < 5_000


@SLOW
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4]), st.sampled_from([3, 5, 25]))
def test_a_link_that_is_down_is_never_local(seed, partitions, services):
    """Full outages, short failures and what fails in part by chance are confined to nothing."""
    rng, faults, at = Random(seed), [], 600
    while at < 6000:
        lasts = rng.choice([5, 8, 60, 600])
        outcome = rng.choice(["unreachable", "timeout", None])
        faults.append(Broken(at, lasts, "all", outcome, share=rng.choice([1.0, 1.0, 0.4])))
        at += lasts + rng.choice([400, 1500])
    rate = rng.choice([0.2, 1.0])
    log = draw_named_log(seed, rate, 7200, faults, partitions=partitions, services=services)
    assert [one.confined_to for one in detect(measure(log.told)).outages if one.confined_to] == []


@SLOW
@given(st.integers(0, 10**6), st.sampled_from(["service", "agency"]), st.sampled_from([0.05, 0.2]))
def test_order_repetition_and_restarts_change_nothing(seed, kind, share):
    """Read in other interleavings, twice, or from a saved state, the same revisions are published."""
    log = draw_named_log(seed, 1.0, 3000, [Broken(700, 900, kind)], share=share, partitions=3)
    measurements = measure(shuffled(log.told, seed))
    order = by_watermark(measurements)
    plain = detect(measurements)
    assert any(outage.confined_to for outage in plain.outages)
    other = detect(measurements, order=interleaved(measurements, seed))
    assert _sorted(other.outages) == _sorted(plain.outages)
    assert detect(measurements, unhurried=True).stories() == plain.stories()
    half = Random(seed).randrange(len(order))
    first = detect(measurements, order=order[:half])
    saved = save(first.detector, half)
    second_one = Detector(Rules(Rule()), DetectSettings(), sorted(measurements))
    load(second_one, saved)
    for position, measurement in enumerate([*order[:half], *order[half:]]):
        take(first, second_one.apply(measurement, position).output)
    assert first.outages == plain.outages


def test_late_failures_move_what_is_confined():
    """Failures told late begin a confined outage where they were asked, as if they had come in time."""
    log = draw_named_log(8, 1.0, 4000, [Broken(900, 1200, "service")], share=0.1)
    late = [
        told.__class__(told.told_ms + 400_000, told.partition, told.event)
        if getattr(told.event, "service", "") == "broken" and 900 <= second(told.told_ms) < 1100
        else told
        for told in log.told
    ]
    (plain,) = detect(measure(log.told)).final()
    (moved,) = detect(measure(late)).final()
    assert (moved.start_ms, moved.end_ms) == (plain.start_ms, plain.end_ms)
    assert moved.confined_to.services == plain.confined_to.services


NORMAL = Normal(0.03, 120_960.0, None)


def minutes(*each):
    """Run the tests over minutes of (attempts, failures, services, down); return the state and what ended."""
    state, ended = QUIET, []
    for number, (attempts, failures, services, down) in enumerate(each):
        facts = Facts(number * MINUTE, attempts, failures, services, {}, down)
        state, over = step(state, facts, Rule(), NORMAL)
        ended += over
    return state, ended


FAILS = {"birth": Part(6, 0, [0, 9_000])}


@pytest.mark.parametrize(
    ("each", "struck"),
    [
        ([(60, 6, FAILS, False)] * 4, ["birth"]),
        ([(60, 6, FAILS, False)], []),  # in one minute alone others may fail the next moment
        ([(6, 6, FAILS, False)] * 9, []),  # nobody else asks
        ([(60, 40, FAILS, False)] * 9, []),  # the others fail, too
        ([(60, 6, FAILS, True)] * 9, []),  # the link is down
        ([(60, 12, FAILS, False)] * 30, []),  # the others fail beyond normal
    ],
)
def test_what_is_called_local(each, struck):
    """A name fails wholly, over more than a minute, while others ask in the same minutes and are well."""
    assert [one.name for one in minutes(*each)[0].struck] == struck


def test_what_is_not_told_of_ends_with_its_last_failure():
    """A name that is not told of for twenty minutes is unknown: its trouble ends with its last failure."""
    state, ended = minutes(*[(60, 6, FAILS, False)] * 4, *[(60, 2, {}, False)] * 25)
    assert not state.struck
    assert [one.end_ms for one in ended] == [3 * MINUTE + 9_000 + 1]


NAME = "birth"


def link(at, decided, test="partial", condition="DEGRADED"):
    """Return a verdict on the link, in seconds."""
    return Decided(decided * 1000, Verdict(test, condition, at * 1000), at * 1000)


def down(at, decided):
    """Return the verdict that the link is down."""
    return link(at, decided, "total", "DOWN")


def well(at, decided):
    """Return the verdict that the link is well again."""
    return link(at, decided, "recovery", "UP")


def local(start, opened, end=None, closed=None, name=NAME):
    """Return a spell of a service, in seconds, and when it was found to begin and end."""
    if end is None or closed is None:
        return Struck(False, name, start * 1000, opened * 1000, 0, 0)
    return LocalSpell(False, name, start * 1000, end * 1000, opened * 1000, closed * 1000)


def told_by(now, *decisions):
    """Return what is told by a time: starts, ends, and whether it is confined, in seconds."""
    composed = Composed()
    verdicts = [one for one in decisions if isinstance(one, Decided)]
    for event in events_of(verdicts, [one for one in decisions if not isinstance(one, Decided)]):
        if event[0] <= now * 1000:
            composed.take(event, LinkRules(Rule()), 5_000)
    composed.until(now * 1000)
    return [(one.start_ms // 1000, one.end_ms and one.end_ms // 1000, one.confined) for one in composed.told]


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ([link(0, 60), well(500, 520)], [(0, 500, False)]),
        ([local(0, 120, 500, 540), local(300, 420, 900, 960, "land")], [(0, 900, True)]),
        ([link(50, 110), local(0, 120, 500, 540), well(480, 530)], [(0, 500, True)]),  # seen from the link
        ([local(0, 120), link(50, 130)], [(0, None, True)]),
        ([link(50, 110), local(600, 720)], [(50, None, False)]),  # the link was in trouble before
        ([link(50, 110), well(900, 910), local(600, 720)], [(50, 900, False), (900, None, True)]),
        ([local(0, 120, 360, 360), down(300, 315)], [(0, 300, True), (300, None, False)]),
        ([local(0, 120, 360, 360), down(30, 125)], [(30, None, False)]),  # too little came before that
        ([down(10, 60), local(0, 120)], [(0, None, True)]),  # by chance it looked down at first
        ([link(50, 110), local(0, 120, 500, 540)], [(0, 500, True), (500, None, False)]),  # it goes on
        ([link(50, 110), local(0, 120, 500, 540), well(700, 720)], [(0, 500, True)]),
    ],
)
def test_trouble_of_link_and_names_is_told_once(decisions, told):
    """The link's own trouble comes before what is confined, unless it is nothing but that; none overlap."""
    assert told_by(10**6, *decisions) == told


@settings(max_examples=200)
@given(st.data())
def test_later_decisions_take_back_nothing_that_had_ended(data):
    """Decision by decision, what was told keeps its place: an outage that ended keeps its end or goes on, one
    that lasts may begin earlier, or end, or turn out to be confined; none vanishes.
    """
    decisions, at, lasts = [], 0, False
    for _ in range(data.draw(st.integers(1, 6))):
        at += data.draw(st.integers(20, 900))
        edge = at - data.draw(st.integers(5, min(at, 600)))
        lasts = not lasts
        decisions.append(data.draw(st.sampled_from([link, down]))(edge, at) if lasts else well(edge, at))
    for name in data.draw(st.lists(st.sampled_from(["birth", "land", "tax"]), unique=True)):
        start = data.draw(st.integers(0, at))
        opened = start + data.draw(st.integers(60, 900))
        end = start + data.draw(st.integers(60, 2000))
        decisions.append(local(start, opened, end, max(opened, end) + 60, name))
    verdicts = [one for one in decisions if isinstance(one, Decided)]
    names = [one for one in decisions if not isinstance(one, Decided)]
    times = {at_ms // 1000 for at_ms, _, _ in events_of(verdicts, names)}
    before = []
    for now in sorted(times | set(range(0, max(times) + 4000, 60))):
        told = told_by(now, *decisions)
        assert all(one[1] is not None and one[1] <= two[0] for one, two in pairwise(told)), told
        assert len(told) >= len(before), (before, told)
        for (start, end, _), after in zip(before, told, strict=False):
            assert after[0] - start < 120, (before, told)
            assert end is None or after[1] is None or after[1] == end, (before, told)
        before = told


def _sorted(outages):
    return sorted(outages, key=lambda outage: (outage.outage_id, outage.revision))
