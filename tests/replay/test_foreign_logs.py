"""Logs as other tools leave them, through `analyze`: the same outages, or the true reason and exit code 2."""

import gzip
import json

import polars as pl
import pytest
from foreign_files import ARRANGEMENTS, PACKINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from xroad_samples import T0, client, network_error

from streams.cli import app
from streams.logs.file import LogFileError
from streams.logs.line import encode_line
from streams.logs.read import read_log, read_partitions
from streams.model.record import Record, by_partition


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a log with one outage, as `ingest` writes it, and what `analyze` prints of it."""
    folder = tmp_path_factory.mktemp("made")
    failing = range(300, 480)
    records = [(network_error if n in failing else client)(T0 + n * 1000, f"{n:08x}") for n in range(720)]
    (folder / "records.json").write_text(json.dumps(records))
    log = folder / "log.ndjson"
    assert run("ingest", "xroad", folder / "records.json", "--out", log).exit_code == 0
    outages = run("analyze", log)
    assert outages.exit_code == 0
    assert outages.stdout.count("\n") == 1
    return log.read_bytes(), outages.stdout


def run(*arguments):
    """Run a command and return its result."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def envelopes(content):
    """Return a log's records as `kcat -J` prints them."""
    return [
        {
            "topic": line["topic"],
            "partition": line["partition"],
            "offset": line["offset"],
            "tstype": "logappend",
            "ts": line["logged_at_ms"],
            "broker": 1,
            "headers": [],
            "key": line["key"],
            "payload": json.dumps(line["value"], separators=(",", ":")),
        }
        for line in map(json.loads, content.splitlines())
    ]


@pytest.mark.parametrize("packing", [name for name in PACKINGS if "answer" not in name])
def test_a_log_is_read_whatever_it_is_packed_in(made, tmp_path, packing):
    """A packed, encoded or archived log of any name gives the same outages."""
    path = tmp_path / "LOG.DAT"
    path.write_bytes(PACKINGS[packing](made[0]))
    assert run("analyze", path).stdout == made[1]


@pytest.mark.parametrize(
    "arrangement", [name for name in ARRANGEMENTS if "hits" not in name and "answer" not in name]
)
@pytest.mark.parametrize("of", ["records", "envelopes"])
def test_records_and_envelopes_are_read_in_any_arrangement(made, tmp_path, arrangement, of):
    """Records of ours and of kcat, one a line, joined or in arrays, give the same outages."""
    records = envelopes(made[0]) if of == "envelopes" else list(map(json.loads, made[0].splitlines()))
    path = tmp_path / "log.json"
    path.write_text(ARRANGEMENTS[arrangement](records))
    result = run("analyze", path)
    if of == "envelopes":
        assert result.stdout == made[1]
    else:  # values are kept to the byte, so that white space in them is evidence too
        found, expected = (json.loads(text) | {"evidence": None} for text in (result.stdout, made[1]))
        assert found == expected


def test_an_envelope_carries_the_original_time_and_a_tombstone(tmp_path):
    """The header of a replayed record counts before its own time; a payload of null is an empty value."""
    lines = [
        {
            "topic": "t",
            "partition": 0,
            "offset": 0,
            "ts": 9,
            "headers": ["portallink-logged-at-ms", "5"],
            "payload": "x",
        },
        {"topic": "t", "partition": 0, "offset": 1, "ts": -1, "key": "k", "payload": None},
    ]
    (tmp_path / "log").write_text(
        "\n".join(json.dumps(line | {"topic": "t", "partition": 0}) for line in lines)
    )
    assert list(read_log(tmp_path / "log")) == [
        Record("t", 0, 0, 5, None, b"x"),
        Record("t", 0, 1, -1, b"k", b""),
    ]


def altered(content, change):
    """Return a log with a change made to each line."""
    return "".join(json.dumps(change(json.loads(line))) + "\n" for line in content.splitlines()).encode()


NOT_JUDGED = {
    "empty": (lambda _: b"", "the log holds no records"),
    "of another topic": (
        lambda c: altered(c, lambda line: line | {"topic": "weather"}),
        "none of the 1,444 records is of topic npd.lookups",
    ),
    "values as text": (
        lambda c: altered(c, lambda line: line | {"value": json.dumps(line["value"])}),
        "The value is text that holds JSON; jq -c '.value |= fromjson' FILE fixes it",
    ),
    "broker an hour behind": (
        lambda c: altered(c, lambda line: line | {"logged_at_ms": line["logged_at_ms"] - 3_600_000}),
        "clock_skew: occurred_at_ms is 3600000 ms ahead of the broker's time. The events are later",
    ),
    "no broker time": (
        lambda c: altered(c, lambda line: line | {"logged_at_ms": -1}),
        "absurd_time: logged_at_ms, the broker's time, is -1",
    ),
}


