"""Unpacks a request's body within bounds."""

import zlib
from typing import Final

import zstandard

PIECE_BYTES: Final = 1 << 16
ENCODINGS: Final = ("gzip", "deflate", "zstd")


class BodyError(ValueError):
    """A body that is refused; ``status`` is the HTTP status of the response."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


def unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """Return a body as it was before its `Content-Encoding`.

    Raises:
        BodyError: it unpacks to more than ``most_bytes``, is damaged, or has an unknown encoding.
    """
    if encoding in ("", "identity"):
        whole = body
    elif encoding in ("gzip", "deflate"):
        whole = _inflated(body, 47 if encoding == "gzip" else 15, most_bytes)
    elif encoding == "zstd":
        whole = _unzstd(body, most_bytes)
    else:
        raise BodyError(415, f"Content-Encoding is one of {', '.join(ENCODINGS)}, or none")
    if len(whole) > most_bytes:
        raise too_large(most_bytes)
    return whole


def too_large(most_bytes: int) -> BodyError:
    """Return the error of a body that is too large."""
    return BodyError(413, f"the request holds more than {most_bytes:,} bytes; send smaller batches")


def _inflated(body: bytes, window_bits: int, most_bytes: int) -> bytes:
    inflating = zlib.decompressobj(window_bits)
    try:
        whole = inflating.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise BodyError(400, f"the body cannot be unpacked: {error}") from error
    if not inflating.eof and len(whole) <= most_bytes:
        raise BodyError(400, "the body cannot be unpacked: it is cut off")
    return whole


def _unzstd(body: bytes, most_bytes: int) -> bytes:
    pieces, size = [], 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
            while piece := reader.read(PIECE_BYTES):
                pieces.append(piece)
                size += len(piece)
                if size > most_bytes:
                    raise too_large(most_bytes)
    except zstandard.ZstdError as error:
        raise BodyError(400, f"the body cannot be unpacked: {error}") from error
    return b"".join(pieces)
