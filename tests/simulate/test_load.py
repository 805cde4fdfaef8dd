"""Load: latency rises with it, what cannot be served is shed early, and an overload ends."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.load_trials import CAPACITY_PER_SECOND, SCALES, hour, peak_day, played, spell
from streams.simulate.draw import exponential, lognormal, lognormal_tail, pick, seeded
from streams.simulate.load.provider import SHED, Provider

PATIENCE_MS = 2_500
SERVICE = lognormal(200, 0.5)
MEAN_MS = sum(SERVICE) / len(SERVICE)


def asked(rate: float, seconds: int = 400, capacity: float = 50) -> tuple[list[int], int, int]:
    """Ask a provider ``rate`` times a second; return latencies, how many were shed, and how many asked."""
    rng, provider = seeded(1, f"load/{rate}"), Provider(capacity, MEAN_MS, PATIENCE_MS)
    at, latencies, shed, number = 0.0, [], 0, 0
    while at < seconds * 1000:
        at += pick(exponential(1000_000 / rate), rng) / 1000
        took = provider.take(int(at), pick(SERVICE, rng))
        number += 1
        if took == SHED:
            shed += 1
        else:
            latencies.append(took)
    return latencies, shed, number


def test_latency_rises_with_load_and_then_requests_are_shed():
    """Latency rises from an idle provider to one asked twice what it serves; only the latter sheds."""
    means, sheds = [], []
    for rate in (5, 20, 35, 45, 100):
        latencies, shed, number = asked(rate)
        means.append(sum(latencies) / len(latencies))
        sheds.append(shed / number)
    assert means == sorted(means)
    assert means[0] == pytest.approx(MEAN_MS, rel=0.05)
    assert means[2] > 1.1 * means[0]
    assert sheds[:3] == [0, 0, 0]
    assert sheds[4] == pytest.approx(0.5, abs=0.07)


def test_what_is_served_stays_at_the_capacity():
    """Asked four times what it can serve, a provider goes on serving what it can."""
    latencies, _, _ = asked(200)
    assert len(latencies) / 400 == pytest.approx(50, rel=0.08)
    assert max(latencies) < PATIENCE_MS + 1.8 * SERVICE[-1] + 1


@given(
    st.lists(
        st.tuples(st.integers(0, 3_000), st.integers(1, 5_000), st.sampled_from([1.0, 3.5, 40.0])),
        max_size=60,
    ),
    st.floats(0.1, 200),
)
def test_an_overload_ends_with_its_load(requests, capacity):
    """Whatever was asked, once all of it has had its time the next request finds an idle provider."""
    provider = Provider(capacity, MEAN_MS, PATIENCE_MS)
    at, work = 0, 0.0
    for gap, service_ms, weight in requests:
        at += gap
        work += service_ms * weight * 1.6
        took = provider.take(at, service_ms, weight)
        assert took == SHED or took > 0
    later = at + int(work) + PATIENCE_MS + 1_000_000_000
    assert provider.take(later, 200) == 200


def test_a_large_request_takes_as_long_as_it_occupies_the_provider():
    """A bulk request is answered when its work is done, and those behind it wait for that."""
    provider = Provider(50, MEAN_MS, PATIENCE_MS)
    bulk = provider.take(0, 200, 100.0)
    assert bulk == pytest.approx(100 / 50 * 1000, rel=0.2)
    assert provider.take(1, 200) == pytest.approx(bulk + 199, abs=200)
    assert provider.take(100_000, 200) == pytest.approx(200, abs=5)


def test_the_tail_goes_on():
    """A latency's tail reaches one in two million, where a table of quantiles ends at one in two thousand."""
    table, tail = lognormal(200, 0.5), lognormal_tail(200, 0.5)
    assert list(tail) == sorted(tail)
    assert tail[0] < table[-1] < tail[-1]
    assert tail[-1] > 2 * table[-1]


@pytest.mark.slow
def test_more_load_never_serves_less():
    """From a tenth of its load to thirty times it a link answers more and more, up to its capacity."""
    spells = [spell(played(hour(), scale), "2024-03-11T08:00", "2024-03-11T09:00") for scale in SCALES]
    answered = [one.answered for one in spells]
    assert all(more > 0.95 * less for less, more in pairwise(answered))
    assert answered[-1] > 0.9 * 3600 * CAPACITY_PER_SECOND
    assert [one.shed for one in spells[:3]] == [0, 0, 0]
    assert spells[-1].shed > 1_000
    assert spells[-1].median_ms > 3 * spells[2].median_ms


@pytest.mark.slow
def test_a_peak_day_of_ten_times_the_load_is_survived():
    """Ten times the people are slowed and shed; by the next afternoon all is as it was the day before."""
    found = played(peak_day())
    before, peak, after = (
        spell(found, f"2024-03-{day}T{hours[0]}:00", f"2024-03-{day}T{hours[1]}:00")
        for day, hours in ((11, ("13", "17")), (12, ("08", "17")), (13, ("13", "17")))
    )
    assert before.shed < 0.01 * before.asked
    assert peak.shed > 10_000
    assert peak.answered > 0.9 * 9 * 3600 * CAPACITY_PER_SECOND
    assert peak.median_ms > 2 * before.median_ms
    assert after.shed < 0.01 * after.asked
    assert after.asked < 1.3 * before.asked
    assert after.median_ms == pytest.approx(before.median_ms, rel=0.1)
