"""The digest of a range of records: evidence that anybody can recompute from the log.

SHA-256 over blocks of up to 4096 records. A block is: the number of records; then offset, key length
(-1 for no key) and value length of each, all as 64-bit big-endian integers; then the keys and then the
values, joined. The lengths make the framing unambiguous; blocks bound memory and keep the work in C.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import pack
from typing import Final

Entry = tuple[int, int, bytes | None, bytes]
"""A record of a known partition: offset, logged_at_ms, key, value."""

BLOCK_RECORDS: Final = 4096


_INDICES: Final = tuple(f">{3 * records + 1}q" for records in range(32))
"""Formats for the integers of short blocks, the common case."""


class RangeDigest:
    """Digest of consecutive records, fed in blocks of exactly ``BLOCK_RECORDS``, the last one shorter."""

    __slots__ = ("_sha",)

    def __init__(self) -> None:
        self._sha = sha256()

    def add_block(self, entries: Sequence[Entry]) -> None:
        """Add the next block."""
        self._sha.update(_framed(entries))

    def hexdigest(self) -> str:
        """Return the digest of all blocks so far, in hexadecimal."""
        return self._sha.hexdigest()


def _framed(entries: Sequence[Entry]) -> bytes:
    """Return a block as the bytes that are digested."""
    records = len(entries)
    offsets, _, keys, values = zip(*entries, strict=True)
    index = _INDICES[records] if records < len(_INDICES) else f">{3 * records + 1}q"
    if None in keys:
        lengths = [-1 if key is None else len(key) for key in keys]
        head = pack(index, records, *offsets, *lengths, *map(len, values))
        return b"".join((head, *filter(None, keys), *values))
    head = pack(index, records, *offsets, *map(len, keys), *map(len, values))
    return b"".join((head, *keys, *values))


def digest_of_block(entries: Sequence[Entry]) -> str:
    """Return the digest of a range of at most one block, the common case."""
    return sha256(_framed(entries)).hexdigest()


def digest_of(entries: Iterable[Entry]) -> str:
    """Return the digest of a whole range, as an auditor would recompute it."""
    digest, block = RangeDigest(), []
    for entry in entries:
        block.append(entry)
        if len(block) == BLOCK_RECORDS:
            digest.add_block(block)
            block = []
    if block:
        digest.add_block(block)
    return digest.hexdigest()


def combine(digests: Iterable[str]) -> str:
    """Return the digest of consecutive ranges from the digests of each, in offset order."""
    return sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()
