"""Reading log files: NDJSON, compressed or not.

The content decides how a file is read, not its name; `streams.intake` unpacks it. A file whose first line is
not a record in our format is read as JSON in any arrangement, of our records or of kcat's envelopes. A folder
is a captured log, see `folder`.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import lt
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from streams.intake.errors import IntakeError
from streams.intake.kinds import HEAD_BYTES, Kind, kind_of
from streams.intake.parts import Part
from streams.intake.shell import opened
from streams.intake.split import Damage, documents
from streams.logs.line import (
    LogLineError,
    decode_line,
    decode_lines,
    decode_partitions,
    decode_record,
)
from streams.model.border import UNREADABLE
from streams.model.record import ByPartition, Record, by_partition

Chunk = TypeVar("Chunk")

CHUNK_RECORDS = 2048
BLOCK_BYTES = 1 << 18
"""Bytes decoded at once: about a thousand records, so that their objects stay in the CPU's cache."""
MAX_LINE_BYTES: Final = 1 << 26
"""A line of a log is a record; Kafka's own bound on one is a tenth of this."""
Form = Literal["plain", "zst", "gz", "parquet"]
FORMS: Final[dict[str, Form]] = {".zst": "zst", ".gz": "gz", ".parquet": "parquet"}
"""The forms of a log file, by file extension."""
PARQUET_MAGIC: Final = b"PAR1"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class LogFileError(Exception):
    """A log file that cannot be read; the message names file, line and reason."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"{path}:{line}: {reason}")


def read_file(path: Path) -> Iterator[Record]:
    """Yield the records of a log file in file order.

    Raises:
        LogFileError: a line is not a record, a partition's offsets do not ascend, or the file ends in the
            middle of a line or of a compressed frame; the message names the line.
    """
    for records in _read(path, decode_lines, by_partition, list):
        yield from records


def file_partitions(path: Path) -> Iterator[ByPartition]:
    """Like `read_file`, but yield chunks of about a thousand records, by partition; same errors."""
    return _read(path, decode_partitions, dict, by_partition)


def _read(
    path: Path,
    decode: Callable[[bytes], Chunk],
    sorted_out: Callable[[Chunk], ByPartition],
    gathered: Callable[[list[Record]], Chunk],
) -> Iterator[Chunk]:
    """Yield chunks of about a thousand records, from lines by ``decode`` or from records by ``gathered``."""
    next_offsets: dict[tuple[str, int], int] = {}
    here = _Place(path)
    try:
        with opened(str(path)) as parts:
            for part in parts:
                here.path, here.lines = Path(part.name), 0
                yield from _part(part, here, next_offsets, decode, sorted_out, gathered)
    except IntakeError as error:
        raise LogFileError(here.path, error.line or here.lines + 1, error.reason) from error


@dataclass
class _Place:
    """The text being read, and the number of its lines read so far."""

    path: Path
    lines: int = 0


def _part(
    part: Part,
    here: "_Place",
    next_offsets: dict[tuple[str, int], int],
    decode: Callable[[bytes], Chunk],
    sorted_out: Callable[[Chunk], ByPartition],
    gathered: Callable[[list[Record]], Chunk],
) -> Iterator[Chunk]:
    """Yield the records of one text; update ``here`` with its name and the number of lines read."""
    blocks = _blocks(part.chunks)
    first = next(blocks, b"")
    if not _is_ours(first):
        yield from map(gathered, chunked(_any_records(here.path, chain([first], blocks), next_offsets)))
        return
    before = 0
    for block in chain([first] if first else [], blocks):
        count = block.count(b"\n") + (not block.endswith(b"\n"))
        try:
            chunk = decode(block)
            in_order = _ascend(sorted_out(chunk), count, next_offsets)
        except LogLineError:
            in_order = False
        if in_order:
            yield chunk
        else:  # a line is wrong: reading line by line finds and names it
            yield from map(gathered, chunked(_line_by_line(here.path, block, before, next_offsets)))
        before += count
        here.lines = before


def form_in(path: Path) -> Form:
    """Return the form of a file from its first bytes; `plain` unless it is one of the others we write."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    kinds: dict[Kind, Form] = {Kind.ZSTD: "zst", Kind.GZIP: "gz"}
    return kinds.get(kind_of(head), "plain")


