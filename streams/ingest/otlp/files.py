"""Exports of spans out of a file: lines of JSON, one JSON, frames of protobuf, or one export in protobuf.

A Collector's file exporter writes an export a line (`format: json`), or each behind its length in four bytes,
big-endian (`format: proto`, and with `compression: zstd` either). Which it is shows in the first byte: `{`
begins JSON, 0 the length of a frame, and anything else one export in protobuf.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from streams.intake.errors import CutOffError, IntakeError

MOST_EXPORT_BYTES: Final = 64 * 1024 * 1024
LENGTH_BYTES: Final = 4
ZSTD: Final = b"\x28\xb5\x2f\xfd"

Unpack = Callable[[bytes], bytes]
"""Unpacks what is compressed with Zstandard, within `MOST_EXPORT_BYTES`."""


class Piece(NamedTuple):
    """One export: its number from 1, which for lines of JSON is the line's, and its bytes."""

    number: int
    data: bytes


def exports(chunks: Iterator[bytes], unpack: Unpack) -> Iterator[Piece]:
    """Yield the exports of a file's bytes.

    Raises:
        IntakeError: they are cut off, or one is too long.
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
        if not text.endswith(b"}"):  # one export, printed over several lines
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
                f"export {number:,}: its length cannot be; the file is damaged or of another form"
            )
        data = source.take(length)
        if len(data) < length:
            raise CutOffError(f"export {number:,}: cut off")
        yield Piece(number, unpack(data) if data.startswith(ZSTD) else data)


class _Source:
    """Bytes that are taken in pieces of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""
        self._at = 0

    def _fill(self, wanted: int) -> None:
        """Hold so many bytes from here on, if there are."""
        parts = [self._held[self._at :]]
        size = len(parts[0])
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= wanted:
                break
        self._held, self._at = b"".join(parts), 0

    def peek(self, size: int) -> bytes:
        """Return the next bytes, and leave them."""
        if len(self._held) - self._at < size:
            self._fill(size)
        return self._held[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""
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
        """Return everything that is left."""
        self._fill(MOST_EXPORT_BYTES + 1)
        if len(self._held) - self._at > MOST_EXPORT_BYTES:
            raise _too_long()
        return self.take(len(self._held) - self._at)


def _too_long() -> IntakeError:
    return IntakeError(f"an export is longer than {MOST_EXPORT_BYTES >> 20} MiB")
