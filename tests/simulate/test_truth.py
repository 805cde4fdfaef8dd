"""The truth: a fault ends with its last bad spell, and its kind follows from what it did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.simulate.draw import seeded
from streams.simulate.faults.laying import spells_of, true_fault
from streams.simulate.generate import Run
from streams.simulate.scenario import Fault, epoch_ms
from streams.simulate.shell import drain, load_scenario

START_MS = epoch_ms("2024-03-11T08:00")
PATTERNS = ["steady", "flapping", "bursts"]


@given(
    pattern=st.sampled_from(PATTERNS),
    minutes=st.floats(0.1, 600),
    bad_seconds=st.floats(1, 600),
    good_seconds=st.floats(1, 600),
    shares=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    seed=st.integers(0, 1000),
)
def test_a_fault_is_bad_from_its_start_to_its_end(pattern, minutes, bad_seconds, good_seconds, shares, seed):
    """Bad spells ascend and are apart; the first begins with the fault, and the fault ends with the last."""
    fault = Fault(
        id="f",
        cause="line_lossy",
        start="2024-03-11T08:00",
        minutes=minutes,
        links=["hcmc-npd"],
        pattern=pattern,
        bad_seconds=bad_seconds,
        good_seconds=good_seconds,
        ramp_minutes=minutes * shares[0],
        recovery_minutes=minutes * shares[1],
    )
    planned_end_ms = START_MS + max(1, round(minutes * 60_000))
    truth = true_fault(fault, "hcmc-npd", START_MS, planned_end_ms)
    spells = spells_of(fault, truth, seeded(seed, "spells"))
    edges = [at for spell in spells for at in (spell.start_ms, spell.end_ms)]
    assert edges == sorted(edges)
    assert edges[0] == truth.start_ms == START_MS
    assert edges[-1] == truth.end_ms <= planned_end_ms
    assert all(spell.start_ms < spell.end_ms for spell in spells)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kind_is_what_happened_however_few_asked(catalogue, seed):
    """Where lookups met an outage that fails, it was down if half of them or more failed; else degraded."""
    run = Run(catalogue, load_scenario("bad-day", catalogue), seed=seed, scale=0.002)
    faults = [one for one in drain(run, lambda _: None).faults if one.outage and one.attempts]
    few = [one for one in faults if one.attempts < 10]
    assert few
    for one in faults:
        failing = one.failures and one.cause not in ("database_slow", "provider_backlog")
        if failing:
            assert one.kind == ("down" if 2 * one.failures >= one.attempts else "degraded"), one
        assert one.failures <= one.attempts
        assert one.observed <= one.failures
