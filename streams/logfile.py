"""Log files on disk: NDJSON, compressed with Zstandard where the name ends in ``.zst``."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from streams.model.logline import LogLineError, decode_line, encode_line
from streams.model.record import Record


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
        with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
            yield io.BufferedReader(stream, 1 << 20)


def read_log(path: Path) -> Iterator[Record]:
    """Yield the records of a log file in file order.

    Raise `LogFileError` naming the line where a line is no record, a partition's offsets do not ascend,
    or the file ends in the middle of a line or of a compressed frame.
    """
    next_offsets: dict[tuple[str, int], int] = {}
    number, cut_off = 0, False
    try:
        with open_lines(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.isspace():
                    continue
                cut_off = not line.endswith(b"\n")
                record = decode_line(line)
                source = record[:2]
                if record.offset < next_offsets.get(source, 0):
                    raise LogFileError(
                        path,
                        number,
                        f"offset {record.offset} of {record.topic}/{record.partition} stands after "
                        f"offset {next_offsets[source] - 1}: the records are out of order or repeated",
                    )
                next_offsets[source] = record.offset + 1
                yield record
    except LogLineError as error:
        reason = "the file is cut off in the middle of a record" if cut_off else str(error)
        raise LogFileError(path, number, reason) from error
    except (zstandard.ZstdError, EOFError) as error:
        raise LogFileError(path, number + 1, f"not readable as Zstandard: {error}") from error


@contextmanager
def log_writer(path: Path) -> Iterator["LogWriter"]:
    """Write a log file; it appears under its name only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as raw:
        if path.suffix == ".zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as stream:
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
