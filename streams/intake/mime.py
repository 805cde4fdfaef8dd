"""Split a multipart message (RFC 2046): a security server sends SOAP, then the records as gzip."""

from collections.abc import Iterable, Iterator
from re import IGNORECASE, MULTILINE
from re import compile as pattern
from typing import Final

from streams.intake.errors import CutOffError, IntakeError

MAX_HEADER_BYTES: Final = 1 << 16

Part = tuple[bytes, Iterator[bytes]]

_BLANK_LINE: Final = pattern(rb"\r?\n\r?\n")
_BOUNDARY: Final = pattern(rb'boundary="?([^"\s;]{1,70})"?', IGNORECASE)
_DELIMITER: Final = pattern(rb"--([^\s][^\r\n]{0,69})\r?\n")
_TRANSFER: Final = pattern(
    rb"^content-transfer-encoding:\s*(base64|quoted-printable)", IGNORECASE | MULTILINE
)


class _Source:
    """Chunks of bytes that can be searched for a mark."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.held = b""

    def more(self) -> bool:
        """Read one more chunk; return whether there was one."""
        chunk = next(self._chunks, b"")
        self.held += chunk
        return bool(chunk)

    def rest(self) -> Iterator[bytes]:
        """Yield everything that is left."""
        while self.held or self.more():
            yield self.held
            self.held = b""

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Yield everything before a mark, and stop after it; raise `CutOffError` if it never comes."""
        while (at := self.held.find(mark)) < 0:
            safe = len(self.held) - len(mark) + 1
            if safe > 0:
                yield self.held[:safe]
                self.held = self.held[safe:]
            if not self.more():
                raise CutOffError("a multipart answer that is cut off: its last boundary is missing")
        rest, self.held = self.held[:at], self.held[at + len(mark) :]
        if rest:
            yield rest

    def headers(self) -> bytes:
        """Return the lines up to the next empty one, and stop after it."""
        while (blank := _BLANK_LINE.search(self.held)) is None:
            if len(self.held) > MAX_HEADER_BYTES:
                raise IntakeError("not a multipart answer: its headers do not end")
            if not self.more():
                raise CutOffError("a multipart answer that is cut off within its headers")
        headers, self.held = self.held[: blank.start()], self.held[blank.end() :]
        return headers


def mime_parts(chunks: Iterable[bytes]) -> Iterator[Part]:
    """Yield the headers and the content of each part; read the content before taking the next.

    Headers of the whole message (as `curl -i` prints them) may come first; if they name no boundary, the rest
    is one part. Raises `CutOffError` if the closing boundary is missing, `IntakeError` if a part is encoded
    for mail.
    """
    source = _Source(chunks)
    source.more()
    head = _head(source)
    boundary = _boundary(source, head)
    if boundary is None:
        yield head, source.rest()
        return
    end = b"\n--" + boundary
    source.held = b"\n" + source.held
    for _ in source.until(end):
        pass  # skip the preamble
    while True:
        while len(source.held) < 2 and source.more():
            pass
        if source.held.startswith(b"--"):
            return
        headers = source.headers()
        if _TRANSFER.search(headers):
            raise IntakeError("a multipart answer encoded for mail; save its attachment and give that")
        content = source.until(end)
        yield headers, _without_last_break(content)
        for _ in content:
            pass


def _head(source: _Source) -> bytes:
    """Return the headers of the whole message, if any; of several responses, those of the last."""
    head = b""
    while True:
        while len(source.held.lstrip()) < len(b"HTTP/") and source.more():
            pass
        begin = source.held.lstrip()
        if begin.startswith(b"--") or (head and not begin.startswith(b"HTTP/")):
            return head
        head = source.headers()


def _boundary(source: _Source, head: bytes) -> bytes | None:
    if head:
        named = _BOUNDARY.search(head)
        return None if named is None else named[1]
    while (delimiter := _DELIMITER.match(source.held.lstrip())) is None:
        if len(source.held) > MAX_HEADER_BYTES or not source.more():
            raise CutOffError("a multipart answer that is cut off within its headers")
    return delimiter[1].rstrip()


def _without_last_break(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Drop a final carriage return, which belongs to the boundary's line."""
    held = b""
    for chunk in chunks:
        held += chunk
        if len(held) > 1:
            yield held[:-1]
            held = held[-1:]
    if held != b"\r":
        yield held
