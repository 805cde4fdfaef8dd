"""Finds the parts of a protobuf message without decoding it.

An export of a few megabytes may contain millions of empty spans, which would fill the memory if decoded at
once. So the outer messages are only walked, and each span is decoded separately.
"""

from collections.abc import Iterator
from typing import Final

LENGTH_DELIMITED: Final = 2
FIXED_BYTES: Final = {1: 8, 5: 4}
LONGEST_VARINT: Final = 10


class NotProtobufError(ValueError):
    """Bytes that are not a protobuf message; the message says where."""


def parts(data: bytes, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each length-delimited field with a number, in a message at ``[start, end)``.

    Raises:
        NotProtobufError: the bytes are not a message.

    >>> list(parts(bytes([0x0A, 2, 0x78, 0x79, 0x10, 1, 0x0A, 0]), 0, 8, 1))
    [(2, 4), (8, 8)]
    """
    wanted = number << 3 | LENGTH_DELIMITED
    at = start
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = _varint(data, at - 1, end)
            if tag & 7 == LENGTH_DELIMITED:
                length = data[at]
                at += 1
                if length > 127:
                    more = data[at]
                    if more < 128:  # two bytes, as for nearly all spans: takes half the time of a call
                        length, at = (length & 127) | more << 7, at + 1
                    else:
                        length, at = _varint(data, at - 1, end)
                if at + length > end:
                    raise NotProtobufError(
                        f"a field of {length:,} bytes at byte {at:,} ends beyond its message"
                    )
                if tag == wanted:
                    yield at, at + length
                at += length
            else:
                at = _behind(data, at, end, tag)
    except IndexError:
        raise NotProtobufError(f"cut off at byte {len(data):,}") from None


def _behind(data: bytes, at: int, end: int, tag: int) -> int:
    """Return the position after a value that has no length."""
    kind = tag & 7
    if kind == 0:
        return _varint(data, at, end)[1]
    if kind not in FIXED_BYTES:
        raise NotProtobufError(f"no field begins at byte {at:,}")
    if at + FIXED_BYTES[kind] > end:
        raise NotProtobufError(f"cut off at byte {end:,}")
    return at + FIXED_BYTES[kind]


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for place in range(at, min(at + LONGEST_VARINT, end)):
        value |= (data[place] & 127) << 7 * (place - at)
        if data[place] < 128:
            return value, place + 1
    raise NotProtobufError(f"a number at byte {at:,} does not end")
