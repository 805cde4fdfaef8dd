"""Unpack compressed streams in bounded memory, and refuse decompression bombs.

One stream may follow another (as in `cat a.gz b.gz`), with zeros between them as padding (as on tapes). Any
other bytes are an error: damage must not be mistaken for the end. A *bomb* is input that unpacks to more than
`BOMB_RATIO` times its size and more than `BOMB_FLOOR_BYTES`. DEFLATE reaches a ratio of 1,032, Zstandard far
more, and repetitive logs a few hundred at most.
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
"""The most bytes taken out of a stream at once."""
ZSTD_INPUT_BYTES: Final = 1 << 10
"""The most bytes put into a Zstandard stream at once. Its library does not bound the output, and 4 bytes can
unpack to 128 KiB, so this limits memory to about 100 MiB in the worst case."""
MAX_WINDOW_BYTES: Final = 1 << 28
"""The largest supported Zstandard window, that of `zstd --long=28`."""
XZ_MEMORY_BYTES: Final = 1 << 28
BOMB_FLOOR_BYTES: Final = 1 << 26
BOMB_RATIO: Final = 500


class Budget:
    """Counts the bytes read and the bytes unpacked, over all layers of one input."""

    def __init__(self) -> None:
        self.taken_bytes = 0
        self.given_bytes = 0

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks of the input itself, counting their bytes."""
        for chunk in chunks:
            self.taken_bytes += len(chunk)
            yield chunk

    def give(self, count: int) -> None:
        """Count unpacked bytes; raise `IntakeError` if they make the input a bomb."""
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
        """The bytes after the end."""


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
        while chunk and not self._stream.eof:  # bytes after the end are `unused_data`
            yield self._stream.decompress(chunk, OUTPUT_BYTES)
            chunk = self._stream.unconsumed_tail


class _Held:
    """bzip2 and xz, whose libraries keep output that was not requested yet."""

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
    """Yield the content of one or more consecutive compressed streams.

    Raises `CutOffError` if the last one does not end, `IntakeError` if one is damaged, needs too much memory
    or unpacks to too much.
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
                # A chunk may end within the magic number; the stream itself then reports what is wrong.
                if not rest.startswith(magic[: len(rest)]):
                    raise IntakeError(f"other bytes follow its {kind.value} stream: it is damaged")
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
