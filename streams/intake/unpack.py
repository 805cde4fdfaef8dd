"""Compressed streams to their content, with bounded memory, and a refusal where the content has no measure.

A stream may stand behind another (as `cat a.gz b.gz` leaves it), padded with zeros (as tapes do). Bytes
that are neither are a fault: what is damaged must not be taken for the end. A *bomb* is input of which more
than `BOMB_RATIO` times its size came out, beyond `BOMB_FLOOR_BYTES`; DEFLATE reaches 1,032, Zstandard far
more, and repetitive logs some hundreds at the most.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import zstandard

from streams.intake.errors import CutOffError, IntakeError
from streams.intake.kinds import Kind

OUTPUT_BYTES: Final = 1 << 18
"""How much is taken out of a stream at once."""
ZSTD_INPUT_BYTES: Final = 1 << 10
"""How much is put into a Zstandard stream at once: its library has no bound on what comes out, and 4 bytes
can stand for 128 KiB, so this bounds memory at 100 MiB in the worst case."""
MAX_WINDOW_BYTES: Final = 1 << 28
"""The largest Zstandard window that is read, that of `zstd --long=28`."""
XZ_MEMORY_BYTES: Final = 1 << 28
BOMB_FLOOR_BYTES: Final = 1 << 26
BOMB_RATIO: Final = 500


class Budget:
    """How much came in and how much came out, over all layers of one input."""

    def __init__(self) -> None:
        self.taken_bytes = 0
        self.given_bytes = 0

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of the input itself, counting them."""
        for chunk in chunks:
            self.taken_bytes += len(chunk)
            yield chunk

    def give(self, count: int) -> None:
        """Count what was unpacked; raise `IntakeError` where it is out of all proportion."""
        self.given_bytes += count
        if self.given_bytes > max(BOMB_FLOOR_BYTES, BOMB_RATIO * self.taken_bytes):
            raise IntakeError(
                f"a decompression bomb: {self.taken_bytes:,} bytes became {self.given_bytes:,} and more; "
                "if you trust it, unpack it yourself and give the content"
            )


class Stream(Protocol):
    """One compressed stream: the common part of the libraries' decompressors."""

    @property
    def eof(self) -> bool:
        """Whether the stream's end was reached."""

    @property
    def unused_data(self) -> bytes:
        """What stands behind the end."""


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def outputs(self, chunk: bytes) -> Iterator[bytes]:
        while chunk and not self._stream.eof:  # what stands behind the end is `unused_data`
            yield self._stream.decompress(chunk, OUTPUT_BYTES)
            chunk = self._stream.unconsumed_tail


class _Held:
    """bzip2 and xz: what is not yet wanted is held by the library."""

    def __init__(self, stream: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._stream = stream

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def outputs(self, chunk: bytes) -> Iterator[bytes]:
        yield self._stream.decompress(chunk, OUTPUT_BYTES)
        while not self._stream.eof and not self._stream.needs_input:
            yield self._stream.decompress(b"", OUTPUT_BYTES)


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return self._stream.eof

    def outputs(self, chunk: bytes) -> Iterator[bytes]:
        for at in range(0, len(chunk), ZSTD_INPUT_BYTES):
            yield self._stream.decompress(chunk[at : at + ZSTD_INPUT_BYTES])
            if self._stream.eof:
                self.unused_data = self._stream.unused_data + chunk[at + ZSTD_INPUT_BYTES :]
                return


_STREAMS: Final[dict[Kind, tuple[bytes, Callable[[], _Gzip | _Held | _Zstd]]]] = {
    Kind.GZIP: (b"\x1f\x8b", _Gzip),
    Kind.BZIP2: (b"BZh", lambda: _Held(bz2.BZ2Decompressor())),
    Kind.XZ: (b"\xfd7zXZ\x00", lambda: _Held(lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES))),
    Kind.ZSTD: (b"", _Zstd),
}


def unpacked(chunks: Iterable[bytes], kind: Kind, budget: Budget) -> Iterator[bytes]:
    """Yield the content of one compressed stream after the other.

    Raise `CutOffError` where the last does not end, `IntakeError` where one is damaged, wants too much
    memory or gives too much.
    """
    magic, begin = _STREAMS[kind]
    stream, within = begin(), False
    for chunk in chunks:
        rest = chunk
        while rest:
            if not within:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                # The mark may be cut in two by the pieces; the stream itself then says what is wrong.
                if not rest.startswith(magic[: len(rest)]):
                    raise IntakeError(f"something else stands behind its {kind.value} stream: it is damaged")
                stream, within = begin(), True
            try:
                for output in stream.outputs(rest):
                    if output:
                        budget.give(len(output))
                        yield output
            except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError) as error:
                raise IntakeError(_why(kind, error)) from error
            rest = stream.unused_data if stream.eof else b""
            within = not stream.eof
    if within:
        raise CutOffError(f"cut off in the middle of its {kind.value} stream")


def _why(kind: Kind, error: Exception) -> str:
    said = str(error)
    if "memory" in said.lower():
        command = "zstd -dc --long=31" if kind is Kind.ZSTD else "xz -dc"
        return (
            f"its {kind.value} stream needs more than {MAX_WINDOW_BYTES >> 20} MiB of memory; "
            f"unpack it on the way in: {command} FILE | portallink ... -"
        )
    return f"its {kind.value} stream is damaged: {said}"
