"""Log files on disk: NDJSON, compressed with Zstandard where the name ends in ``.zst``.

A folder is a captured log, see `logfolder`.
"""

import gc
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import lt
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import zstandard

from streams.logs.line import LogLineError, decode_line, decode_lines, decode_partitions, encode_line
from streams.model.record import ByPartition, Record, by_partition

if TYPE_CHECKING:
    from typing_extensions import Buffer

Chunk = TypeVar("Chunk")

CHUNK_RECORDS = 2048
BLOCK_BYTES = 1 << 18
"""Of lines decoded at once: a thousand records, so that what is made of them stays in a processor's cache."""


class LogFileError(Exception):
    """A log file that cannot be read; the message names file, line and reason."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"{path}:{line}: {reason}")


@contextmanager
def open_lines(path: Path) -> Iterator[BinaryIO]:
    """Open a log file for reading lines, decompressing as its name says."""
    with path.open("rb") as raw:
        if path.suffix != ".zst":
            yield raw
            return
        yield io.BufferedReader(_Decompressed(raw), 1 << 20)


class _Decompressed(io.RawIOBase):
    """The content of Zstandard frames; unlike the library's reader it notices a frame that is cut off."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._within = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        target = memoryview(buffer).cast("B")
        while not self._ready:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._raw.read(1 << 17)
            if not packed:
                if self._within:
                    raise EOFError("the file is cut off in the middle of a compressed frame")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = memoryview(self._frame.decompress(packed))
            self._within = not self._frame.eof
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def read_log(path: Path) -> Iterator[Record]:
    """Yield the records of a log file in file order, or of a captured folder in the order of logging.

    Raise `LogFileError` naming the line where a line is no record, a partition's offsets do not ascend,
    or the file ends in the middle of a line or of a compressed frame, or differs from its manifest.
    """
    for records in _read(path, decode_lines, by_partition, list):
        yield from records


def read_partitions(path: Path) -> Iterator[ByPartition]:
    """Yield what `read_log` does, by the thousand and by partition; where it raises, so does this."""
    return _read(path, decode_partitions, dict, by_partition)


def _read(
    path: Path,
    decode: Callable[[bytes], Chunk],
    sorted_out: Callable[[Chunk], ByPartition],
    gathered: Callable[[list[Record]], Chunk],
) -> Iterator[Chunk]:
    """Yield some thousand records at once, as ``decode`` makes them of lines and ``gathered`` of records."""
    if path.is_dir() or path.suffix == ".parquet":
        from streams.logs import folder as logfolder  # noqa: PLC0415 - it is built on this module

        records = logfolder.read_folder(path) if path.is_dir() else logfolder.read_parquet(path)
        yield from map(gathered, chunked(records))
        return
    next_offsets: dict[tuple[str, int], int] = {}
    before = 0
    try:
        with open_lines(path) as lines:
            for block in _blocks(lines):
                count = block.count(b"\n") + (not block.endswith(b"\n"))
                try:
                    chunk = decode(block)
                    in_order = _ascend(sorted_out(chunk), count, next_offsets)
                except LogLineError:
                    in_order = False
                if in_order:
                    yield chunk
                else:  # something is odd: line by line it is found, and named
                    yield from map(gathered, chunked(_line_by_line(path, block, before, next_offsets)))
                before += count
    except (zstandard.ZstdError, EOFError) as error:
        raise LogFileError(path, before + 1, str(error)) from error


def chunked(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records by the thousand; those before a fault as well, and then the fault."""
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


def _blocks(lines: BinaryIO) -> Iterator[bytes]:
    """Yield blocks of whole lines, only the last perhaps without its line break.

    Those before a fault come as well, and then the fault.
    """
    parts: list[bytes] = []
    size = 0
    try:
        while part := lines.read1(BLOCK_BYTES):  # type: ignore[attr-defined] # every reader here is buffered
            parts.append(part)
            size += len(part)
            if size >= BLOCK_BYTES and (end := part.rfind(b"\n") + 1):
                rest = part[end:]
                parts[-1] = part[:end]
                yield b"".join(parts)
                parts, size = [rest], len(rest)
    except (zstandard.ZstdError, EOFError):
        whole = b"".join(parts)
        if end := whole.rfind(b"\n") + 1:
            yield whole[:end]
        raise
    if size:
        yield b"".join(parts)


def _ascend(partitions: ByPartition, count: int, next_offsets: dict[tuple[str, int], int]) -> bool:
    """Say whether there are so many records, each partition's ascending; if so, note where each goes on."""
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
    """Yield the records of a block, `before` lines standing before it, up to one that is wrong."""
    for number, line in enumerate(io.BytesIO(block), start=before + 1):
        if line.isspace():
            continue
        try:
            record = decode_line(line)
        except LogLineError as error:
            cut_off = not line.endswith(b"\n")
            reason = "the file is cut off in the middle of a record" if cut_off else str(error)
            raise LogFileError(path, number, reason) from error
        source = record[:2]
        if record.offset < next_offsets.get(source, 0):
            reason = (
                f"offset {record.offset} of {record.topic}/{record.partition} stands after "
                f"offset {next_offsets[source] - 1}: the records are out of order or repeated"
            )
            raise LogFileError(path, number, reason)
        next_offsets[source] = record.offset + 1
        yield record


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for cycles seldom: records and measurements are many objects, and none makes one."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def log_writer(path: Path) -> Iterator["LogWriter"]:
    """Write a log file; it appears under its name only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as raw:
        if path.suffix == ".zst":
            with zstandard.ZstdCompressor(level=1).stream_writer(raw, closefd=False) as stream:
                yield LogWriter(stream)
        else:
            yield LogWriter(raw)
    partial.replace(path)


class LogWriter:
    """Appends records to an open log file."""

    def __init__(self, stream: "BinaryIO | zstandard.ZstdCompressionWriter") -> None:
        self._stream = stream

    def write(self, records: Iterable[Record]) -> None:
        """Append records in the order given."""
        self._stream.write(b"".join([encode_line(record) + b"\n" for record in records]))

    def write_lines(self, lines: Iterable[bytes]) -> None:
        """Append lines that are records already, each with its line break.

        For who makes the values and need not have each one checked: `encode_line` reads every value again.
        """
        self._stream.write(b"".join(lines))