def first_line(path: Path) -> bytes:
    """Return a file's first non-empty line; raise `LogFileError` if the file cannot be unpacked."""
    try:
        with opened(str(path)) as parts:
            for part in parts:
                if (block := next(_blocks(part.chunks), b"")).strip():
                    return block.removeprefix(BYTE_ORDER_MARK).lstrip().split(b"\n", 1)[0]
    except IntakeError as error:
        raise LogFileError(path, 1, error.reason) from error
    return b""


def _is_ours(block: bytes) -> bool:
    """Return whether to read a text line by line: its first line is a record in our format, or empty."""
    line = block.removeprefix(BYTE_ORDER_MARK).lstrip().split(b"\n", 1)[0]
    if not line:
        return True
    try:
        decode_line(line)
    except LogLineError:
        return False
    return True


def _any_records(
    path: Path, chunks: Iterable[bytes], next_offsets: dict[tuple[str, int], int]
) -> Iterator[Record]:
    """Yield the records of JSON in any arrangement, ours or in envelopes."""
    for entry in documents(chunks, containers=()):
        if isinstance(entry, Damage):
            raise LogFileError(path, entry.line, entry.reason)
        try:
            record = decode_record(entry.data)
        except LogLineError as error:
            raise LogFileError(path, entry.line, str(error)) from error
        _in_order(path, entry.line, record, next_offsets)
        yield record


def chunked(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records in chunks; on an error, yield the records before it and then raise."""
    chunk: list[Record] = []
    try:
        for record in records:
            chunk.append(record)
            if len(chunk) == CHUNK_RECORDS:
                yield chunk
                chunk = []
    except LogFileError:
        yield chunk
        raise
    yield chunk


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines; only the last may lack its line break.

    On an error, the lines before it are yielded first.
    """
    parts: list[bytes] = []
    size = 0
    try:
        for part in chunks:
            parts.append(part)
            size += len(part)
            if size >= BLOCK_BYTES and (end := part.rfind(b"\n") + 1):
                rest = part[end:]
                parts[-1] = part[:end]
                yield b"".join(parts)
                parts, size = [rest], len(rest)
            elif size > MAX_LINE_BYTES:
                _refuse_line(parts)
    except IntakeError:
        whole = b"".join(parts)
        if end := whole.rfind(b"\n") + 1:
            yield whole[:end]
        raise
    if size:
        yield b"".join(parts)


def _refuse_line(parts: list[bytes]) -> None:
    parts.clear()
    raise IntakeError(f"a line longer than {MAX_LINE_BYTES >> 20} MiB: not a log of records")


def _ascend(partitions: ByPartition, count: int, next_offsets: dict[tuple[str, int], int]) -> bool:
    """Return whether there are ``count`` records, ascending in each partition; if so, note the offsets."""
    ahead = dict(next_offsets)
    for source, entries in partitions.items():
        count -= len(entries)
        offsets = [entry[0] for entry in entries]
        if offsets[0] < ahead.get(source, 0) or not all(map(lt, offsets, offsets[1:])):
            return False
        ahead[source] = offsets[-1] + 1
    if count:
        return False
    next_offsets.update(ahead)
    return True


def _line_by_line(
    path: Path, block: bytes, before: int, next_offsets: dict[tuple[str, int], int]
) -> Iterator[Record]:
    """Yield the records of a block up to the first invalid line; `before` lines precede the block."""
    for number, line in enumerate(block.split(b"\n"), start=before + 1):
        said = line.removeprefix(BYTE_ORDER_MARK)
        if not said or said.isspace():
            continue
        try:
            record = decode_line(said)
        except LogLineError as error:
            cut_off = number == before + block.count(b"\n") + 1 and not _is_whole(said)
            reason = "the file is cut off in the middle of a record" if cut_off else str(error)
            raise LogFileError(path, number, reason) from error
        _in_order(path, number, record, next_offsets)
        yield record


def _is_whole(line: bytes) -> bool:
    """Return whether a line is complete JSON."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True


def _in_order(path: Path, line: int, record: Record, next_offsets: dict[tuple[str, int], int]) -> None:
    """Note the next offset of a record's partition; raise `LogFileError` if its offset is not in order."""
    source = record[:2]
    if record.offset < next_offsets.get(source, 0):
        reason = (
            f"offset {record.offset} of {record.topic}/{record.partition} comes after "
            f"offset {next_offsets[source] - 1}: the records are out of order or repeated"
        )
        raise LogFileError(path, line, reason)
    next_offsets[source] = record.offset + 1


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Collect garbage rarely: records and measurements are many objects but form no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
