"""Load: latency rises with it, what cannot be served is shed early, and an overload ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.simulate.draw import exponential, lognormal, lognormal_tail, pick, seeded
from streams.simulate.generate import Run
from streams.simulate.load.provider import SHED, Provider
from streams.simulate.shell import drain, load_scenario

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
def test_a_peak_of_ten_times_the_load_is_survived(catalogue):
    """On a link with room for four times its load, ten times the load is slowed and shed, and drains."""
    from msgspec.structs import replace

    tight = replace(
        catalogue,
        links=[
            replace(link, capacity_per_second=4 if link.id == "hcmc-npd" else 60) for link in catalogue.links
        ],
    )
    scenario = replace(load_scenario("monday-morning", catalogue), faults=[])
    calm, peak = (drain(Run(tight, scenario, scale=scale), lambda _: None) for scale in (0.3, 3))
    npd = [next(link for link in truth.links if link.link == "hcmc-npd") for truth in (calm, peak)]
    assert "throttled" not in npd[0].outcomes
    assert npd[1].outcomes["throttled"] > 1_000
    served = [sum(n for o, n in one.outcomes.items() if o in ("ok", "mismatch", "not_found")) for one in npd]
    assert served[1] > 9 * served[0]
    overloads = [fault for fault in peak.faults if fault.cause == "provider_overloaded" and fault.outage]
    assert overloads
    assert max(fault.end_ms for fault in overloads) < peak.end_ms - 300_000
