"""Text of other encodings to UTF-8, piece by piece."""

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
    r"""Yield text of one of the wide encodings as UTF-8; half a character is replaced, not the whole refused.

    Raise `CutOffError` where the text ends within a character.

    >>> b"".join(to_utf_8([b"\xff\xfe{\x00", b"}\x00"], Kind.UTF_16_LE))
    b'{}'
    """
    decoder = getincrementaldecoder(kind.value)("surrogatepass")
    before = ""
    first = True
    try:
        for chunk in chunks:
            said = before + decoder.decode(chunk)
            # Half of a pair may be completed by the next piece.
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
    """Return a JSON text with invalid UTF-8 and halves of surrogate pairs replaced; cut-off texts end so."""
    valid = document.decode("utf-8", "replace").encode()
    return _HALF_A_PAIR.sub(lambda found: found[1] + (found[2] or b"\\ufffd"), valid)
