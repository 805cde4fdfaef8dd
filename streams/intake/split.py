"""Split JSON in any arrangement into objects, one at a time, each with its line; damage is reported.

It reads one object per line, objects printed over several lines, objects in arrays (on one line or many, one
array or several), objects in the array of an answer (`{"records": [...]}`, Elasticsearch's `hits`), and any
sequence of these, with byte order marks, commas and record separators (RFC 7464) between. It holds one object
at a time.

Theory. Objects are found by their brackets, the only grammar a splitter needs. Whether the text between them
is JSON is for the decoder to decide, so a record with `NaN` in it is one bad record and does not end its
array. If the brackets do not match, a record is *damaged*. Reading then continues at the next place where a
record surely begins or an array ends: after `},{` or before `}]` on the same line, otherwise on the next
line; after a damaged record of several lines, on the next line that opens a bracket at no greater indentation
than that record. So one fault costs one record, or those on its line. Input that ends with an open bracket is
cut off, and refused.
"""

from collections.abc import Collection, Iterable, Iterator
from re import DOTALL
from re import compile as pattern
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from streams.intake.errors import CutOffError
from streams.model.border import UNREADABLE

MAX_DOCUMENT_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
REFILL_BYTES: Final = 1 << 16
LOOK_AHEAD_BYTES: Final = 1 << 12
"""The longest separator between two records, and the longest value that is skipped as one piece."""
NO_OBJECT: Final = "not a JSON object"
TOO_LONG: Final = f"longer than {MAX_DOCUMENT_BYTES >> 20} MiB"
UNFIT: Final = "not a JSON object: its brackets, commas and colons do not match"
UNCLOSED_TEXT: Final = "not a JSON object: a string in it is not closed on its line"

CONTAINERS: Final = (("records",), ("hits", "hits"))
"""Where an object may hold an array of records, as the path of names that leads to it."""


class Document(NamedTuple):
    """One JSON object, and its line, counted from 1."""

    line: int
    data: bytes


class Damage(NamedTuple):
    """Something that is not a JSON object: its line, and the reason."""

    line: int
    reason: str


_STRING: Final = rb'"(?>[^"\\\n]++|\\[^\n])*+"'
_VALUE: Final = rb"(?>" + _STRING + rb'|[^\s"{}\[\]:,]++)'
_PAIR: Final = _STRING + rb"\s*+:\s*+" + _VALUE + rb"\s*+"
_FLAT: Final = pattern(rb"\{\s*+(?:" + _PAIR + rb"(?:,\s*+" + _PAIR + rb")*+)?+\}", DOTALL)
_TOKEN: Final = pattern(rb"(?P<string>" + _STRING + rb')|(?P<mark>[{}\[\]:,])|(?P<open>")|[^\s"{}\[\]:,]++')
_BETWEEN: Final = pattern(rb"(?>[\s,\x1e]++|\xef\xbb\xbf)*+")
_SCALAR: Final = pattern(rb"(?>" + _STRING + rb'|[^\s"{}\[\]:,]++)(?=\s*+[,\]\r\n]|\s*+\Z)')
_NEXT_RECORD: Final = pattern(rb"\}\s*+(?:,?+\s*+(?=\{)|(?=\]))")
_OPENING_LINE: Final = pattern(rb"\n(?=(?:\xef\xbb\xbf|\x1e)?+(?:[ \t]*+,)?+([ \t]*+)[{\[\]])")

_any_object: Final = msgspec.json.Decoder(Raw)


class _Frame(NamedTuple):
    """An array that is being read: where it was opened, and the brackets of an answer around it."""

    line: int
    around: tuple[bytes, ...] = ()


class _Walk(NamedTuple):
    """How far an object's brackets match: ``end`` is after it, or after the `[` of an array of records.

    Without ``end`` and without ``fault``, more input is needed. ``from_`` is where to start looking for the
    next record.
    """

    end: int = -1
    around: tuple[bytes, ...] | None = None
    fault: str = ""
    at: int = -1
    from_: int = -1
    deep: bool = False


def documents(
    chunks: Iterable[bytes], containers: Collection[tuple[str, ...]] = CONTAINERS
) -> Iterator[Document | Damage]:
    r"""Yield every object of a JSON text, and everything that is not an object, in order.

    Raises `CutOffError` if the text ends before every bracket is closed.

    >>> [entry.data for entry in documents([b'[{"a": 1},\n{"b', b'": {}}] {"records": [{}]}'])]
    [b'{"a": 1}', b'{"b": {}}', b'{}']
    >>> list(documents([b'{"a": 1}\n{"a" 2}\n{"a": 3}\n']))[1]
    Damage(line=2, reason='not a JSON object: its brackets, commas and colons do not match')
    """
    return _Splitter(chunks, containers).run()


