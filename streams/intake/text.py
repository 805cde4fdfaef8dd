"""Convert text in UTF-16 and UTF-32 to UTF-8, chunk by chunk."""

from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from re import compile as pattern
from typing import Final

from streams.intake.errors import CutOffError
from streams.intake.kinds import Kind

BYTE_ORDER_MARK: Final = "\ufeff"
_HALF_A_PAIR: Final = pattern(
    rb"(?<!\\)((?:\\\\)*+)"
    rb"(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def to_utf_8(chunks: Iterable[bytes], kind: Kind) -> Iterator[bytes]:
    r"""Yield text of a wide encoding as UTF-8; a lone surrogate is replaced rather than refused.

    Raises `CutOffError` if the text ends within a character.

    >>> b"".join(to_utf_8([b"\xff\xfe{\x00", b"}\x00"], Kind.UTF_16_LE))
    b'{}'
    """
    decoder = getincrementaldecoder(kind.value)("surrogatepass")
    before = ""
    first = True
    try:
        for chunk in chunks:
            said = before + decoder.decode(chunk)
            # The next chunk may complete a surrogate pair.
            before = said[-1:] if "\ud800" <= said[-1:] <= "\udbff" else ""
            said = said[: len(said) - len(before)]
            if first and said:
                said, first = said.removeprefix(BYTE_ORDER_MARK), False
            if said:
                yield _encoded(said)
        said = before + decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise CutOffError(f"cut off in the middle of a character of {kind.value.upper()}") from error
    if said:
        yield _encoded(said)


def _encoded(said: str) -> bytes:
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def mended(document: bytes) -> bytes:
    """Return a JSON text with invalid UTF-8 and lone surrogates replaced, as truncated texts have them."""
    valid = document.decode("utf-8", "replace").encode()
    return _HALF_A_PAIR.sub(lambda found: found[1] + (found[2] or b"\\ufffd"), valid)
