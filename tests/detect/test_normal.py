"""What a link has always done, or has done for a week, is its normal; what changes is not."""

from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.histories import Trouble
from lab.link_years import DAY_MS, START_MS, Conduct, LinkYear
from lab.year_trials import follow
from streams.detect.rule.cusum import IDLE, Normal, RuleState, normal_share
from streams.detect.rule.definition import Rule
from streams.detect.rule.level import HOUR_MS, Hour, Sums, levelled
from streams.detect.rule.shares import Seen
from streams.detect.rule.slowness import LADDER_MS, tail_of, usual_of
from streams.model.canonical import final_outages
from streams.model.sketch import TOP_MS, bucket_of

HOUR_S = 3600
DRAWN = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
seeds = st.integers(0, 10**6)


def down(at_s, seconds):
    """Return a full outage whose requests time out, in seconds of the history."""
    span = START_MS + round(at_s * 1000), START_MS + round((at_s + seconds) * 1000)
    return Trouble("link", "down", *span, 1.0, "timeout", (span,))


def outages_of(seed, rate, hours, conduct, troubles=(), rule=None):
    """Return the outages that stand in a history of a link, times in seconds of it, and the history."""
    year = LinkYear(seed, "link", rate, hours / 24, conduct, troubles)
    found = final_outages(follow(year.measurements(), rule or Rule()).outages)
    return found, year


def seconds(at_ms):
    """Return a time in seconds of the history."""
    return (at_ms - START_MS) / 1000


@DRAWN
@given(seeds, st.sampled_from([0.05, 0.2, 1.0]), st.floats(0.0, 0.15), st.floats(1200, 17_000))
def test_what_always_failed_is_normal_and_a_full_outage_is_not(seed, rate, share, at_s):
    """Up to `worst_normal_share` a link is never degraded for what it always did; a full outage is found,
    and begins with its first failing request, or at most a few that failed by chance right before it.
    """
    length_s = max(120, 20 / rate)
    found, year = outages_of(seed, rate, 5.5, Conduct(shares=(share,)), [down(at_s, length_s)])
    assert [outage.kind for outage in found] == ["down"]
    first_s = seconds(year.fates[0].first_hit_ms)
    assert -6 / rate <= seconds(found[0].start_ms) - first_s <= 0.001


@DRAWN
@given(seeds, st.sampled_from([0.2, 1.0]), st.floats(0.0, 0.4))
def test_answers_that_always_took_long_are_normal(seed, rate, heavy):
    """Whatever share of the answers has always taken forty seconds more, the link is not degraded for it."""
    found, _ = outages_of(seed, rate, 8, Conduct(heavy=(heavy,)))
    assert [outage for outage in found if seconds(outage.start_ms) > HOUR_S] == []


@pytest.mark.parametrize(("share", "slower"), [(0.1, 1.0), (0.003, 10.0)])
def test_a_change_that_stays_is_an_outage_and_after_a_week_normal(share, slower):
    """From 0.3 % to 10 %, or from 0.2 s to 2 s, is a degraded outage; it closes as normal a week later, and
    no other follows; a full outage after that is found as ever.
    """
    at_h = 30
    conduct = Conduct((0, START_MS + at_h * HOUR_MS), (0.003, share), (1.0, slower), (0.0, 0.0))
    hours = at_h + 7 * 24 + 20
    found, _ = outages_of(1, 0.1, hours, conduct, [down((hours - 5) * HOUR_S, 400)])
    assert [(outage.kind, outage.reason) for outage in found] == [("degraded", "normal"), ("down", "closed")]
    assert abs(seconds(found[0].start_ms) - at_h * HOUR_S) < 1200
    lasted_ms = found[0].end_ms - found[0].start_ms
    assert abs(lasted_ms - Rule().normal_after_ms) < 3 * HOUR_MS
    assert abs(seconds(found[1].start_ms) - (hours - 5) * HOUR_S) < 60


@cache
def ramp(rate):
    """Return what is found where failures creep up from 0.3 % to 12 % within two days."""
    steps = 96
    at = (0, *(START_MS + DAY_MS // 2 + step * DAY_MS // 48 for step in range(steps)))
    shares = (0.003, *(0.003 + 0.12 * step / steps for step in range(steps)))
    one = (1.0,) * len(at)
    return outages_of(2, rate, 72, Conduct(at, shares, one, (0.0,) * len(at)))[0]


@pytest.mark.parametrize("rate", [0.2])
def test_what_creeps_up_does_not_become_normal_on_the_way(rate):
    """A share that rises over two days from 0.3 % to 12 % is a degraded outage before it gets there."""
    found = ramp(rate)
    assert found
    assert {outage.kind for outage in found} == {"degraded"}
    assert found[-1].end_ms is None


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_the_share_held_normal_while_young_is_bounded_by_the_rule(ok, failed):
    """Without a past the normal share lies between the rule's own and its worst, the most above the mean."""
    state, young = RuleState(seen=Seen(ok + failed, failed)), Normal(0.03, 1000.0, None, known=False)
    mean, most = (normal_share(name, IDLE, state, Rule(), young) for name in ("total", "partial"))
    assert Rule().normal_failure_share <= mean <= Rule().worst_normal_share
    assert mean <= most + 0.01 <= Rule().worst_normal_share + 0.01


def hours_at(levels, attempts=300):
    """Return levelled hours, one for each ``(share, troubled)``."""
    hours, before = [], levelled([Hour(0, Sums(), Sums())], Hour(0, Sums(), Sums()).level, Rule()).level
    for number, (share, troubled) in enumerate(levels):
        sums = Sums(attempts, round(attempts * share), 600, bytes(len(LADDER_MS)))
        quiet, trouble = (Sums(), sums) if troubled else (sums, Sums())
        hours.append(levelled([*hours, Hour(number * HOUR_MS, quiet, trouble)], before, Rule()))
        before = hours[-1].level
    return hours


@pytest.mark.parametrize(
    ("levels", "adopts"),
    [
        ([(0.01, False)] * 24 + [(0.1, True)] * 168, True),
        ([(0.01, False)] * 24 + [(0.1, True)] * 167, False),
        ([(0.01, False)] * 24 + [(0.2, True)] * 180, False),
        ([(0.01, False)] * 24 + [(0.06, True)] * 84 + [(0.12, True)] * 84, False),
        ([(0.01, False)] * 24 + [(0.1, True)] * 84 + [(0.1, False)] * 20 + [(0.1, True)] * 84, False),
    ],
    ids=["a week", "an hour short of it", "beyond the worst normal", "two levels", "with a pause"],
)
def test_a_week_at_one_level_makes_a_normal(levels, adopts):
    """Only trouble that stayed for the whole time, at one level, and not beyond the worst, becomes normal."""
    hours = hours_at(levels)
    assert any(hour.level.stays for hour in hours) == adopts
    last = hours[-1].level
    assert (last.failure_share == pytest.approx(0.1)) == adopts
    assert last.raised_ms == (24 * HOUR_MS if adopts else None)


def test_nothing_is_too_slow_to_be_normal():
    """Latencies of any length have a mark of their own; above the longest that is told none is slow."""
    for latency_ms in (200, 45_000, 130_000, 10_000_000):
        usual = usual_of({bucket_of(latency_ms): 30})
        assert len(tail_of([usual])) == len(LADDER_MS)
        assert tail_of([usual])[-1] == 0
    assert LADDER_MS[-1] == TOP_MS
