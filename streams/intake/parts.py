"""Unpack any nesting of supported kinds into named parts of UTF-8 text."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from re import IGNORECASE
from re import compile as pattern
from typing import BinaryIO, Final, NamedTuple

from streams.intake.archive import Member, tar_members, zip_members
from streams.intake.errors import CutOffError, IntakeError
from streams.intake.kinds import HEAD_BYTES, PACKED, WIDE, Kind, is_cut_off, kind_of, why_unread
from streams.intake.mime import mime_parts
from streams.intake.text import to_utf_8
from streams.intake.unpack import Budget, unpacked

MAX_LAYERS: Final = 5
"""The deepest nesting of packed kinds; gzip in tar in gzip in a multipart answer is four."""
MAX_MARKUP_BYTES: Final = 1 << 16

_FAULT: Final = pattern(rb"<(?:[\w-]+:)?(?:faultcode|Value)>\s*([\w:.-]{1,200})\s*<", IGNORECASE)
_IS_FAULT: Final = pattern(rb"<(?:[\w-]+:)?Fault[\s>]")

Spool = Callable[[Iterator[bytes]], BinaryIO]
"""Copies a stream into a seekable file, which zip needs because its directory is at the end."""


class Part(NamedTuple):
    """A text of the input: its name (`archive!member` in an archive), and its content, readable once."""

    name: str
    chunks: Iterator[bytes]


def parts_of(
    name: str, chunks: Iterable[bytes], budget: Budget, spool: Spool, file: BinaryIO | None = None
) -> Iterator[Part]:
    """Yield each text in an input; read each to its end before taking the next.

    ``chunks`` are the input's bytes, ``file`` the same input if it is seekable. Raises `IntakeError` if a
    layer is damaged, too large when unpacked or not supported; the message begins with the part's name unless
    that is the whole input.
    """
    yield from _unfolded(name, chunks, 0, _Means(name, budget, spool), file)


class _Means(NamedTuple):
    whole: str
    budget: Budget
    spool: Spool


def _unfolded(
    name: str, chunks: Iterable[bytes], layers: int, means: _Means, file: BinaryIO | None = None
) -> Iterator[Part]:
    """Yield the texts of one layer, with its name put before the messages of its errors."""
    with _named(name, means):
        for part in _layer(name, chunks, layers, means, file):
            yield Part(part.name, _read(part.chunks, name, means)) if part.name == name else part


def _read(chunks: Iterator[bytes], name: str, means: _Means) -> Iterator[bytes]:
    with _named(name, means):
        yield from chunks


@contextmanager
def _named(name: str, means: _Means) -> Iterator[None]:
    """Put a part's name before the message of its error, once, unless the part is the whole input."""
    try:
        yield
    except IntakeError as error:
        if name == means.whole or error.reason.startswith(f"{means.whole}!"):
            raise
        raise type(error)(f"{name}: {error.reason}", error.line) from error


def _layer(
    name: str, chunks: Iterable[bytes], layers: int, means: _Means, file: BinaryIO | None
) -> Iterator[Part]:
    head, content = _peeked(chunks)
    kind = kind_of(head)
    if layers > MAX_LAYERS:
        raise IntakeError(f"packed more than {MAX_LAYERS} times over; unpack it first")
    if is_cut_off(head):
        raise CutOffError("cut off within its first bytes")
    if told := why_unread(head):
        raise IntakeError(told)
    if kind is Kind.XML:
        raise IntakeError(_why_markup(b"".join(_at_most(content, MAX_MARKUP_BYTES))))
    if kind in PACKED:
        yield from _unfolded(name, unpacked(content, kind, means.budget), layers + 1, means)
    elif kind is Kind.TAR:
        yield from _members(name, tar_members(content), layers, means)
    elif kind is Kind.ZIP:
        with nullcontext(file) if file else means.spool(content) as readable:
            yield from _members(name, zip_members(readable, means.budget), layers, means)
    elif kind is Kind.MIME:
        yield from _attachments(name, content, layers, means)
    else:
        yield Part(name, to_utf_8(content, kind) if kind in WIDE else content)


def _members(name: str, members: Iterator[Member], layers: int, means: _Means) -> Iterator[Part]:
    empty = True
    for member, content in members:
        empty = False
        yield from _unfolded(f"{name}!{member}", content, layers + 1, means)
    if empty:
        raise IntakeError("an archive without a file in it")


def _attachments(name: str, content: Iterator[bytes], layers: int, means: _Means) -> Iterator[Part]:
    """Yield the texts of a multipart answer; its SOAP message is only checked for a fault."""
    found = False
    for number, (_, part) in enumerate(mime_parts(content), start=1):
        head, chunks = _peeked(part)
        if kind_of(head) is Kind.XML:
            markup = b"".join(_at_most(chunks, MAX_MARKUP_BYTES))
            if _IS_FAULT.search(markup):
                raise IntakeError(_why_markup(markup))
        else:
            found = True
            label = name if number <= 2 else f"{name}!part {number}"
            yield from _unfolded(label, chunks, layers + 1, means)
    if not found:
        raise IntakeError("a multipart answer without an attachment: no records came with it")


def _why_markup(markup: bytes) -> str:
    if _IS_FAULT.search(markup):
        code = _FAULT.search(markup)
        said = f": {code[1].decode('ascii', 'replace')}" if code else ""
        return f"a SOAP fault instead of records{said}; the security server refused the request"
    if pattern(rb"<(!doctype )?html", IGNORECASE).search(markup):
        return "an HTML page, such as a log-in or error page, instead of records; look at it in a browser"
    return "XML instead of records"


def _peeked(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and an iterator over everything including them."""
    source = iter(chunks)
    head = b""
    while len(head) < HEAD_BYTES and (chunk := next(source, b"")):
        head += chunk

    def all_of_it() -> Iterator[bytes]:
        if head:
            yield head
        yield from source

    return head, all_of_it()


def _at_most(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield chunks up to a size, then read and drop the rest."""
    for chunk in chunks:
        if size > 0:
            yield chunk
        size -= len(chunk)
