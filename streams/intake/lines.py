"""Split text into blocks of whole lines, numbered by their first line, in bounded memory."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from streams.intake.split import MAX_DOCUMENT_BYTES, TOO_LONG, Damage

BLOCK_BYTES: Final = 1 << 18
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
NO_BREAK: Final = "cut off: the last line has no line break"


class Block(NamedTuple):
    """Whole lines: the number of the first (from 1), and the bytes; ``whole`` if they end with a break."""

    line: int
    data: bytes
    whole: bool = True


def blocks(chunks: Iterable[bytes], first: int = 1) -> Iterator[Block | Damage]:
    r"""Yield the lines of a text in blocks of some hundred, and a `Damage` for each line that is too long.

    A byte order mark at the beginning is dropped. A last line without a break is a separate block.

    >>> [block.data for block in blocks([b"a\nb", b"c\nd"])]
    [b'a\n', b'bc\n', b'd']
    """
    held: list[bytes] = []
    size, line, skipping = 0, first, False
    for given in chunks:
        chunk = given
        if line == first and not held and not skipping:
            chunk = chunk.removeprefix(BYTE_ORDER_MARK)
        end = chunk.rfind(b"\n") + 1
        if not end:
            if not skipping:
                held.append(chunk)
                size += len(chunk)
            if size > MAX_DOCUMENT_BYTES:
                held, size, skipping = [], 0, True
            continue
        whole = chunk[:end]
        if skipping:
            yield Damage(line, TOO_LONG)
            line += 1
            whole = whole[whole.find(b"\n") + 1 :]
            skipping = False
        elif held:
            whole = b"".join((*held, whole))
        if whole:
            yield from _without_long(Block(line, whole))
        line += whole.count(b"\n")
        rest = chunk[end:]
        held, size = ([rest], len(rest)) if rest else ([], 0)
    if skipping:
        yield Damage(line, TOO_LONG)
    elif size:
        yield Block(line, b"".join(held), whole=False)


def _without_long(block: Block) -> Iterator[Block | Damage]:
    """Yield a block without its lines that are too long, and a `Damage` for each of those."""
    if len(block.data) <= MAX_DOCUMENT_BYTES:
        yield block
        return
    kept: list[bytes] = []
    line = begin = block.line
    for content in block.data.removesuffix(b"\n").split(b"\n"):
        text = content + b"\n"
        if len(text) > MAX_DOCUMENT_BYTES:
            if kept:
                yield Block(begin, b"".join(kept))
            yield Damage(line, TOO_LONG)
            kept, begin = [], line + 1
        else:
            kept.append(text)
        line += 1
    if kept:
        yield Block(begin, b"".join(kept))
