"""Millions of rows in little memory: kept as compressed blocks, decoded each time they are read."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar, overload

import msgspec

from streams.model.zstd import compress, decompress

Row = TypeVar("Row", bound=msgspec.Struct)
Key = tuple[int, int]

_encode: Final = msgspec.msgpack.Encoder().encode
BLOCK_ROWS: Final = 128


def pack(rows: Sequence[msgspec.Struct]) -> bytes:
    """Return rows as one compressed block."""
    return compress(_encode(rows), level=1)


def unpacker(kind: type[Row]) -> Callable[[bytes], list[Row]]:
    """Return a function that decodes a block of rows of one kind."""
    decode = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type] # a type made at run time
    return lambda block: decode(decompress(block))


class Packed(Sequence[Row], Generic[Row]):
    """Rows in order; each iteration decodes them again.

    Two reads of a row give equal but distinct objects. An iteration holds one block at a time.
    """

    def __init__(self, kind: type[Row]) -> None:
        self._kind = kind
        self._unpack = unpacker(kind)
        self._blocks: list[bytes] = []
        self._ends: list[int] = []
        """The number of rows up to the end of each block."""

    def add(self, block: bytes, rows: int) -> None:
        """Append a block made by `pack` from ``rows`` rows."""
        if rows:
            self._blocks.append(block)
            self._ends.append(len(self) + rows)

    @classmethod
    def joined(cls, kind: type[Row], parts: "Iterable[Packed[Row]]") -> "Packed[Row]":
        """Concatenate several; the blocks are shared, not copied."""
        whole = cls(kind)
        for part in parts:
            for block, rows in part.blocks():
                whole.add(block, rows)
        return whole

    def blocks(self) -> Iterator[tuple[bytes, int]]:
        """Yield each block with its number of rows."""
        start = 0
        for block, end in zip(self._blocks, self._ends, strict=True):
            yield block, end - start
            start = end

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Row]:
        for block in self._blocks:
            yield from self._unpack(block)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step <= 0:
                return list(self)[index]
            return list(islice(self._from(start), max(stop - start, 0)))[::step]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(index)
        return next(self._from(at))

    def _from(self, start: int) -> Iterator[Row]:
        """Yield the rows from index ``start`` on."""
        first = bisect_right(self._ends, start)
        skipped = self._ends[first - 1] if first else 0
        for at in range(first, len(self._blocks)):
            rows = self._unpack(self._blocks[at])
            yield from rows[start - skipped :] if at == first else rows

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __hash__(self) -> int:
        raise TypeError("rows may still be added")

    def __repr__(self) -> str:
        return f"<{len(self)} {self._kind.__name__} rows, packed>"


class Sorter(Generic[Row]):
    """Packs rows in the exact order of their keys, given that they arrive nearly in that order.

    The newest rows stay unpacked in case others arrive slightly late; rows that arrive later than that are
    merged into their block at the end. If two rows have one key, the later one replaces the earlier.
    """

    def __init__(self, kind: type[Row], key: Callable[[Row], Key], wait: int = BLOCK_ROWS) -> None:
        self._kind, self._key, self._wait = kind, key, wait
        self._keys: list[Key] = []
        self._rows: list[Row] = []
        self._firsts: list[Key] = []
        self._blocks: list[tuple[bytes, int]] = []
        self._packed_to: Key | None = None
        self._strays: dict[Key, Row] = {}

    def add(self, row: Row) -> None:
        """Add a row."""
        key, keys = self._key(row), self._keys
        if self._packed_to is not None and key <= self._packed_to:
            self._strays[key] = row
            return
        if not keys or key > keys[-1]:
            keys.append(key)
            self._rows.append(row)
        else:
            at = bisect_left(keys, key)
            there = keys[at] == key
            keys[at : at + there] = [key]
            self._rows[at : at + there] = [row]
        if len(keys) >= BLOCK_ROWS + self._wait:
            self._pack(BLOCK_ROWS)

    def finish(self) -> Packed[Row]:
        """Return all rows in the order of their keys."""
        while self._keys:
            self._pack(BLOCK_ROWS)
        by_block: dict[int, dict[Key, Row]] = {}
        for key, row in self._strays.items():
            by_block.setdefault(max(bisect_right(self._firsts, key) - 1, 0), {})[key] = row
        unpack = unpacker(self._kind)
        for at, strays in by_block.items():
            whole = {self._key(row): row for row in unpack(self._blocks[at][0])} | strays
            self._blocks[at] = pack([whole[key] for key in sorted(whole)]), len(whole)
        self._strays = {}
        packed = Packed(self._kind)
        for block, rows in self._blocks:
            packed.add(block, rows)
        return packed

    def _pack(self, rows: int) -> None:
        """Pack the rows with the lowest keys."""
        keys, block = self._keys[:rows], self._rows[:rows]
        del self._keys[:rows], self._rows[:rows]
        self._firsts.append(keys[0])
        self._packed_to = keys[-1]
        self._blocks.append((pack(block), len(block)))
