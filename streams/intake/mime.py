"""A multipart message (RFC 2046) to its parts: a security server answers SOAP, then the records as gzip."""

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
    """Pieces of bytes in which a mark is looked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.held = b""

    def more(self) -> bool:
        """Hold one piece more; return whether there was one."""
        chunk = next(self._chunks, b"")
        self.held += chunk
        return bool(chunk)

    def rest(self) -> Iterator[bytes]:
        """Yield everything that is left."""
        while self.held or self.more():
            yield self.held
            self.held = b""

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Yield everything before a mark, and stop behind it; raise `CutOffError` if it never comes."""
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
        """Return the lines up to the next empty one, and leave off behind it."""
        while (blank := _BLANK_LINE.search(self.held)) is None:
            if len(self.held) > MAX_HEADER_BYTES:
                raise IntakeError("no multipart answer: its headers do not end")
            if not self.more():
                raise CutOffError("a multipart answer that is cut off within its headers")
        headers, self.held = self.held[: blank.start()], self.held[blank.end() :]
        return headers


def mime_parts(chunks: Iterable[bytes]) -> Iterator[Part]:
    """Yield the headers and the content of each part, the content to be read before the next.

    Headers of the whole (as `curl -i` leaves them) may stand before; without a boundary in them all that
    follows is one part. Raise `CutOffError` where the closing boundary is missing, `IntakeError` where a
    part is encoded for mail.
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
        pass  # the preamble says nothing
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
    """Return the headers of the whole message, or nothing; of several answers the last counts."""
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
    """Leave out the carriage return that belongs to the boundary's line."""
    held = b""
    for chunk in chunks:
        held += chunk
        if len(held) > 1:
            yield held[:-1]
            held = held[-1:]
    if held != b"\r":
        yield held
