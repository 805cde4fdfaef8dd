"""Large logs: metered in a process beside, judged while they come, kept packed: no result changes."""

from collections import defaultdict
from dataclasses import fields

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_logs import T0, make_log, submissions

from lab.histories import draw
from streams.detect.detector import Detector
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.logs.file import LogFileError
from streams.logs.write import log_writer
from streams.measure.meter import Meter
from streams.model.canonical import encode, ordered_outages, ordered_windows
from streams.model.record import Record
from streams.model.settings import DetectSettings, MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.replay import beside
from streams.replay.analyze import JUDGE_FROM_RECORDS, analyze
from streams.replay.beside import WorkerError, metered_beside
from streams.replay.packed import BLOCK_ROWS, Packed, Sorter, pack

pytestmark = pytest.mark.slow


class Row(msgspec.Struct):
    """A row to be packed."""

    at: int
    revision: int
    said: int = 0


@pytest.fixture(scope="module")
def records():
    """Return a log with two outages, long enough to be judged while it is read."""
    log = make_log(seconds=12_000, failing=((600, 900), (5_000, 5_600))) + submissions()
    assert len(log) > JUDGE_FROM_RECORDS + 7_000
    return log


@pytest.fixture(scope="module")
def file(records, tmp_path_factory):
    """Return the log as a file."""
    path = tmp_path_factory.mktemp("beside") / "log.ndjson.zst"
    with log_writer(path) as writer:
        writer.write(records)
    return path


def plainly(records):
    """Return windows and outages, as bytes, of a log that is metered whole before anything is judged."""
    entries = defaultdict(list)
    for record in records:
        entries[record[:2]].append(record[2:])
    cuts, partitions = [], []
    for (topic, partition), those in entries.items():
        if topic == LOOKUPS:
            meter = Meter(topic, partition, MeasureSettings())
            meter.feed(those)
            cuts += meter.measurements
            partitions.append(partition)
    detector = Detector(Rules(Rule()), DetectSettings(), sorted(partitions))
    in_order = sorted(cuts, key=lambda cut: (cut.watermark_ms, cut.source))
    outputs = [detector.apply(cut).output for cut in in_order]
    windows = [window for output in outputs for published in output.values() for window in published.windows]
    outages = [outage for output in outputs for published in output.values() for outage in published.outages]
    return [encode(one) for one in ordered_windows(windows)], [
        encode(one) for one in ordered_outages(outages)
    ]


def judged(analysis):
    """Return an analysis's windows and outages as bytes."""
    return [encode(one) for one in analysis.windows], [encode(one) for one in analysis.outages]


def test_judged_while_it_comes_is_judged_as_a_whole(records):
    """A log judged while it is read gives what it gives when all of it is measured first."""
    windows, outages = judged(analyze(records))
    assert len(outages) >= 4
    assert (windows, outages) == plainly(records)


@pytest.mark.parametrize("last", [0, 1, 2])
def test_a_log_counts_to_its_end_whichever_partition_ends_last(last):
    """All that a partition holds is applied, though the others have ended long before."""
    whole = make_log(seconds=400, failing=((100, 200),), partitions=3)
    for until_s in range(200, 400, 20):
        ends = {(last + turn) % 3: T0 + (until_s - 10 * turn) * 1000 for turn in (1, 2)}
        log = [one for one in whole if one.logged_at_ms < ends.get(one.partition, one.logged_at_ms + 1)]
        sparse = [one for one in log if one.partition != last or one.logged_at_ms % 70_000 < 5_000]
        assert judged(analyze(log)) == plainly(log), until_s
        assert judged(analyze(sparse)) == plainly(sparse), until_s


def test_a_process_beside_changes_nothing(file):
    """Metered in a process beside or in this one, everything an analysis says is the same."""
    alone, with_another = analyze(file, beside=False), analyze(file, beside=True)
    assert judged(with_another) == judged(alone)
    assert list(with_another.measurements) == list(alone.measurements)
    assert with_another.rules.revisions == alone.rules.revisions
    told = {field.name for field in fields(alone)} - {"found_windows", "packed", "rules"}
    assert {name: getattr(with_another, name) for name in told} == {
        name: getattr(alone, name) for name in told
    }


