"""What holds of detection whatever the log: order, repetition and lateness change no final result."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from small_logs import START_MS, Fault, Told, detect, draw_log, interleaved, measure, run, shuffled

from streams.model.events import Heartbeat, LookupCompleted

SLOW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
"""Whole logs: drawn, not shrunk, which would take minutes where a test fails; the seed tells them."""

faults = st.lists(
    st.builds(
        Fault,
        start=st.integers(60, 700),
        seconds=st.integers(5, 240),
        share=st.sampled_from([1.0, 1.0, 0.7, 0.3]),
        outcome=st.sampled_from(["unreachable", "timeout", None, "provider_error"]),
    ),
    max_size=3,
)
seeds = st.integers(0, 10**6)


@SLOW
@given(seeds, faults)
def test_outages_of_a_link_never_overlap(seed, chosen):
    """The last revisions of a link's outages are disjoint, in order, and each ends after it starts."""
    final = run(draw_log(seed, faults=chosen)).final()
    assert all(outage.end_ms is None or outage.start_ms < outage.end_ms for outage in final)
    assert all(a.end_ms is not None and a.end_ms <= b.start_ms for a, b in pairwise(final))


@SLOW
@given(seeds, faults, seeds)
def test_reordering_within_the_bound_changes_nothing(seed, chosen, disorder):
    """Records told up to the out-of-order bound late give the same windows and outages, offsets aside."""
    log = draw_log(seed, faults=chosen)
    plain, disturbed = run(log), run(shuffled(log, disorder))
    assert disturbed.last_windows() == plain.last_windows()
    assert disturbed.stories() == plain.stories()
    assert [o.outage_id for o in disturbed.outages] == [o.outage_id for o in plain.outages]


@SLOW
@given(seeds, faults, seeds)
def test_the_order_of_reading_partitions_changes_nothing(seed, chosen, order):
    """However the partitions' measurements are interleaved, the same revisions are published."""
    log = draw_log(seed, faults=chosen, partitions=3)
    rng = Random(order)
    some = [told.event.event_id for told in rng.sample(log, 40) if told.event.event_id]
    measurements = measure(late(log, some, 200_000))
    plain = detect(measurements)
    other = detect(measurements, order=interleaved(measurements, order))
    assert sorted(other.outages, key=revision) == sorted(plain.outages, key=revision)
    assert sorted(other.windows, key=minute) == sorted(plain.windows, key=minute)


@SLOW
@given(seeds, faults, seeds)
def test_a_clock_that_does_not_hurry_finds_the_same(seed, chosen, which):
    """Looked at every ten minutes or at every slot, the links say the same, with the same times."""
    log = draw_log(seed, faults=chosen, partitions=2)
    some = [told.event.event_id for told in Random(which).sample(log, 40) if told.event.event_id]
    measurements = measure(late(log, some, 200_000))
    plain, unhurried = detect(measurements), detect(measurements, unhurried=True)
    assert sorted(unhurried.outages, key=revision) == sorted(plain.outages, key=revision)
    assert sorted(unhurried.windows, key=minute) == sorted(plain.windows, key=minute)


@pytest.mark.parametrize("seed", [17, 21, 24])
def test_nor_does_it_where_more_dossiers_are_hit_than_a_minute_keeps(seed):
    """Facts late by up to five minutes lead to the same estimate, whenever their minute was packed."""
    rng = Random(seed)
    log = draw_log(seed, faults=[Fault(270, 115, outcome="timeout")], partitions=1, rate=4.0)
    delays = [rng.randrange(20_000, 300_000) if rng.random() < 0.02 else 0 for _ in log]
    log = [
        Told(told.told_ms + delay, told.partition, told.event)
        for told, delay in zip(log, delays, strict=True)
    ]
    measurements = measure(log)
    plain, unhurried = detect(measurements), detect(measurements, unhurried=True)
    assert sorted(unhurried.outages, key=revision) == sorted(plain.outages, key=revision)


@SLOW
@given(seeds, faults, st.floats(0, 1))
def test_applying_a_measurement_again_changes_nothing(seed, chosen, share):
    """Measurements that come twice, as after a crash, are known by their offsets."""
    measurements = measure(draw_log(seed, faults=chosen))
    every = [m for of_one in measurements.values() for m in of_one]
    every.sort(key=lambda m: (m.watermark_ms, m.source))
    back = int(len(every) * share)
    plain, twice = detect(measurements), detect(measurements, order=every[:back] + every)
    assert (twice.outages, twice.windows) == (plain.outages, plain.windows)


@SLOW
@given(seeds, faults, seeds, st.integers(10, 1200))
@example(seed=1, chosen=[Fault(300, 120)], which=2, delay_s=600)
def test_a_late_lookup_ends_in_the_same_revisions_as_one_on_time(seed, chosen, which, delay_s):
    """Lookups told up to twenty minutes late, request and answer, change how outages came about only."""
    log = draw_log(seed, faults=chosen, seconds=2100)
    rng = Random(which)
    lookups = {told.event.lookup_id for told in log if not isinstance(told.event, Heartbeat)}
    chosen_ids = set(rng.sample(sorted(lookups), 15))
    ids = [t.event.event_id for t in log if getattr(t.event, "lookup_id", None) in chosen_ids]
    assert_same_end(log, late(log, ids, delay_s * 1000, until_s=850))


@SLOW
@given(seeds, faults, seeds, st.integers(10, 1200))
def test_a_late_answer_ends_in_the_same_revisions_as_one_on_time(seed, chosen, which, delay_s):
    """An answer told after its request was given up takes the failure back, and all that followed from it."""
    log = draw_log(seed, faults=chosen, seconds=2100)
    rng = Random(which)
    answers = [t.event.event_id for t in log if isinstance(t.event, LookupCompleted)]
    assert_same_end(log, late(log, rng.sample(answers, 15), delay_s * 1000, until_s=850))


@pytest.mark.parametrize("delay_s", [5, 60, 900])
def test_late_heartbeats_restore_what_was_seen(delay_s):
    """Heartbeats told late end in the same windows as heartbeats on time."""
    log = draw_log(3, seconds=2400, rate=0.05)
    beats = [told for told in log if isinstance(told.event, Heartbeat)]
    delayed = [
        Told(told.told_ms + delay_s * 1000, told.partition, told.event)
        if told in beats and 300 <= (told.told_ms - START_MS) / 1000 < 700
        else told
        for told in log
    ]
    assert run(delayed).last_windows() == run(log).last_windows()


def late(log, event_ids, delay_ms, until_s=600):
    """Tell some of the events before ``until_s`` later by ``delay_ms``."""
    chosen = set(event_ids)
    return [
        Told(told.told_ms + delay_ms, told.partition, told.event)
        if told.event.event_id in chosen and told.told_ms < START_MS + until_s * 1000
        else told
        for told in log
    ]


def assert_same_end(log, disturbed):
    """Both logs end in the same last revisions."""
    plain, other = run(log), run(disturbed)
    assert other.stories() == plain.stories()
    assert other.last_windows() == plain.last_windows()


def revision(outage):
    """Return the identity of an outage's revision."""
    return outage.outage_id, outage.revision


def minute(window):
    """Return the identity of a window's revision."""
    return window.link, window.start_ms, window.revision
