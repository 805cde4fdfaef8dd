"""Dead letters: a record that could not be used, byte for byte, with its reason and where it lies."""

from base64 import b64encode
from typing import Final

import msgspec
from msgspec import Struct

from streams.measure.refused import DeadLetter
from streams.model.border import UNREADABLE
from streams.model.canonical import encode

MOST_VALUE_BYTES: Final = 4 * 1024 * 1024
"""Of a longer value only so much travels: the whole would not fit into a record. The source still has it."""
MOST_KEY_BYTES: Final = 64 * 1024


class LetterSource(Struct, frozen=True):
    """Where a dead letter's record lies."""

    topic: str
    partition: int
    offset: int


class Letter(Struct, frozen=True, omit_defaults=True):
    """A dead letter as it stands on the topic; ``value_bytes`` is set where the value is cut off.

    ``settled`` marks a copy without value by which an operator has retried or forgotten the record.
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
    """Return offset and ``logged_at_ms`` of the records of a source partition that letters tell of.

    Both, for at an offset there may be another record now: the end of the log was cut off, and it grew again.
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
