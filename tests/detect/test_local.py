"""Local trouble: one service or one agency of a link fails wholly while the others are well."""

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from local_logs import Broken, draw_named_log
from small_logs import START_MS, by_watermark, detect, interleaved, measure, shuffled, take

from streams.detect.detector import Detector
from streams.detect.link.composing import composed
from streams.detect.link.snapshot import load, save
from streams.detect.link.spells import TroubleSpell
from streams.detect.rule.cusum import Normal
from streams.detect.rule.definition import Rule
from streams.detect.rule.local import QUIET, Facts, LocalSpell, Struck, step
from streams.detect.rule.rules import Rules
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


def local(start, end, *, agency=False, name="birth"):
    """Return a spell of a name, in seconds; ``end`` None for one that lasts."""
    if end is None:
        return Struck(agency, name, start * 1000, start * 1000, 0, 0)
    return LocalSpell(agency, name, start * 1000, end * 1000, start * 1000, end * 1000)


def link(start, end, *, down=False):
    """Return a spell of the link."""
    ends = None if end is None else end * 1000
    return TroubleSpell(start * 1000, start * 1000, slow=False, end_ms=ends, closed_ms=ends, down=down)


@pytest.mark.parametrize(
    ("spells", "names", "expected"),
    [
        ([link(0, 500)], [], [(0, 500, False)]),
        ([], [local(0, 500), local(300, 900, name="land")], [(0, 900, True)]),
        ([link(50, 480)], [local(0, 500)], [(0, 500, True)]),
        ([link(50, None)], [local(0, None)], [(0, None, True)]),
        ([link(50, 4000)], [local(0, 200)], [(50, 4000, False)]),
        ([link(300, 400, down=True)], [local(0, 900)], [(0, 300, True), (300, 400, False), (400, 900, True)]),
        ([link(200, 860, down=True)], [local(0, 900)], [(0, 200, True), (200, 860, False)]),
        ([link(10, 860, down=True)], [local(0, 900)], [(0, 900, True)]),
        ([link(300, None, down=True)], [local(0, None)], [(0, 300, True), (300, None, False)]),
    ],
)
def test_spells_of_link_and_names_are_told_once(spells, names, expected):
    """The link's own trouble comes before what is confined, unless it is nothing but that; none overlap."""
    found = composed(spells, names, 120_000)
    told = [(one.start_ms // 1000, one.end_ms and one.end_ms // 1000, one.confined) for one in found]
    assert told == expected


def _sorted(outages):
    return sorted(outages, key=lambda outage: (outage.outage_id, outage.revision))
