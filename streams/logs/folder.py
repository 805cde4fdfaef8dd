"""A captured log: a folder of segments, each of one partition, and a manifest with their digests.

A segment holds consecutive records of one partition as NDJSON (`.ndjson.zst`) or Parquet. It gets its final
name when it is complete, and is then added to the manifest, which is replaced atomically. So after any
interruption the folder is a valid log of what was written, and the capture resumes from there. The manifest
keeps a digest of every `CHECK_RECORDS` records, so that a change is detected and located. A Parquet file has
the columns topic, partition, offset, logged_at_ms, key and value, the last two as bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from heapq import merge
from itertools import groupby
from os import fsync
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct, field

from streams.logs.file import LogFileError, form_in, read_file
from streams.logs.whole import whole_file
from streams.logs.write import log_writer
from streams.model.border import UNREADABLE
from streams.model.digest import digest_of
from streams.model.measurement import Source
from streams.model.record import Record
from streams.model.settings import Settings

MANIFEST: Final = "manifest.json"
FORMAT: Final = "portallink-capture"
VERSION: Final = 1
CHECK_RECORDS: Final = 500

FileFormat = Literal["ndjson", "parquet"]
SUFFIXES: Final[dict[FileFormat, str]] = {"ndjson": ".ndjson.zst", "parquet": ".parquet"}

COLUMNS: Final = {
    "topic": "String",
    "partition": "Int32",
    "offset": "Int64",
    "logged_at_ms": "Int64",
    "key": "Binary",
    "value": "Binary",
}
"""Columns of a Parquet file, and their types by polars' names."""


class Segment(Struct, frozen=True):
    """One file: the records ``[first_offset, next_offset)`` of a partition that were wanted.

    ``digest`` is that of evidence (`streams.model.digest`); ``checks`` are digests of `CHECK_RECORDS` each.
    """

    file: str
    topic: str
    partition: int
    first_offset: int
    next_offset: int
    records: int
    first_logged_at_ms: int
    last_logged_at_ms: int
    digest: str
    checks: list[str]


class Range(Struct):
    """The offsets ``[first_offset, end_offset)`` requested of a partition; done up to ``next_offset``."""

    topic: str
    partition: int
    first_offset: int
    end_offset: int
    next_offset: int


class Manifest(Struct):
    """What a captured log holds; times in epoch milliseconds, None where unbounded.

    ``pseudonym_key`` identifies the key by which identifiers were replaced, without revealing it;
    ``settings`` are those of the stages that read the topics, as given to the command.
    """

    format: str
    version: int
    file_format: FileFormat
    ranges: list[Range] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    since_ms: int | None = None
    until_ms: int | None = None
    pseudonym_key: str | None = None
    settings: Settings | None = None

    @property
    def records(self) -> int:
        """How many records the segments hold."""
        return sum(segment.records for segment in self.segments)

    def held(self) -> list[Source]:
        """Return the offset ranges that the folder holds in full, without digests."""
        return [Source(r.topic, r.partition, r.first_offset, r.next_offset, "") for r in self.ranges]

    @property
    def complete(self) -> bool:
        """Whether everything requested was captured."""
        return all(wanted.next_offset >= wanted.end_offset for wanted in self.ranges)


def read_manifest(folder: Path) -> Manifest:
    """Return a folder's manifest; raise `LogFileError` if missing, not ours or of another version."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        head = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        said = {name: bytes(head.get(name, b"null")) for name in ("format", "version")}
        if said["format"] != msgspec.json.encode(FORMAT):
            raise LogFileError(path, 1, "not the manifest of a captured log")
        if said["version"] != b"%d" % VERSION:
            raise LogFileError(
                path, 1, f"version {said['version'].decode()}; this program reads version {VERSION}"
            )
        return msgspec.json.decode(content, type=Manifest)
    except FileNotFoundError as error:
        raise LogFileError(path, 1, "missing: the folder is not a captured log") from error
    except UNREADABLE as error:
        raise LogFileError(path, 1, str(error)) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically."""
    with whole_file(folder / MANIFEST) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        file.flush()
        fsync(file.fileno())


def write_segment(folder: Path, file_format: FileFormat, records: Sequence[Record]) -> Segment:
    """Write consecutive records of one partition and return their entry for the manifest."""
    first, last = records[0], records[-1]
    name = f"{first.topic}-{first.partition}-{first.offset:020d}{SUFFIXES[file_format]}"
    if file_format == "parquet":
        write_parquet(folder / name, records)
    else:
        with log_writer(folder / name) as writer:
            writer.write(records)
    return Segment(
        file=name,
        topic=first.topic,
        partition=first.partition,
        first_offset=first.offset,
        next_offset=last.offset + 1,
        records=len(records),
        first_logged_at_ms=min(record.logged_at_ms for record in records),
        last_logged_at_ms=max(record.logged_at_ms for record in records),
        digest=digest_of(record[2:] for record in records),
        checks=checks_of(records),
    )


