"""Makes lookup events from X-Road calls, in order of event time, as records of a log.

Each side of a call yields a request (`lookup.requested`) and an answer (`lookup.completed`), with that side
as observer. The consumer's gateway is the `portal`, from its first byte in to its last byte out. The
provider's gateway is the `provider`, from passing on the request to receiving the answer, the time the
provider itself took. Both share `lookup_id`, and each call counts as a separate dossier, as X-Road's case
number is a personal field and is dropped. Event ids follow from the record alone, so importing it again gives
the same ids.

No heartbeats are made for the time between records: nothing shows that the observer was alive, and a silence
must stay unknown. One closing heartbeat per partition, which names no link and so claims nothing, moves the
watermark past the last event, so that the last slots close.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final
from zlib import crc32

import msgspec

from streams.ingest.xroad.calls import Call
from streams.ingest.xroad.record import Side, XRoadRecord
from streams.model.events import Observer
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS

DEFAULT_PARTITIONS: Final = 4
CLOSING_SLOTS: Final = 4
OBSERVERS: Final[dict[Side, Observer]] = {"client": "portal", "producer": "provider"}

_encoder: Final = msgspec.json.Encoder()


def lookup_records(
    calls: Iterable[Call], *, partitions: int = DEFAULT_PARTITIONS, settings: MeasureSettings | None = None
) -> Iterator[Record]:
    """Yield the log of the calls, in order of event time, which is also `logged_at_ms`.

    The key is the dossier id, its CRC-32 determines the partition, offsets count from 0.
    """
    ordered: list[tuple[int, bool, bytes, Call, XRoadRecord]] = []
    for call in calls:
        for record in call.records():
            start_ms, end_ms = _view(record)
            identity = _identity(record)
            ordered += [(start_ms, False, identity, call, record), (end_ms, True, identity, call, record)]
    ordered.sort(key=lambda item: item[:3])
    offsets = [0] * partitions
    for occurred_at_ms, completed, identity, call, record in ordered:
        lookup_id = _lookup_id(call)
        value = _event(call, record, lookup_id, identity, occurred_at_ms, completed=completed)
        key = lookup_id.encode()
        partition = crc32(key) % partitions
        yield Record(LOOKUPS, partition, offsets[partition], occurred_at_ms, key, value)
        offsets[partition] += 1
    if ordered:
        closing_ms = ordered[-1][0] + closing_ms_after(settings or MeasureSettings())
        for partition, offset in enumerate(offsets):
            yield Record(LOOKUPS, partition, offset, closing_ms, None, _closing_heartbeat(closing_ms))


def closing_ms_after(settings: MeasureSettings) -> int:
    """Return how long (ms) after the last event the closing heartbeat comes, so that all slots are over."""
    longest_ms = max(values.lookup_timeout_ms for values in (settings, *dict(settings.changes).values()))
    return longest_ms + settings.out_of_orderness_ms + CLOSING_SLOTS * settings.slot_ms


def _view(record: XRoadRecord) -> tuple[int, int]:
    """Return when this side's observer sent the request and got the answer, in epoch milliseconds."""
    if record.side == "client":
        return record.request_in_ms, record.response_out_ms
    start = record.request_in_ms if record.request_out_ms is None else record.request_out_ms
    end = record.response_out_ms if record.response_in_ms is None else record.response_in_ms
    return (start, end) if start <= end else (record.request_in_ms, record.response_out_ms)


def _identity(record: XRoadRecord) -> bytes:
    """Return a digest that identifies the record, the same whenever it is imported."""
    if not record.request_id:
        return record.fingerprint()
    own = f"{record.request_id} {record.side} {record.request_in_ms}"
    return blake2b(own.encode("utf-8", "replace"), digest_size=16).digest()


def _lookup_id(call: Call) -> str:
    """Return X-Road's own request id if there is one, so that an auditor finds the call there.

    If several calls of the import have the same id, the time of the request is appended.
    """
    request_id = call.first.request_id
    if not (0 < len(request_id) <= 64 and request_id.isascii() and request_id.replace("-", "").isalnum()):
        return f"xroad-{_identity(call.first).hex()}"
    return f"{request_id}@{call.first.request_in_ms}" if call.id_reused else request_id


def _event(
    call: Call, record: XRoadRecord, lookup_id: str, identity: bytes, occurred_at_ms: int, *, completed: bool
) -> bytes:
    assert record.side is not None
    event: dict[str, object] = {
        "event_id": f"{identity.hex()}-{'c' if completed else 'r'}",
        "type": "lookup.completed" if completed else "lookup.requested",
        "occurred_at_ms": occurred_at_ms,
        "lookup_id": lookup_id,
        "dossier_id": lookup_id,
        "link": call.link,
        "agency": call.consumer,
        "service": call.service,
        "attempt": 1,
        "observer": OBSERVERS[record.side],
    }
    if completed:
        event["outcome"] = record.outcome()
        if record.status_code is not None:
            event["status_code"] = record.status_code
    return _encoder.encode(event)


def _closing_heartbeat(occurred_at_ms: int) -> bytes:
    return _encoder.encode(
        {"type": "observer.heartbeat", "occurred_at_ms": occurred_at_ms, "observer": "portal", "links": []}
    )