@pytest.mark.parametrize("beside", [False, True])
def test_outages_alone_are_the_same_outages(records, beside, tmp_path):
    """Asked for outages only, an analysis gives the same ones from the same records, and nothing unasked."""
    path = tmp_path / "log.ndjson.zst"
    lookups = [record for record in records if record.topic == LOOKUPS]
    first, *rest = (record for record in records if record.topic == SUBMISSIONS)
    told = [first, first, first._replace(value=b"{}"), *rest]
    with log_writer(path) as writer:
        writer.write([*lookups, *(one._replace(offset=offset) for offset, one in enumerate(told))])
    whole, outages = analyze(path, beside=beside), analyze(path, beside=beside, outages_only=True)
    assert outages.outages == whole.outages
    assert outages.records == whole.records
    assert whole.records.dead_letter == 1
    assert whole.records.duplicate == 1
    assert (outages.pending, outages.ignored) == (whole.pending, whole.ignored)
    assert outages.dead_letters == whole.dead_letters
    measured = [one for one in whole.measurements if one.source.topic == LOOKUPS]
    assert list(outages.lookup_measurements) == measured
    for unasked in ("measurements", "windows"):
        with pytest.raises(ValueError, match="outages only"):
            getattr(outages, unasked)
    with pytest.raises(ValueError, match="outages only"):
        outages.write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", [1, 2])
def test_windows_have_no_part_in_finding_outages(seed):
    """In a history of everything at once, the outages are the same whether windows are made or not."""
    history = draw(seed, hours=1.0)
    log = [Record(LOOKUPS, at, *entry) for at, those in history.entries.items() for entry in those]
    log.sort(key=lambda record: record.logged_at_ms)
    expected = analyze(log).outages
    assert len(expected) > 3
    assert analyze(log, outages_only=True).outages == expected


def test_a_partition_that_comes_late_in_the_log_counts_from_the_start(records):
    """A source partition whose records stand at the log's end is part of the clock all the same."""
    moved = sorted(records, key=lambda record: record.partition == 1)
    expected = plainly(records)
    assert judged(analyze(moved)) == expected
    assert plainly([record for record in moved if record.partition == 0]) != expected


def test_a_fault_of_the_log_surfaces_with_its_place(records, tmp_path):
    """A line that is no record is refused by file and line, whichever process read it."""
    path = tmp_path / "log.ndjson"
    with log_writer(path) as writer:
        writer.write(records[:6_000])
        writer.write_lines([b'{"topic":1}\n'])
    with pytest.raises(LogFileError) as alone:
        analyze(path, beside=False)
    with pytest.raises(LogFileError) as with_another:
        analyze(path, beside=True)
    assert str(with_another.value) == str(alone.value)
    assert with_another.value.line == 6_001


def test_a_process_that_fails_says_why(file, monkeypatch):
    """Any other end of the process beside is an error with its reason, never a shorter result."""
    with pytest.raises(WorkerError, match="lookup_timeout_ms must be a multiple"):
        list(metered_beside(file, MeasureSettings(lookup_timeout_ms=7)))
    monkeypatch.setattr(beside, "_PROGRAM", "import os; os._exit(9)")
    with pytest.raises(WorkerError, match="exit code 9"):
        list(metered_beside(file, MeasureSettings()))


def test_whoever_stops_listening_ends_the_process(file, monkeypatch):
    """When batches are no longer asked for, the process beside ends."""
    started = []
    popen = beside.subprocess.Popen
    monkeypatch.setattr(
        beside.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[0]
    )
    batches = metered_beside(file, MeasureSettings())
    assert next(batches).read > 0
    batches.close()
    assert started[0].returncode is not None


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3)), max_size=900),
    st.integers(0, 20),
    st.integers(0, 5),
)
def test_rows_sorted_while_they_come_are_rows_sorted_at_once(keys, spread, wait):
    """Whatever comes late, a sorter's rows stand in the order of their keys, each key with its last row."""
    nearly = [(at // (spread + 1) + number // 3, revision) for number, (at, revision) in enumerate(keys)]
    sorter = Sorter(Row, lambda row: (row.at, row.revision), wait=wait)
    last = {}
    for said, (at, revision) in enumerate(nearly):
        sorter.add(Row(at, revision, said))
        last[at, revision] = Row(at, revision, said)
    assert list(sorter.finish()) == [last[key] for key in sorted(last)]


@given(st.lists(st.integers(0, 3), max_size=8), st.data())
def test_packed_rows_read_like_a_list(sizes, data):
    """Length, items, slices and comparison of packed rows are those of the list of them."""
    packed, rows = Packed(Row), []
    for size in sizes:
        fresh = [Row(len(rows) + n, 1) for n in range(size)]
        packed.add(pack(fresh), size)
        rows += fresh
    assert len(packed) == len(rows)
    assert packed == rows
    assert list(packed) == rows
    chosen = data.draw(st.slices(len(rows)))
    assert packed[chosen] == rows[chosen]
    for at in range(-len(rows), len(rows)):
        assert packed[at] == rows[at]
    with pytest.raises(IndexError):
        packed[len(rows)]


def test_many_rows_make_many_blocks():
    """Rows beyond what waits are packed while they come, so that memory stays small."""
    sorter = Sorter(Row, lambda row: (row.at, row.revision))
    for at in range(10 * BLOCK_ROWS):
        sorter.add(Row(at, 1))
    blocks = [rows for _, rows in sorter.finish().blocks()]
    assert blocks == [BLOCK_ROWS] * 10