def checks_of(records: Sequence[Record]) -> list[str]:
    """Return a short digest of every `CHECK_RECORDS` records, over offset, time, key and value."""
    checks = []
    for start in range(0, len(records), CHECK_RECORDS):
        digest = blake2b(digest_size=8)
        for _, _, offset, logged_at_ms, key, value in records[start : start + CHECK_RECORDS]:
            head = f"{offset} {logged_at_ms} {-1 if key is None else len(key)} {len(value)} "
            digest.update(head.encode() + (key or b"") + value)
        checks.append(digest.hexdigest())
    return checks


def read_segment(folder: Path, segment: Segment) -> list[Record]:
    """Return a segment's records, checked against the manifest.

    Raise `LogFileError` naming the file, the line (for Parquet the row) and what is wrong.
    """
    path = folder / segment.file
    try:
        records = list(read_parquet(path) if form_in(path) == "parquet" else read_file(path))
    except FileNotFoundError as error:
        raise LogFileError(path, 1, "missing, though the manifest lists it") from error
    for start, (found, kept) in enumerate(zip(checks_of(records), segment.checks, strict=False)):
        if found != kept and (start + 1) * CHECK_RECORDS <= len(records):
            first = start * CHECK_RECORDS + 1
            last = first + CHECK_RECORDS - 1
            reason = f"a record of lines {first} to {last} differs from what was captured"
            raise LogFileError(path, first, reason)
    if len(records) != segment.records:
        reason = f"holds {len(records)} records, the manifest says {segment.records}"
        raise LogFileError(path, len(records), reason)
    if checks_of(records) != segment.checks:
        first = (len(segment.checks) - 1) * CHECK_RECORDS + 1
        reason = f"a record of lines {first} to {segment.records} differs from what was captured"
        raise LogFileError(path, first, reason)
    return records


def read_folder(folder: Path, manifest: Manifest | None = None) -> Iterator[Record]:
    """Yield the records of a captured log by broker time, and within a partition in offset order.

    Raises `LogFileError` if a segment differs from the manifest, or, after the last record, if the capture is
    unfinished.
    """
    manifest = manifest or read_manifest(folder)
    ordered = sorted(manifest.segments, key=lambda part: (part.topic, part.partition, part.first_offset))
    streams = [
        _timed(folder, list(segments))
        for _, segments in groupby(ordered, key=lambda part: (part.topic, part.partition))
    ]
    for _, _, record in merge(*streams, key=lambda item: item[:2]):
        yield record
    if not manifest.complete:
        raise LogFileError(folder / MANIFEST, 1, "the capture is unfinished; run it again to resume it")


def _timed(folder: Path, segments: list[Segment]) -> Iterator[tuple[int, tuple[str, int], Record]]:
    """Yield a partition's records with a time that never decreases, so that merging keeps their order."""
    latest_ms = 0
    for segment in segments:
        for record in read_segment(folder, segment):
            latest_ms = max(latest_ms, record.logged_at_ms)
            yield latest_ms, record[:2], record


def write_parquet(path: Path, records: Iterable[Record]) -> None:
    """Write records to a Parquet file, which gets its final name when complete."""
    import polars as pl  # noqa: PLC0415 - slow to import, and needed for this format alone

    schema = {name: getattr(pl, kind) for name, kind in COLUMNS.items()}
    columns: list[Sequence[object]] = list(zip(*records, strict=True)) or [()] * len(COLUMNS)
    frame = pl.DataFrame(dict(zip(COLUMNS, columns, strict=True)), schema=schema)
    with whole_file(path) as file:
        frame.write_parquet(file, compression="zstd")


def read_parquet(path: Path) -> Iterator[Record]:
    """Yield the records of a Parquet file; raise `LogFileError` if it is not one."""
    import polars as pl  # noqa: PLC0415 - as above

    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise LogFileError(path, 1, f"not readable as Parquet: {error}") from error
    missing = [name for name, kind in COLUMNS.items() if str(frame.schema.get(name)) != kind]
    if missing:
        raise LogFileError(
            path, 1, f"not a log of records: column {missing[0]} is missing or of another type"
        )
    next_offsets: dict[tuple[str, int], int] = {}
    for number, row in enumerate(frame.select(*COLUMNS).iter_rows(), start=1):
        if any(value is None for value in (*row[:4], row[5])):
            raise LogFileError(path, number, "a column other than key is empty")
        record = Record(*row)
        if record.offset < next_offsets.get(record[:2], 0):
            raise LogFileError(path, number, f"offset {record.offset} is out of order or repeated")
        next_offsets[record[:2]] = record.offset + 1
        yield record
