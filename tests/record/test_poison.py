"""One record that no stage would send does not stop the ledger, and takes no other with it."""

import json
import time

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month

from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import reading
from streams.ledger.store.schema import positions, refusals
from streams.model.record import Record

GOOD = {
    "link.windows": msgspec.to_builtins(next(iter(month.windows()))),
    "link.outages": msgspec.to_builtins(month.revisions()[0]),
}
FIELDS = [
    (topic, name, value)
    for topic, good in GOOD.items()
    for name, value in good.items()
    if isinstance(value, str | int) and not isinstance(value, bool)
]


def poisoned():
    """Yield what is wrong, and a record's topic and value: every field of each topic spoilt in turn."""
    for topic in (*GOOD, "link.exclusions", "link.retirements"):
        yield "tombstone", topic, b""
        yield "nested", topic, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        yield "not UTF-8", topic, b'{"link":"\xff"}'
    for topic, name, value in FIELDS:
        good = GOOD[topic]
        for spoilt in ("a\0b", "\x1b[31m") if isinstance(value, str) else (1 << 70, -(1 << 63) - 1, 1 << 62):
            yield f"{name}={spoilt!r}", topic, json.dumps(good | {name: spoilt}).encode()
    for year_9000 in (221_845_392_000_000,):
        yield (
            "year 9000",
            "link.windows",
            json.dumps(GOOD["link.windows"] | {"start_ms": year_9000, "end_ms": year_9000 + 60_000}).encode(),
        )


def test_poison_is_refused_alone(ledger: sa.Engine):
    """Each spoilt record is refused at once; the good ones before, between and after are applied."""
    good = month.records()[:60]
    offsets: dict[str, int] = {}
    mixed, spoilt = [], []

    def place(topic: str, value: bytes) -> Record:
        offsets[topic] = offsets.get(topic, -1) + 1
        return Record(topic, 0, offsets[topic], 1_700_000_000_000, None, value)

    for number, (what, topic, value) in enumerate(poisoned()):
        if number < len(good):
            mixed.append(place(good[number].topic, good[number].value))
        mixed.append(place(topic, value))
        spoilt.append((what, topic, mixed[-1].offset))
    began = time.monotonic()
    result = apply_records(ledger, mixed)
    assert time.monotonic() - began < 60
    refused = {(one.topic, one.offset) for one in result.refused}
    assert [what for what, topic, offset in spoilt if (topic, offset) not in refused] == []
    assert len(refused) == len(spoilt)
    assert result.applied + result.duplicate == min(len(good), len(spoilt))
    with reading(ledger) as connection:
        assert connection.scalar(sa.select(sa.func.sum(positions.c.next_offset))) == len(mixed)
        assert connection.scalar(sa.select(sa.func.count()).select_from(refusals)) == len(spoilt)


@pytest.mark.parametrize("seed", range(3))
def test_what_the_database_alone_refuses_is_found(ledger: sa.Engine, seed, monkeypatch):
    """Even without the bounds, the one record that a database refuses is set aside, and no other."""
    monkeypatch.setattr("streams.ledger.store.apply.check_bounds", lambda *_: None)
    outages = [record for record in month.records() if record.topic == "link.outages"][:6]
    value = json.dumps(GOOD["link.outages"] | {"outage_id": f"poison{seed}", "start_ms": 1 << 70}).encode()
    records = [*outages[: seed * 3], None, *outages[seed * 3 :]]
    placed = [
        Record("link.outages", 0, at, 0, None, value if one is None else one.value)
        for at, one in enumerate(records)
    ]
    result = apply_records(ledger, placed)
    assert [one.offset for one in result.refused] == [seed * 3]
    assert result.applied == len(outages)