class _Splitter:
    def __init__(self, chunks: Iterable[bytes], containers: Collection[tuple[str, ...]]) -> None:
        self._chunks = iter(chunks)
        self._containers = {tuple(name.encode() for name in path) for path in containers}
        self._buffer = b""
        self._at = 0
        self._line = 1
        self._counted = 0
        self._ended = False
        self._frames: list[_Frame] = []
        self._lost_frames = 0

    def run(self) -> Iterator[Document | Damage]:
        while True:
            self._at = _BETWEEN.match(self._buffer, self._at).end()  # type: ignore[union-attr] # it may match nothing
            if len(self._buffer) - self._at < 3 and self._refill():
                continue  # a byte order mark may be cut in two
            if self._at == len(self._buffer):
                break
            first = self._buffer[self._at]
            if first == 0x7B:  # {
                yield from self._object()
            elif first == 0x5B:  # [
                self._frames.append(_Frame(self._here()))
                self._at += 1
            elif first in {0x5D, 0x7D}:  # ] }
                yield from self._closed()
            else:
                yield from self._something_else()
        if self._frames:
            raise CutOffError("cut off: an array is not closed at its end", self._here())

    def _here(self) -> int:
        """Return the line of the current position."""
        self._line += self._buffer.count(b"\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _refill(self, wanted: int = REFILL_BYTES) -> bool:
        """Read ``wanted`` more bytes and drop those already passed; return whether any came."""
        if self._ended:
            return False
        self._here()
        parts = [self._buffer[self._at :]]
        size = 0
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= wanted:
                break
        else:
            self._ended = True
        self._buffer = b"".join(parts)
        self._at = self._counted = 0
        return size > 0

    def _object(self) -> Iterator[Document | Damage]:
        """Yield the object that begins here, or enter the array of records in it."""
        walk = self._walked(self._containers, ())
        line = self._here()
        if walk.fault:
            yield Damage(line, walk.fault)
            self._find_next(walk)
            return
        if walk.around is not None:
            self._frames.append(_Frame(line, walk.around))
        elif walk.end - self._at > MAX_DOCUMENT_BYTES:
            yield Damage(line, TOO_LONG)
        elif walk.deep:
            yield Damage(line, f"nested deeper than {MAX_DEPTH} brackets")
        else:
            yield Document(line, self._buffer[self._at : walk.end])
        self._at = walk.end

    def _walked(self, containers: Collection[tuple[bytes, ...]], around: tuple[bytes, ...]) -> _Walk:
        """Follow the brackets from here, reading as much as needed, up to the allowed size."""
        while True:
            end = -1
            if not around:
                end = _whole_line(self._buffer, self._at)
                if end < 0 and (flat := _FLAT.match(self._buffer, self._at)):
                    end = flat.end()
            walk = _Walk(end) if end >= 0 else _walk(self._buffer, self._at, containers, around)
            held = len(self._buffer) - self._at
            if walk.end >= 0 or walk.fault:
                return walk
            if held > MAX_DOCUMENT_BYTES:
                return _Walk(fault=TOO_LONG, at=len(self._buffer), from_=self._at)
            if not self._refill(max(REFILL_BYTES, held)):
                raise CutOffError("cut off in the middle of a record", self._here())

    def _closed(self) -> Iterator[Damage]:
        """Close the current array, and the answer around it."""
        bracket = self._buffer[self._at : self._at + 1]
        line = self._here()
        self._at += 1
        if bracket == b"]" and self._frames:
            if around := self._frames.pop().around:
                walk = self._walked((), around)
                if walk.fault:
                    yield Damage(self._here(), walk.fault)
                    self._find_next(walk)
                else:
                    self._at = walk.end
        elif self._lost_frames:  # opened on the line of a damaged record
            self._lost_frames -= bracket == b"]"
        else:
            yield Damage(line, "a bracket is closed that was never opened")

    def _something_else(self) -> Iterator[Damage]:
        """Yield damage for text that is no object or array: a value in an array, or a whole line."""
        while (
            ((scalar := _SCALAR.match(self._buffer, self._at)) is None or scalar.end() == len(self._buffer))
            and len(self._buffer) - self._at < LOOK_AHEAD_BYTES
            and self._refill()
        ):
            pass
        yield Damage(self._here(), NO_OBJECT)
        if scalar is not None and self._frames:
            self._at = scalar.end()
        else:
            self._find_next(_Walk(at=self._at, from_=self._at))

    def _find_next(self, walk: _Walk) -> None:
        """Continue where the next record begins, reading and dropping input until one is found."""
        begun_on = self._here()
        indent = self._at - (self._buffer.rfind(b"\n", 0, self._at) + 1)
        over_lines = self._buffer.find(b"\n", self._at, max(walk.at, self._at)) >= 0
        if not over_lines and walk.at > self._at and self._buffer[walk.at : walk.at + 1] == b"{":
            self._at = walk.at  # the next record begins before this one was closed
            return
        if not over_lines:
            self._at = max(walk.from_, self._at)
        while (found := self._next_place(over_lines=over_lines, indent=indent)) < 0:
            # Keep only what may be the beginning of a match.
            self._at = max(self._at, len(self._buffer) - LOOK_AHEAD_BYTES)
            if not self._refill():
                self._at = len(self._buffer)
                return
        self._at = found
        if self._here() > begun_on:
            kept = [frame for frame in self._frames if frame.line < begun_on]
            self._lost_frames += len(self._frames) - len(kept)
            self._frames = kept

    def _next_place(self, *, over_lines: bool, indent: int) -> int:
        """Return where reading can continue, -1 if that is not in the buffer."""
        if over_lines:
            for opening in _OPENING_LINE.finditer(self._buffer, self._at):
                if len(opening[1]) <= indent:
                    return opening.start() + 1
            return -1
        line_end = self._buffer.find(b"\n", self._at)
        limit = len(self._buffer) if line_end < 0 else line_end
        if beside := _NEXT_RECORD.search(self._buffer, self._at, limit):
            return beside.end()
        return -1 if line_end < 0 else line_end + 1


def _whole_line(buffer: bytes, at: int) -> int:
    """Return the end of an object without arrays that fills the rest of its line, -1 if there is none.

    This is the common case, at a fraction of the cost of the others.
    """
    end = buffer.find(b"\n", at)
    if end < 0 or end - at > MAX_DOCUMENT_BYTES or buffer.find(b"[", at, end) >= 0:
        return -1
    line = buffer[at:end].rstrip(b", \t\r")
    if not line.endswith(b"}") or line.count(b"{") > MAX_DEPTH:
        return -1
    try:
        _any_object.decode(line)
    except UNREADABLE:
        return -1
    return at + len(line)


def _walk(
    buffer: bytes, at: int, containers: Collection[tuple[bytes, ...]], around: tuple[bytes, ...] = ()
) -> _Walk:
    """Follow the brackets of an object, or of the rest of an answer after its array was closed."""
    stack: list[bytes] = list(around)
    names: list[bytes] = [b""] * len(stack)
    need = "next" if around else "value"
    name, string_at, deep = b"", at, False
    for token in _TOKEN.finditer(buffer, at):
        mark = token["mark"]
        if token["string"] is not None:
            string_at = token.start()
            if need == "name":
                name, need = token[0][1:-1], "colon"
                continue
        elif token["open"] is not None:
            if buffer.find(b"\n", token.start()) < 0:
                return _Walk()
            return _Walk(fault=UNCLOSED_TEXT, at=token.start(), from_=token.start())
        elif (mark, need) in ((b":", "colon"), (b",", "next")):
            need = "name" if mark == b"," and stack[-1] == b"{" else "value"
            continue
        elif mark in (b"{", b"[") and need == "value":
            stack.append(mark)
            names.append(name)
            deep = deep or len(stack) > MAX_DEPTH
            need, name = ("name", b"") if mark == b"{" else ("value", b"")
            if mark == b"[" and containers and tuple(names[1:]) in containers and stack.count(b"[") == 1:
                return _Walk(token.end(), tuple(stack[:-1]))
            continue
        elif mark in (b"}", b"]") and _closes(stack, mark, need):
            stack.pop()
            name = names.pop()
            if not stack:
                return _Walk(token.end(), deep=deep)
            need = "next"
            continue
        if mark is not None or need != "value":
            return _Walk(fault=UNFIT, at=token.start(), from_=string_at)
        need = "next"
    return _Walk()


def _closes(stack: list[bytes], mark: bytes, need: str) -> bool:
    """Return whether a bracket closes the last one; a trailing comma is left for the decoder to refuse."""
    opened = b"{" if mark == b"}" else b"["
    return stack[-1] == opened and need in ("next", "name" if opened == b"{" else "value")
