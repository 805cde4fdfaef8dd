"""Captured logs on disk: what is read back, and what is refused with its place."""

import json
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streams.logs.file import LogFileError
from streams.logs.folder import (
    FORMAT,
    MANIFEST,
    VERSION,
    Manifest,
    Range,
    read_manifest,
    write_manifest,
    write_parquet,
    write_segment,
)
from streams.logs.read import read_log
from streams.logs.write import log_writer
from streams.model.record import Record

T0 = 1_686_531_600_000


def records_of(partition, count, first=0, step_ms=40):
    """Return consecutive records of a partition."""
    return [
        Record("t", partition, n, T0 + n * step_ms + partition, b"k%d" % n, b'{"n": %d}' % n)
        for n in range(first, first + count)
    ]


def fill(folder: Path, file_format="ndjson", *, end=None) -> Manifest:
    """Write a captured log of two partitions in three segments."""
    folder.mkdir()
    parts = [records_of(0, 1200), records_of(0, 300, first=1200), records_of(1, 700, step_ms=70)]
    segments = [write_segment(folder, file_format, part) for part in parts]
    ranges = [Range("t", 0, 0, end or 1500, 1500), Range("t", 1, 0, 700, 700)]
    manifest = Manifest(FORMAT, VERSION, file_format, ranges, segments)
    write_manifest(folder, manifest)
    return manifest


@pytest.fixture(params=["ndjson", "parquet"])
def folder(request, tmp_path):
    """Return a captured log in either format."""
    fill(tmp_path / "log", request.param)
    return tmp_path / "log"


def test_partitions_come_back_merged_by_time(folder):
    """Every record comes back as it was, in the order of logging, each partition in its own order."""
    found = list(read_log(folder))
    assert sorted(found) == sorted(records_of(0, 1500) + records_of(1, 700, step_ms=70))
    assert [record.logged_at_ms for record in found] == sorted(record.logged_at_ms for record in found)
    assert read_manifest(folder).complete


def edit(folder: Path, name: str, change) -> Path:
    """Change the lines of an NDJSON segment, or the rows of a Parquet one."""
    path = next(folder.glob(name + "*"))
    if path.suffix == ".parquet":
        records = list(read_log(path))
        change(records)
        write_parquet(path, records)
    else:
        lines = zstandard.decompress(path.read_bytes(), max_output_size=10**7).splitlines(keepends=True)
        change(lines)
        path.write_bytes(zstandard.compress(b"".join(lines)))
    return path


def edited_value(lines):
    """Change one value: record 777."""
    if isinstance(lines[776], Record):
        lines[776] = lines[776]._replace(value=b'{"n": 9}')
    else:
        lines[776] = lines[776].replace(b'"n": 776', b'"n": 779')


def edited_time(lines):
    """Change the broker's time of one record."""
    if isinstance(lines[3], Record):
        lines[3] = lines[3]._replace(logged_at_ms=T0)
    else:
        lines[3] = lines[3].replace(b"%d" % (T0 + 120), b"%d" % (T0 + 121))


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (edited_value, 501, "lines 501 to 1000 differs from what was captured"),
        (edited_time, 1, "lines 1 to 500 differs from what was captured"),
        (lambda lines: lines.pop(), 1199, "holds 1199 records, the manifest says 1200"),
        (lambda lines: lines.pop(0), 1, "lines 1 to 500"),
        (lambda lines: lines.reverse(), 2, "order"),
    ],
    ids=["edited", "time", "cut-at-the-end", "cut-at-the-start", "reordered"],
)
def test_a_changed_segment_is_refused_with_its_line(folder, change, line, reason):
    """Editing, cutting or reordering a segment is found, with file, line and what is wrong."""
    path = edit(folder, "t-0-00000000000000000000", change)
    with pytest.raises(LogFileError) as refused:
        list(read_log(folder))
    assert refused.value.path == path
    assert refused.value.line == line
    assert reason in refused.value.reason


def test_a_missing_segment_is_refused(folder):
    """A segment that the manifest lists and the folder lacks is named."""
    path = next(folder.glob("t-1-*"))
    path.unlink()
    with pytest.raises(LogFileError, match="missing, though the manifest lists it"):
        list(read_log(folder))


def test_foreign_manifests_are_refused(folder):
    """Another format, another version, no JSON and no manifest each get their own reason."""
    path = folder / MANIFEST
    content = json.loads(path.read_text("utf-8"))
    for change, reason in (
        ({"version": 2}, "version 2; this program reads version 1"),
        ({"format": "mirror"}, "not the manifest of a captured log"),
        ({"ranges": 1}, "ranges"),
    ):
        path.write_text(json.dumps(content | change), "utf-8")
        with pytest.raises(LogFileError, match=reason):
            list(read_log(folder))
    path.write_text("{", "utf-8")
    with pytest.raises(LogFileError, match=MANIFEST):
        list(read_log(folder))
    path.unlink()
    with pytest.raises(LogFileError, match="not a captured log"):
        list(read_log(folder))


def test_an_unfinished_capture_is_reported_after_its_records(tmp_path):
    """What was captured can be read; that it is not all is said at the end."""
    fill(tmp_path / "log", end=2000)
    found = []
    with pytest.raises(LogFileError, match="unfinished"):
        found.extend(read_log(tmp_path / "log"))
    records = read_log(tmp_path / "log")
    assert next(records).offset == 0


def test_every_cut_of_a_compressed_log_is_noticed(tmp_path):
    """A `.zst` file cut anywhere is refused, also where the cut falls between two records."""
    path = tmp_path / "log.ndjson.zst"
    with log_writer(path) as writer:
        writer.write(records_of(0, 3000))
    whole = path.read_bytes()
    for size in range(1, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(LogFileError, match="cut off"):
            list(read_log(path))
    path.write_bytes(whole + zstandard.compress(b""))
    assert len(list(read_log(path))) == 3000


@given(
    st.lists(
        st.tuples(
            st.none() | st.binary(max_size=20), st.binary(max_size=60) | st.just(b'{"a": [1, "\xc3\xa9"]}')
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_bytes_survive_either_format(tmp_path_factory, pairs):
    """Keys and values of any bytes come back to the letter from NDJSON, compressed NDJSON and Parquet."""
    records = [Record("t", 0, n, T0 + n, key, value) for n, (key, value) in enumerate(pairs)]
    folder = tmp_path_factory.mktemp("log")
    for name in ("log.ndjson", "log.ndjson.zst"):
        with log_writer(folder / name) as writer:
            writer.write(records)
        assert list(read_log(folder / name)) == records
    write_parquet(folder / "log.parquet", records)
    assert list(read_log(folder / "log.parquet")) == records


def test_parquet_that_is_no_log_is_refused(tmp_path):
    """A Parquet file of other columns, or no Parquet file, is refused."""
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(LogFileError, match="column topic"):
        list(read_log(path))
    path.write_bytes(b"PAR1")
    with pytest.raises(LogFileError, match="not readable as Parquet"):
        list(read_log(path))
