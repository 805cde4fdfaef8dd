"""Small logs as records of the broker, and what `analyze` finds in them, line by line."""

import msgspec
from small_logs import START_MS, Fault, draw_log

from streams.model.canonical import encode
from streams.model.events import Heartbeat
from streams.model.record import Record
from streams.model.topics import LOOKUPS
from streams.replay.analyze import Analysis


def lookups(start_ms: int, seconds: int, faults: dict[str, list[Fault]]) -> list[Record]:
    """Return the records of some links from a time on, as they are logged."""
    told = [
        t for link, chosen in faults.items() for t in draw_log(1, seconds=seconds, link=link, faults=chosen)
    ]
    records, offsets = [], {}
    for one in sorted(told, key=lambda one: one.told_ms):
        offset = offsets[one.partition] = offsets.get(one.partition, -1) + 1
        key = None if isinstance(one.event, Heartbeat) else one.event.dossier_id.encode()
        occurred_ms = one.event.occurred_at_ms - START_MS + start_ms
        moved = msgspec.structs.replace(one.event, occurred_at_ms=occurred_ms)
        at_ms = one.told_ms - START_MS + start_ms
        records.append(Record(LOOKUPS, one.partition, offset, at_ms, key, encode(moved)))
    return records


def results(analysis: Analysis) -> dict[str, list[bytes]]:
    """Return what an analysis found, line by line."""
    return {
        "measurements": [encode(one) for one in analysis.measurements],
        "windows": [encode(one) for one in analysis.windows],
        "outages": [encode(one) for one in analysis.outages],
    }
