"""A partition's measurements are a function of its log: not of batches, not of crashes."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partition_logs import (
    LOOKUP,
    SMALL,
    beats,
    chunks,
    completed,
    encoded,
    entries_of,
    events_of,
    fed,
    logs,
    lookups_meter,
    net,
    requested,
)

from streams.measure.meter import Meter
from streams.model.canonical import encode
from streams.model.digest import BLOCK_RECORDS, digest_of
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS

LONG_MEMORY = MeasureSettings(lookup_timeout_ms=10_000)


@given(log=logs(), cuts=st.lists(st.integers(0, 1_000), max_size=20))
@settings(max_examples=40)
def test_batches_do_not_matter(log, cuts):
    """However a log is divided into batches, measurements, dead letters and counts are the same."""
    whole, divided = fed(log), lookups_meter()
    for batch in chunks(log, cuts):
        divided.feed(batch)
    assert [encode(m) for m in divided.measurements] == [encode(m) for m in whole.measurements]
    assert divided.dead_letters == whole.dead_letters
    assert divided.totals() == whole.totals()
    assert (divided.next_offset, divided.checkpoint) == (whole.next_offset, whole.checkpoint)


@given(log=logs(), at=st.integers(0, 10_000))
@settings(max_examples=80)
def test_rebuilt_state_goes_on_the_same(log, at):
    """After a crash behind any cut, re-reading from its checkpoint gives the same measurements onwards."""
    meter, commits = lookups_meter(), []
    for entry in log:
        before = len(meter.measurements)
        meter.feed([entry])
        if len(meter.measurements) > before:
            commits.append((meter.next_offset, meter.checkpoint, len(meter.measurements)))
    next_offset, checkpoint, done = commits[at % len(commits)]
    rebuilt = lookups_meter(checkpoint=checkpoint)
    rebuilt.feed([entry for entry in log if checkpoint.rebuild_offset <= entry[0] < next_offset])
    rebuilt.measurements.clear()
    rebuilt.feed([entry for entry in log if entry[0] >= next_offset])
    assert [encode(m) for m in rebuilt.measurements] == [encode(m) for m in meter.measurements[done:]]
    assert rebuilt.checkpoint.max_event_ms == meter.checkpoint.max_event_ms


@given(log=logs())
@settings(max_examples=40)
def test_every_record_is_accounted_for(log):
    """Applied, duplicate, late and dead-lettered records add up to what was read, also by measurement."""
    meter = fed(log)
    assert _sum(meter.totals()) == len(log)
    assert sum(_sum(m.records) for m in meter.measurements) + meter.pending_records == len(log)
    assert meter.totals().dead_letter == len(meter.dead_letters)
    for m in meter.measurements:
        assert _sum(m.records) == len(_range(log, m.source))


@given(log=logs())
@settings(max_examples=40)
def test_ranges_join_and_their_digests_are_those_of_the_log(log):
    """Each range begins where the one before ended, and anybody can recompute its digest from the log."""
    measurements = fed(log).measurements
    for m in measurements:
        assert m.source.digest == digest_of(_range(log, m.source))
    for earlier, later in pairwise(measurements):
        assert earlier.source.next_offset == later.source.first_offset
        assert earlier.watermark_ms < later.watermark_ms


@pytest.mark.parametrize("batch", [1, 1_000, BLOCK_RECORDS, 20_000])
def test_long_range_has_the_digest_of_its_blocks(batch):
    """A range of more than one digest block has the recomputed digest, whatever the batches."""
    events = [requested(f"q{n}", n % 4_000) for n in range(BLOCK_RECORDS * 2 + 5)] + [
        requested("end", 30_000)
    ]
    log = entries_of(events)
    meter = Meter(LOOKUPS, 0, LONG_MEMORY)
    for start in range(0, len(log), batch):
        meter.feed(log[start : start + batch])
    first, *others = (m.source for m in meter.measurements)
    assert first.next_offset - first.first_offset == 1  # the first record only starts the clock
    assert [source.digest for source in others] == [digest_of(_range(log, source)) for source in others]
    assert max(source.next_offset - source.first_offset for source in others) > 2 * BLOCK_RECORDS


@given(log=logs(), copies=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=10))
@settings(max_examples=40)
def test_duplicates_move_counts_alone(log, copies):
    """Records sent again, at once or later, change nothing but how many duplicates were counted."""
    plain = Meter(LOOKUPS, 0, LONG_MEMORY)
    plain.feed(log)
    repeatable = [i for i, entry in enumerate(log) if b"event_id" in entry[3]]
    more = [(index, 0, entry) for index, entry in enumerate(log)]
    for which, distance in copies if repeatable else ():
        index = repeatable[which % len(repeatable)]
        more.append((min(index + distance, len(log) - 1), 1, log[index]))
    more.sort(key=lambda one: one[:2])
    repeated = Meter(LOOKUPS, 0, LONG_MEMORY)
    repeated.feed([(offset, *entry[1:]) for offset, (_, _, entry) in enumerate(more)])
    assert [_said(m) for m in repeated.measurements] == [_said(m) for m in plain.measurements]
    was, now = plain.totals(), repeated.totals()
    assert now.duplicate == was.duplicate + len(more) - len(log)
    assert (now.applied, now.late, now.dead_letter) == (was.applied, was.late, was.dead_letter)


@given(lookups=st.lists(LOOKUP, max_size=25))
@settings(max_examples=40)
def test_disorder_within_bounds_leaves_the_sums(lookups):
    """Records out of order by less than `out_of_orderness_ms` are never late and give the same sums."""
    delayed = [one for number, lookup in enumerate(lookups) for one in events_of(number, lookup)]
    delayed += beats(every_ms=1_000)
    in_order = sorted(delayed, key=lambda one: one[1]["occurred_at_ms"])
    shuffled = sorted(delayed, key=lambda one: one[1]["occurred_at_ms"] + one[0])
    meters = [fed(_logged(events)) for events in (in_order, shuffled)]
    assert net(meters[0].measurements) == net(meters[1].measurements)
    assert [meter.totals().late for meter in meters] == [0, 0]


@given(log=logs())
@settings(max_examples=40)
def test_no_answer_is_counted_twice(log):
    """Net of corrections no outcome, latency or request is counted below zero."""
    meter = fed(log, LONG_MEMORY)
    assert all(count > 0 for of in net(meter.measurements).values() for count in of.values())


def test_first_answer_after_a_generation_is_still_known_as_duplicate():
    """An event id is remembered for at least one whole generation, across the turn of it."""
    turn_ms = SMALL.generation_ms
    log = entries_of([requested("q", 0), completed("q", 100), *(e for _, e in beats(turn_ms, 1_000))])
    again = (len(log), log[-1][1], *encoded(completed("q", 100)))
    assert fed([*log, again]).totals().duplicate == 1


def _sum(counts):
    return counts.applied + counts.duplicate + counts.late + counts.dead_letter


def _range(log, source):
    return [entry for entry in log if source.first_offset <= entry[0] < source.next_offset]


def _said(m):
    return m.watermark_ms, m.links, m.alive, m.records.applied, m.records.late, m.records.dead_letter


def _logged(delayed):
    return [
        (offset, event["occurred_at_ms"] + delay, *encoded(event))
        for offset, (delay, event) in enumerate(delayed)
    ]
