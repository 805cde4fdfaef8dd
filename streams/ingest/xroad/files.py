"""The shapes in which X-Road's operational monitoring arrives, read from files or standard input.

A JSON array of records, `{"records": [...]}` as the security server answers it, one record or one such
answer a line (NDJSON), and gzip of each. What a file is shows in its first bytes, not in its name.
"""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final, cast

import msgspec
from msgspec import Raw, Struct

from streams.ingest.xroad.record import NotXRoadError, RejectedRecordError, XRoadRecord, parse_record

GZIP_MAGIC: Final = b"\x1f\x8b"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
STDIN: Final = "-"


class XRoadFileError(ValueError):
    """A file that holds no operational-monitoring records at all; the message names it and says why."""


class Reject(Struct, frozen=True):
    """A record that was not used: `record` counts from 1 within its file, `line` is None inside an array."""

    file: str
    record: int
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.reason}"

    @property
    def place(self) -> str:
        """Where in the file it stands."""
        return f"record {self.record}" if self.line is None else f"line {self.line}, record {self.record}"


class _Answer(Struct):
    records: list[Raw] | None = None


_any_array: Final = msgspec.json.Decoder(list[Raw])
_answer: Final = msgspec.json.Decoder(_Answer)


def read_xroad(name: str) -> Iterator[XRoadRecord | Reject]:
    """Yield every record of a file (`-` for standard input), or why it was rejected, in file order.

    Raise `XRoadFileError` if the file is unreadable, or holds something but no single record of X-Road.
    """
    total = foreign = 0
    reason = ""
    try:
        with _opened(name) as stream:
            for number, (line, document) in enumerate(_documents(stream), start=1):
                total += 1
                try:
                    yield parse_record(document)
                except RejectedRecordError as error:
                    foreign += isinstance(error, NotXRoadError)
                    reason = reason or str(error)
                    yield Reject(name, number, line, str(error))
    except (OSError, EOFError, zlib.error) as error:
        raise XRoadFileError(f"{name}: not readable: {error}") from error
    except msgspec.DecodeError as error:
        raise XRoadFileError(f"{name}: not JSON from beginning to end: {error}") from error
    if total and total == foreign:
        raise XRoadFileError(
            f"{name}: none of its {total} entries is an X-Road operational-monitoring record "
            f'(the first: {reason}); expected are a JSON array, {{"records": [...]}} or NDJSON of records '
            "with requestInTs, responseOutTs, succeeded"
        )


@contextmanager
def _opened(name: str) -> Iterator[io.BufferedReader]:
    if name == STDIN:
        # Wrapped once more, as whatever stands in for standard input need not be able to peek.
        yield _unpacked(io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer)))
        return
    with Path(name).open("rb") as raw:
        yield _unpacked(raw)


def _unpacked(raw: io.BufferedReader) -> io.BufferedReader:
    if raw.peek(2)[:2] != GZIP_MAGIC:
        return raw
    unpacked: io.BufferedIOBase = gzip.GzipFile(fileobj=raw)
    return io.BufferedReader(cast("io.RawIOBase", unpacked), 1 << 20)


def _documents(stream: io.BufferedReader) -> Iterator[tuple[int | None, Raw | bytes]]:
    """Yield each record's JSON with its line, None where lines mean nothing."""
    if stream.peek(3)[:3] == BYTE_ORDER_MARK:
        stream.read(3)
    number, first = 0, b""
    for first in stream:
        number += 1
        if not first.isspace():
            break
    if not first or first.isspace():
        return
    if _is_object(first):
        yield from _lines(chain([first], stream), number)
        return
    # A document over several lines, or an array on one.
    whole = first + stream.read()
    try:
        documents = _any_array.decode(whole) if first.lstrip()[:1] == b"[" else _records_of(whole)
    except msgspec.DecodeError:
        if not any(map(_is_object, whole.splitlines())):
            raise
        yield from _lines(iter(whole.splitlines(keepends=True)), number)
    else:
        yield from ((None, document) for document in documents)


def _is_object(line: bytes) -> bool:
    if line.lstrip()[:1] != b"{":
        return False
    try:
        msgspec.json.decode(line, type=Raw)
    except msgspec.DecodeError:
        return False
    return True


def _lines(lines: Iterator[bytes], first_number: int) -> Iterator[tuple[int, Raw | bytes]]:
    for number, line in enumerate(lines, start=first_number):
        if line.isspace():
            continue
        documents = _records_of(line) if b'"records"' in line else [line]
        yield from ((number, document) for document in documents)


def _records_of(document: bytes) -> list[Raw | bytes]:
    """Return the records of an answer, or the document itself where it is none."""
    try:
        records = _answer.decode(document).records
    except msgspec.ValidationError:
        records = None
    return [document] if records is None else list(records)