@pytest.mark.parametrize("case", NOT_JUDGED)
def test_where_nothing_was_judged_it_is_said_why(made, tmp_path, case):
    """A log of which no link could be judged ends with exit code 2 and the reason that all of it shares."""
    change, reason = NOT_JUDGED[case]
    path = tmp_path / "log.ndjson"
    path.write_bytes(change(made[0]))
    result = run("analyze", path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{path}: nothing was judged: " in result.stderr
    assert reason in result.stderr


def test_the_counts_add_up_where_dead_letters_come_last(made, tmp_path):
    """Dead letters after the last cut are counted as dead letters, and each record once."""
    lines = made[0].splitlines()
    bad = json.loads(lines[-1]) | {"offset": 10**6, "value": "text"}
    path = tmp_path / "log.ndjson"
    path.write_bytes(b"\n".join([*lines, json.dumps(bad).encode(), b""]))
    result = run("analyze", path)
    assert (
        "1,445 records: 1,444 applied, 0 duplicate, 0 late, 1 dead letters, 0 after the last cut"
        in result.stderr
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[1, 2]", "log:1: not a JSON object"),
        (b'{"a": 1}\n', "log:1: not a record of a log: Object missing required field `topic`"),
        (b'[{"topic": "t", "partition": 0, "offset": 1, "ts": 1}', "log:1: cut off"),
        (b"<html>", "log:1: an HTML page"),
        (gzip.compress(b'{"topic": "t"}', mtime=0)[:-3], "log:1: cut off in the middle of its gzip stream"),
    ],
)
def test_what_is_no_log_is_named_by_file_line_and_reason(tmp_path, content, reason):
    """A file that is not a log is refused for what is wrong with it; a whole one is never called cut off."""
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(LogFileError, match=reason.replace("[", r"\[")):
        list(read_log(tmp_path / "log"))


def test_a_last_line_that_is_whole_is_not_called_cut_off(tmp_path):
    """A last line without a line break that is JSON is told by what it lacks; half of one is cut off."""
    good = encode_line(Record("t", 0, 0, 1, None, b"{}"))
    (tmp_path / "log").write_bytes(good + b'\n{"topic": "t"}')
    with pytest.raises(LogFileError, match="log:2: Object missing required field `partition`"):
        list(read_log(tmp_path / "log"))
    (tmp_path / "log").write_bytes(good + b"\n" + good[:-3])
    with pytest.raises(LogFileError, match="log:2: the file is cut off in the middle of a record"):
        list(read_log(tmp_path / "log"))


NAMES = [
    "log.ndjson",
    "log.ndjson.zst",
    "log.ndjson.gz",
    "LOG.NDJSON.GZ",
    "log.parquet",
    "log",
    "new/log.ndjson",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_log_is_written_as_its_name_says(tmp_path, name):
    """`ingest --out` and `simulate --out` write what the name says, and it reads back as what was written."""
    (tmp_path / "records.json").write_text(json.dumps([client(T0, "a"), client(T0 + 1000, "b")]))
    path = tmp_path / name
    assert run("ingest", "xroad", tmp_path / "records.json", "--out", path).exit_code == 0
    reference = tmp_path / "reference.ndjson"
    assert run("ingest", "xroad", tmp_path / "records.json", "--out", reference).exit_code == 0
    assert list(read_log(path)) == list(read_log(reference))
    gathered = [entry for chunk in read_partitions(path) for entry in chunk.items()]
    assert sum(len(entries) for _, entries in gathered) == len(list(read_log(reference)))
    assert by_partition(read_log(path)) == by_partition(read_log(reference))
    magic = {".zst": b"\x28\xb5\x2f\xfd", ".gz": b"\x1f\x8b", ".parquet": b"PAR1"}
    assert path.read_bytes().startswith(magic.get(path.suffix.lower(), b'{"topic"'))
    if path.suffix == ".parquet":
        assert pl.read_parquet(path).columns == list(Record._fields)
    assert list(tmp_path.rglob("*.partial")) == []


@pytest.mark.parametrize("name", ["log.xz", "log.csv", "log.zip", "log.tar", ""])
@pytest.mark.parametrize("command", ["ingest", "simulate"])
def test_a_name_that_promises_another_form_is_refused(tmp_path, name, command):
    """A folder, or a name of a form that is not written, ends with exit code 2 and leaves nothing behind."""
    (tmp_path / "records.json").write_text(json.dumps([client(T0, "a")]))
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / name if name else tmp_path / "out"
    words = ("ingest", "xroad", tmp_path / "records.json") if command == "ingest" else ("simulate", "bad-day")
    result = run(*words, "--out", path)
    assert result.exit_code == 2
    assert "log.ndjson.zst" in result.stderr or ".ndjson.gz or .parquet" in result.stderr
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["out", "records.json"]


@settings(max_examples=40)
@given(st.data())
def test_any_cut_of_a_packed_log_is_noticed(made, tmp_path_factory, data):
    """A log packed with gzip or in Parquet and cut anywhere is refused."""
    folder = tmp_path_factory.mktemp("cut")
    whole = gzip.compress(made[0], mtime=0)
    path = folder / "log"
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole) - 1))])
    with pytest.raises(LogFileError):
        list(read_log(path))
