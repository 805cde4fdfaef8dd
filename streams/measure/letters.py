"""Dead letters: a record that could not be used, byte for byte, with its reason and its source position."""

from base64 import b64encode
from typing import Final

import msgspec
from msgspec import Struct

from streams.measure.refused import DeadLetter
from streams.model.border import UNREADABLE
from streams.model.canonical import encode

MOST_VALUE_BYTES: Final = 4 * 1024 * 1024
"""A longer value is cut off here, so that it fits into a record. The source still has the whole."""
MOST_KEY_BYTES: Final = 64 * 1024


class LetterSource(Struct, frozen=True):
    """Where a dead letter's record lies."""

    topic: str
    partition: int
    offset: int


class Letter(Struct, frozen=True, omit_defaults=True):
    """A dead letter as published; ``value_bytes`` is the original length if the value is cut off.

    ``settled`` marks a copy without value, published when an operator retries or forgets the record.
    """

    source: LetterSource
    reason: str
    detail: str
    logged_at_ms: int
    key_base64: str | None
    value_base64: str
    value_bytes: int | None = None
    settled: str = ""


letter_decoder: Final = msgspec.json.Decoder(Letter)


def letter_key(topic: str, partition: int) -> bytes:
    """Return the key of all letters of a source partition."""
    return f"{topic}/{partition}".encode()


def encode_letter(topic: str, partition: int, letter: DeadLetter) -> bytes:
    """Return a dead letter as bytes."""
    value, key = letter.value[:MOST_VALUE_BYTES], letter.key
    return encode(
        Letter(
            LetterSource(topic, partition, letter.offset),
            letter.reason,
            letter.detail,
            letter.logged_at_ms,
            None if key is None else b64encode(key[:MOST_KEY_BYTES]).decode(),
            b64encode(value).decode(),
            len(letter.value) if len(letter.value) > len(value) else None,
        )
    )


def told_records(topic: str, partition: int, values: list[bytes]) -> frozenset[tuple[int, int]]:
    """Return ``(offset, logged_at_ms)`` of the records of a source partition that have a dead letter.

    The offset alone is not enough: if the end of the log was cut off, another record may stand there now.
    """
    told = set()
    for value in values:
        try:
            letter = letter_decoder.decode(value)
        except UNREADABLE:
            continue
        if (letter.source.topic, letter.source.partition) == (topic, partition):
            told.add((letter.source.offset, letter.logged_at_ms))
    return frozenset(told)
