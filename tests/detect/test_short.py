"""Full failures too short to be an outage: no outages, whenever they became known, but counted."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from small_logs import START_MS, Fault, Told, draw_log, measure, run

from lab.histories import Trouble
from lab.link_years import DAY_MS, USUAL, LinkYear
from lab.link_years import START_MS as YEAR_MS
from lab.year_trials import follow
from streams.detect.link.short import short_failures
from streams.detect.rule.cusum import Normal
from streams.detect.rule.definition import Rule
from streams.detect.rule.edges import clearest_run
from streams.model.canonical import final_outages
from streams.model.measurement import Asked

DRAWN = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
NORMAL = Normal(0.03, 120_960.0, None)
outcomes = st.sampled_from(["timeout", "unreachable", "provider_error", None, "any"])


def bursts(lengths_ms, outcome, gap_ms=90_000):
    """Return full failures of these lengths, a while apart, and when the last has ended."""
    at_ms, found = YEAR_MS + 900_000, []
    for length_ms in lengths_ms:
        span = at_ms, at_ms + length_ms
        found.append(Trouble("link", "down", *span, 1.0, outcome, (span,)))
        at_ms += length_ms + gap_ms
    return found, at_ms


@DRAWN
@given(
    st.integers(0, 10**6),
    st.sampled_from([10.0, 20.0]),
    st.lists(st.integers(3_000, 8_000), min_size=3, max_size=8),
    outcomes,
)
def test_failures_of_three_to_eight_seconds_are_counted_and_no_outages(seed, rate, lengths_ms, outcome):
    """At ten lookups a second and more none is published as an outage, however late its failures were known;
    number, seconds and lookups are those that were.
    """
    troubles, end_ms = bursts(lengths_ms, outcome)
    year = LinkYear(seed, "link", rate, (end_ms + 300_000 - YEAR_MS) / DAY_MS, USUAL, troubles)
    found = follow(year.measurements(), Rule())
    assert found.outages == []
    short = [w.short_failures for w in found.windows.values() if w.short_failures is not UNSET]
    assert sum(one.number for one in short) == len(lengths_ms)
    assert sum(one.duration_ms for one in short) == pytest.approx(sum(lengths_ms), abs=900 * len(lengths_ms))
    assert sum(one.lookups for one in short) == pytest.approx(sum(f.hit for f in year.fates), rel=0.2)


@DRAWN
@given(st.integers(0, 10**6), st.sampled_from([5.0, 20.0]), st.integers(15_000, 90_000), outcomes)
def test_what_is_an_outage_is_no_short_failure(seed, rate, length_ms, outcome):
    """A failure half as long again as an outage takes is one, and its lookups are not counted twice."""
    troubles, end_ms = bursts([length_ms], outcome)
    year = LinkYear(seed, "link", rate, (end_ms + 600_000 - YEAR_MS) / DAY_MS, USUAL, troubles)
    found = follow(year.measurements(), Rule())
    assert [outage.kind for outage in final_outages(found.outages)] == ["down"]
    assert all(window.short_failures is UNSET for window in found.windows.values())
    assert not [outage for outage in found.outages if outage.status == "retracted"]


@DRAWN
@given(st.integers(0, 10**6), st.integers(20, 600))
def test_late_records_leave_the_same_short_failures(seed, delay_s):
    """A short failure told late, in whole or in part, ends in the windows that it would have made on time."""
    log = draw_log(seed, seconds=1500, rate=8.0, faults=[Fault(400, 6, outcome="timeout")], partitions=1)
    near = [told for told in log if 395 <= (told.told_ms - START_MS) / 1000 < 420][:: 1 + seed % 3]
    delayed = {told.event.event_id for told in near if told.event.event_id}
    late = [
        Told(told.told_ms + delay_s * 1000, told.partition, told.event)
        if told.event.event_id in delayed
        else told
        for told in log
    ]
    on_time, told_late = run(log), run(late)
    assert told_late.last_windows() == on_time.last_windows()
    assert any(w.short_failures is not UNSET for w in on_time.last_windows().values())


def asked(*counts):
    """Return seconds of asking with so many answered and failed each."""
    return [
        Asked(second, ok, failed, 50 if ok else -1, [ms * 200 for ms in range(min(failed, 4))])
        for second, (ok, failed) in enumerate(counts)
    ]


@pytest.mark.parametrize(
    ("counts", "number", "lookups"),
    [
        ([(10, 0)] * 20 + [(0, 10)] * 4 + [(10, 0)] * 20, 1, 40),
        ([(10, 0)] * 20 + [(0, 10)] * 4 + [(10, 0)] * 3 + [(0, 10)] * 3 + [(10, 0)] * 9, 2, 70),
        ([(10, 0)] * 20 + [(9, 1)] * 4 + [(10, 0)] * 20, 0, 0),
        ([(1, 0)] * 20 + [(0, 1)] * 4 + [(1, 0)] * 20, 0, 0),
    ],
    ids=["one", "two close together", "a tenth fails", "four in a row may be chance"],
)
def test_what_failed_beyond_chance_is_told_apart(counts, number, lookups):
    """Each full failure beyond chance counts once, with its lookups; what chance explains does not."""
    found = short_failures(0, asked(*counts), (), Rule(), NORMAL)
    assert ((found.number, found.lookups) if found else (0, 0)) == (number, lookups)
    covered = short_failures(0, asked(*counts), [(0, 1 << 40)], Rule(), NORMAL)
    assert covered is None


def test_how_long_a_run_lasts_is_told_by_its_failures():
    """It goes on after the last failure for as long as failures lie apart, and ends with the first answer."""
    ended = clearest_run(asked((1, 0), (0, 1), (0, 1), (0, 1), (1, 0)), 0.95, 0.03)
    later = clearest_run(asked((1, 0), (0, 1), (0, 1), (0, 1), (0, 0), (0, 0), (1, 0)), 0.95, 0.03)
    lasting = clearest_run(asked((1, 0), (0, 1), (0, 1), (0, 1)), 0.95, 0.03)
    assert (ended.start_ms, ended.end_ms, ended.length_ms) == (1000, 4050, 3000)
    assert (later.end_ms, later.length_ms) == (6050, 3000)
    assert (lasting.end_ms, lasting.length_ms) == (None, 3000)


@given(st.lists(st.integers(0, 7_999), min_size=5, max_size=40), st.sampled_from([None, 3_000, 60_000]))
def test_failures_within_eight_seconds_never_last_ten(times, answered_ms):
    """Whenever they are asked, and whenever the next answer comes, they are too short for an outage."""
    seconds = {}
    for at in sorted(times):
        seconds.setdefault(at // 1000, []).append(at % 1000)
    told = [Asked(second, 0, len(ms), -1, ms[:4]) for second, ms in sorted(seconds.items())]
    if answered_ms is not None:
        told.append(Asked((8_000 + answered_ms) // 1000, 1, 0, 0))
    run = clearest_run(told, 0.95, 0.03)
    assert run.length_ms < Rule().min_duration_ms


def test_measurements_of_a_short_failure_say_when_it_was_asked():
    """The log of these tests holds what it claims: failures asked within six seconds, known ten later."""
    log = draw_log(3, seconds=600, rate=8.0, faults=[Fault(400, 6, outcome="timeout")], background=0.0)
    slots = [slot for of in measure(log).values() for m in of for c in m.links for slot in c.slots]
    failed = sorted(a.second for slot in slots for a in slot.asked if a.failed)
    assert failed[0] >= START_MS / 1000 + 400
    assert failed[-1] <= START_MS / 1000 + 406
