"""Where outages lie once all is known, and what looks like an outage by the time of knowing alone."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_logs import START_MS, Fault, Told, draw_log, run

from lab.histories import draw
from lab.history_trials import Tally, add, outages_of
from streams.detect.rule.edges import clearest_run, likeliest_onset_ms, likeliest_recovery_ms
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.measurement import Asked


def at(second):
    """Return a second of the log as epoch milliseconds."""
    return START_MS + second * 1000


def bad(second, failed=3, first=10):
    """Return a second in which every attempt failed."""
    return Asked(second, 0, failed, -1, [first])


def good(second, ok=3, first=10):
    """Return a second in which every attempt was answered."""
    return Asked(second, ok, 0, first)


def test_noise_before_an_outage_is_not_its_start():
    """A failure among answers half a minute before does not draw the start to it."""
    seconds = [good(n) for n in range(30)] + [bad(30, 1)] + [good(n) for n in range(31, 60)]
    seconds += [bad(n, first=250) for n in range(60, 80)]
    assert likeliest_onset_ms(seconds, 0.12, 0.03) == 60_250


def test_noise_after_an_outage_is_not_part_of_it():
    """The first answer ends a full outage, whatever fails by chance soon after."""
    seconds = [bad(n) for n in range(20)] + [good(20, first=420), good(21), bad(22, 1), bad(23, 1)]
    seconds += [good(n) for n in range(24, 60)]
    assert likeliest_recovery_ms(seconds, 0.12, 0.03) == 20_420


def test_a_second_of_both_kinds_is_divided():
    """In the second in which a full outage begins or ends, the kept times tell where."""
    begins = [good(n) for n in range(10)] + [Asked(10, 1, 2, 100, [600, 900])]
    begins += [bad(n) for n in range(11, 30)]
    assert likeliest_onset_ms(begins, 0.12, 0.03) == 10_600
    ends = [bad(n) for n in range(10)] + [Asked(10, 1, 2, 700, [100, 300])] + [good(n) for n in range(11, 30)]
    assert likeliest_recovery_ms(ends, 0.12, 0.03) == 10_700


@given(st.integers(0, 10**6), st.integers(100, 200), st.sampled_from([0.3, 0.6, 1.0]))
def test_the_likeliest_start_is_near_the_true_one(seed, start, share):
    """Four attempts a second, a share of them failing from some second on: it is found to ten seconds."""
    rng = Random(seed)
    seconds = []
    for second in range(300):
        failed = sum(rng.random() < (share if second >= start else 0.03) for _ in range(4))
        seconds.append(Asked(second, 4 - failed, failed, 0, [0] if failed else []))
    found = likeliest_onset_ms(seconds, 0.12, 0.03)
    assert abs(found - start * 1000) <= (1_000 if share == 1 else 30_000)


def test_failures_told_late_show_less_than_they_seem_to():
    """Six timeouts asked among a hundred answers are no evidence, though they came after all of those."""
    seconds = [Asked(n, 5, int(n % 3 == 0), 0, [5] if n % 3 == 0 else []) for n in range(18)]
    assert clearest_run(seconds, 0.5, 0.03) is None
    assert clearest_run([bad(n, 1) for n in range(6)], 0.5, 0.03).evidence > 20


@pytest.mark.parametrize("seed", range(4))
def test_a_busy_link_that_falls_silent_is_no_outage(seed):
    """When nobody asks any more, only failures are still to come to be known: that is no outage."""
    log = draw_log(seed, rate=40.0, seconds=240)
    asked = {t.event.lookup_id for t in log if isinstance(t.event, LookupRequested) and t.told_ms < at(200)}
    silent = [t for t in log if isinstance(t.event, Heartbeat) or t.event.lookup_id in asked]
    assert run(silent).outages == []


@pytest.mark.parametrize("seed", range(4))
def test_what_a_dying_observer_leaves_open_is_no_outage(seed):
    """Requests in flight when the observer died expire unseen: nobody knows how they ended."""
    log = draw_log(seed, rate=20.0, seconds=500)
    slow = [
        Told(t.told_ms + 3_000, t.partition, _later(t.event)) if isinstance(t.event, LookupCompleted) else t
        for t in log
    ]
    blind = [t for t in slow if not at(300) <= t.told_ms < at(420)]
    assert run(blind).outages == []


def _later(event):
    return type(event)(**{f: getattr(event, f) for f in event.__struct_fields__} | {
        "occurred_at_ms": event.occurred_at_ms + 3_000
    })  # fmt: skip


@pytest.mark.parametrize("outcome", ["timeout", None])
def test_an_outage_known_late_lies_where_it_was(outcome):
    """Ten or thirty seconds pass before a failure is known, answers come at once: edges are exact."""
    log = draw_log(3, faults=[Fault(300, 90, outcome=outcome)], rate=3.0)
    requests = sorted(t.event.occurred_at_ms for t in log if isinstance(t.event, LookupRequested))
    first = next(ms for ms in requests if ms >= at(300))
    after = next(ms for ms in requests if ms >= at(390))
    (outage,) = run(log).final()
    assert (outage.start_ms, outage.end_ms, outage.changes) == (first, after, 0)


@pytest.mark.parametrize("seed", range(4))
def test_spells_of_a_flapping_link_begin_and_end_where_they_did(seed):
    """The edges of spells that follow each other closely are not drawn into one another."""
    faults = [Fault(200 + 200 * n, 50, outcome="timeout") for n in range(3)]
    final = run(draw_log(seed, faults=faults, rate=5.0)).final()
    found = [(outage.start_ms - at(0), outage.end_ms - at(0)) for outage in final]
    assert len(found) == 3
    for fault, (start_ms, end_ms) in zip(faults, found, strict=True):
        assert abs(start_ms - fault.start * 1000) < 1_500
        assert abs(end_ms - (fault.start + fault.seconds) * 1000) < 1_500


@pytest.mark.parametrize("seed", [1, 6])
def test_a_history_of_everything(seed):
    """Three links, every kind of trouble, late, doubled and wrongly stamped records: all full outages are
    found where they were, and nothing else is.
    """
    history = draw(seed, 1.2, {"slow-10": 0.1, "one": 1.0, "five": 5.0})
    tally = Tally()
    add(tally, history, outages_of(history), f"seed {seed}:")
    assert tally.false == []
    full = {link: row for (link, what), row in tally.rows.items() if what == "down"}
    assert sum(len(row.starts_ms) for link, row in full.items() if link != "slow-10") >= 1
    for link, row in full.items():
        assert row.missed == []
        assert all(row.kinds)
        if link != "slow-10":
            assert max(map(abs, [0, *row.starts_ms, *row.ends_ms])) < 5_000
