"""Records that cannot be used, of many kinds, made from good ones."""

import random
from collections.abc import Callable, Iterable, Iterator

import msgspec

from streams.model.record import Record
from streams.model.topics import LOOKUPS

Spoil = Callable[[Record], Record]


def _value(value: bytes) -> Spoil:
    return lambda record: record._replace(value=value)


def _changed(**fields: object) -> Spoil:
    def spoil(record: Record) -> Record:
        event = msgspec.json.decode(record.value) | fields
        return record._replace(value=msgspec.json.encode({k: v for k, v in event.items() if v is not None}))

    return spoil


def _padded(record: Record) -> Record:
    event = msgspec.json.decode(record.value) | {"note": "x" * 1_000_000}
    return record._replace(value=msgspec.json.encode(event))


def _hours_ahead(record: Record) -> Record:
    return _changed(occurred_at_ms=record.logged_at_ms + 3 * 3_600_000)(record)


KINDS: dict[str, tuple[str, Spoil]] = {
    "no value": ("empty", _value(b"")),
    "no JSON": ("not_json", _value(b"lookup of 12:00 failed, see log")),
    "cut off": ("not_json", lambda record: record._replace(value=record.value[:40])),
    "no UTF-8": (
        "not_utf8",
        lambda r: r._replace(value=r.value.replace(b'"lookup_id":"', b'"lookup_id":"\xff')),
    ),
    "a list": ("wrong_shape", _value(b"[1,2,3]")),
    "no link": ("wrong_shape", _changed(link=None)),
    "time as text": ("wrong_shape", _changed(occurred_at_ms="yesterday")),
    "unknown outcome": ("wrong_shape", _changed(type="lookup.completed", outcome="so-so")),
    "unknown type": ("wrong_shape", _changed(type="lookup.forgotten")),
    "before any portal": ("absurd_time", _changed(occurred_at_ms=-1)),
    "hours ahead": ("clock_skew", _hours_ahead),
    "a megabyte": ("too_large", _padded),
    "another's key": ("key_mismatch", lambda record: record._replace(key=b"somebody-else")),
}
"""Kind to the reason it is refused for, and how a good lookup record is spoilt."""


def spoilt_among(records: Iterable[Record], count: int, seed: int) -> Iterator[tuple[Record, str | None]]:
    """Yield the records with ``count`` spoilt copies among them, with new offsets, and the reasons."""
    records = list(records)
    chance = random.Random(seed)
    lookups = [i for i, r in enumerate(records) if r.topic == LOOKUPS and r.key is not None]
    places = {at: number for number, at in enumerate(sorted(chance.sample(lookups, count)))}
    kinds = list(KINDS.values())
    offsets: dict[tuple[str, int], int] = {}

    def placed(record: Record) -> Record:
        source = record[:2]
        offsets[source] = offsets.get(source, -1) + 1
        return record._replace(offset=offsets[source])

    for at, record in enumerate(records):
        if at in places:
            reason, spoil = kinds[places[at] % len(kinds)]
            yield placed(spoil(record)), reason
        yield placed(record), None
