"""Small blocks under Zstandard. Contexts are kept for the next block: making one takes longer than using it.

No two callers may use one at once, so each takes a context out and puts it back.
"""

from collections import defaultdict, deque
from typing import Final

import zstandard

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
"""How every frame begins (RFC 8878)."""
_compressors: Final[defaultdict[int, deque[zstandard.ZstdCompressor]]] = defaultdict(deque)
_decompressors: Final[deque[zstandard.ZstdDecompressor]] = deque()


def compress(data: bytes, level: int) -> bytes:
    """Return data as one frame."""
    idle = _compressors[level]
    try:
        compressor = idle.pop()
    except IndexError:
        compressor = zstandard.ZstdCompressor(level=level)
    frame = compressor.compress(data)
    idle.append(compressor)
    return frame


def decompress(frame: bytes) -> bytes:
    """Return what a frame holds.

    >>> decompress(compress(b"a link", level=1))
    b'a link'
    """
    try:
        decompressor = _decompressors.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor()
    data = decompressor.decompress(frame)
    _decompressors.append(decompressor)
    return data


def plain(data: bytes) -> bytes:
    """Return a frame's content, or the data itself if it is not a frame: short data is never compressed.

    >>> plain(compress(b"a link", level=1)), plain(b"a link")
    (b'a link', b'a link')
    """
    return decompress(data) if data.startswith(_MAGIC) else data
