"""The context of an outage: its link's minutes, and other outages at the time."""

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.histories import spans_between
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.schema import window_days
from streams.model.availability import OutageSpan
from streams.model.hours.calendar import MINUTE_MS, day_start_ms
from streams.model.outage import LinkStateName


class Minute(Struct, frozen=True):
    """One minute of a link; ``p95_ms`` is None if nothing was answered."""

    start_ms: int
    state: LinkStateName
    attempts: int
    failures: int
    p95_ms: float | None


def minutes_between(connection: sa.Connection, link: str, start_ms: int, end_ms: int) -> list[Minute]:
    """Return the windows of a link that begin in ``[start_ms, end_ms)``, by start."""
    found = []
    for row in connection.execute(
        sa.select(window_days)
        .where(
            window_days.c.link == link,
            window_days.c.day_ms >= day_start_ms(start_ms),
            window_days.c.day_ms < end_ms,
        )
        .order_by(window_days.c.day_ms)
    ):
        day = DayOfMinutes.unpack(row.day_ms, bytes(row.columns), bytes(row.details))
        attempts, failures = day.columns["attempts"], day.columns["failures"]
        for minute, detail in sorted(day.details.items()):
            at_ms = row.day_ms + minute * MINUTE_MS
            if start_ms <= at_ms < end_ms:
                p95_ms = None if detail.latency_ms is None else detail.latency_ms.get("p95")
                found.append(Minute(at_ms, _state(detail.state), attempts[minute], failures[minute], p95_ms))
    return found


def others_between(
    connection: sa.Connection, outage_id: str, start_ms: int, end_ms: int
) -> list[tuple[str, OutageSpan]]:
    """Return the other outages that touch ``[start_ms, end_ms)``, with their links, by start."""
    found = [
        (link, span)
        for link, spans in spans_between(connection, start_ms, end_ms).items()
        for span in spans
        if span.outage_id != outage_id
    ]
    return sorted(found, key=lambda pair: (pair[1].start_ms, pair[1].outage_id))


def _state(name: str) -> LinkStateName:
    states: tuple[LinkStateName, ...] = ("UP", "DEGRADED", "DOWN", "UNKNOWN")
    return next(state for state in states if state == name)
