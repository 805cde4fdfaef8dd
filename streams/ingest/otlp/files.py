"""Reads exports of spans from a file: JSON lines, one JSON text, protobuf frames, or one protobuf export.

A Collector's file exporter writes one export per line (`format: json`), or each export after its length in
four bytes, big-endian (`format: proto`; also either format with `compression: zstd`). The first byte tells
which: `{` begins JSON, 0 the length of a frame, and anything else one export in protobuf.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from streams.intake.errors import CutOffError, IntakeError

MOST_EXPORT_BYTES: Final = 64 * 1024 * 1024
LENGTH_BYTES: Final = 4
ZSTD: Final = b"\x28\xb5\x2f\xfd"

Unpack = Callable[[bytes], bytes]
"""Decompresses Zstandard data, up to `MOST_EXPORT_BYTES`."""


class Piece(NamedTuple):
    """One export: its number from 1, which is the line's number for JSON lines, and its bytes."""

    number: int
    data: bytes


def exports(chunks: Iterator[bytes], unpack: Unpack) -> Iterator[Piece]:
    """Yield the exports of a file's bytes.

    Raises:
        IntakeError: the bytes are cut off, or an export is too long.
    """
    source = _Source(chunks)
    first = source.peek(1)
    if first == b"\0":
        yield from _frames(source, unpack)
    elif first == b"{":
        yield from _lines(source)
    elif first:
        yield Piece(1, source.rest())


def _lines(source: "_Source") -> Iterator[Piece]:
    number = 0
    while (line := source.line()) is not None:
        number += 1
        text = line.strip()
        if not text:
            continue
        if not text.endswith(b"}"):  # one export over several lines
            yield Piece(number, line + source.rest())
            return
        yield Piece(number, text)


def _frames(source: "_Source", unpack: Unpack) -> Iterator[Piece]:
    number = 0
    while head := source.take(LENGTH_BYTES):
        number += 1
        length = int.from_bytes(head)
        if len(head) < LENGTH_BYTES or length > MOST_EXPORT_BYTES:
            raise IntakeError(
                f"export {number:,}: impossible length; the file is damaged or has another format"
            )
        data = source.take(length)
        if len(data) < length:
            raise CutOffError(f"export {number:,}: cut off")
        yield Piece(number, unpack(data) if data.startswith(ZSTD) else data)


class _Source:
    """Chunks of bytes, to be read in pieces of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""
        self._at = 0

    def _fill(self, wanted: int) -> None:
        """Buffer at least ``wanted`` bytes from the current position, if there are as many."""
        parts = [self._held[self._at :]]
        size = len(parts[0])
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= wanted:
                break
        self._held, self._at = b"".join(parts), 0

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes without consuming them."""
        if len(self._held) - self._at < size:
            self._fill(size)
        return self._held[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Return and consume the next ``size`` bytes, fewer at the end."""
        data = self.peek(size)
        self._at += len(data)
        return data

    def line(self) -> bytes | None:
        """Return the next line, None at the end."""
        wanted = 1 << 16
        while (end := self._held.find(b"\n", self._at)) < 0:
            held = len(self._held) - self._at
            if held > MOST_EXPORT_BYTES:
                raise _too_long()
            self._fill(wanted)
            wanted *= 2
            if len(self._held) - self._at == held:
                return self.take(held) if held else None
        return self.take(end + 1 - self._at)

    def rest(self) -> bytes:
        """Return everything that is left. Raises `IntakeError` if it is too long."""
        self._fill(MOST_EXPORT_BYTES + 1)
        if len(self._held) - self._at > MOST_EXPORT_BYTES:
            raise _too_long()
        return self.take(len(self._held) - self._at)


def _too_long() -> IntakeError:
    return IntakeError(f"an export is longer than {MOST_EXPORT_BYTES >> 20} MiB")
