"""The share of each outage that stands apart: how much of it counts under each calendar.

An outage stands apart if it has ended and overlaps no other outage of its link, no revision of an exclusion
and no retirement. Its share is then the same for any question, and is stored. Every other outage is counted
by the query.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from streams.ledger.read.histories import days_of, history, spans_between
from streams.ledger.store.days import LinkLife
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.rollups import Named
from streams.ledger.store.rows import chunks
from streams.ledger.store.schema import outages, retirement_revisions, shares
from streams.model.availability import OutageSpan, account
from streams.model.hours.calendar import DAY_MS, day_start_ms
from streams.model.intervals import Interval, Intervals, union

END_OF_TIME_MS = 2**62


def settle_shares(
    connection: sa.Connection,
    link: str,
    touched: Iterable[OutageSpan],
    life: LinkLife,
    named: Named,
    read: Mapping[int, DayOfMinutes],
) -> None:
    """Store whether outages stand apart, and the shares of those that do.

    ``read`` holds the days that were already read, by their starts.
    """
    listed = list(touched)
    if not listed:
        return
    rows = share_rows(connection, link, listed, life, named, read)
    apart = apart_ids(connection, link, listed, life, named)
    for chunk in chunks(span.outage_id for span in listed):
        connection.execute(shares.delete().where(shares.c.outage_id.in_(chunk)))
    connection.execute(
        outages.update().where(outages.c.outage_id == sa.bindparam("id")).values(apart=sa.bindparam("is")),
        [{"id": span.outage_id, "is": span.outage_id in apart} for span in listed],
    )
    if rows:
        connection.execute(shares.insert(), rows)


def apart_ids(
    connection: sa.Connection, link: str, spans: list[OutageSpan], life: LinkLife, named: Named
) -> set[str]:
    """Return which of a link's outages stand apart."""
    if not spans:
        return set()
    low = min(span.start_ms for span in spans)
    high = max(END_OF_TIME_MS if span.end_ms is None else span.end_ms for span in spans)
    neighbours = spans_between(connection, low, max(high, low + 1), [link]).get(link, [])
    met = _overlapping(neighbours)
    withheld = _withheld(connection, link, named)
    return {
        span.outage_id
        for span in spans
        if span.end_ms is not None
        and span.start_ms < span.end_ms
        and span.start_ms < life.end_ms
        and span.end_ms > life.first_ms
        and span.outage_id not in met
        and not _meets(withheld, span.start_ms, span.end_ms)
    }


def share_rows(
    connection: sa.Connection,
    link: str,
    spans: list[OutageSpan],
    life: LinkLife,
    named: Named,
    read: Mapping[int, DayOfMinutes] | None = None,
) -> list[dict[str, Any]]:
    """Return the share rows of those outages that stand apart, without writing any."""
    apart = apart_ids(connection, link, spans, life, named)
    counted = [span for span in spans if span.outage_id in apart]
    wanted = {
        day_ms
        for span in counted
        for day_ms in range(day_start_ms(span.start_ms), min(span.end_ms or 0, life.end_ms), DAY_MS)
    }
    days = dict(read or {})
    days |= days_of(connection, link, wanted - days.keys())
    rows = []
    for span in counted:
        start_ms, end_ms = max(span.start_ms, life.first_ms), span.end_ms or 0
        outage_history = history(days, [span], [], start_ms, end_ms)
        rows += [
            {
                "calendar": calendar.name,
                "outage_id": span.outage_id,
                "link": link,
                "kind": span.kind,
                "start_ms": span.start_ms,
                "end_ms": span.end_ms,
                "counted_ms": share.counted_ms,
                "dossiers_affected": span.dossiers_affected,
            }
            for calendar in named.calendars.values()
            for share in account(outage_history, calendar, start_ms, end_ms)[1]
        ]
    return rows


def _withheld(connection: sa.Connection, link: str, named: Named) -> Intervals:
    """Return all time that was ever in an exclusion or after a retirement of the link."""
    retired: list[Interval] = [
        (from_ms, END_OF_TIME_MS)
        for from_ms in connection.scalars(
            sa.select(retirement_revisions.c.from_ms).where(retirement_revisions.c.link == link)
        )
    ]
    return union([*named.spans(link), *retired])


def _meets(intervals: Intervals, start_ms: int, end_ms: int) -> bool:
    before = bisect_right(intervals, (start_ms, END_OF_TIME_MS + 1)) - 1
    return any(low < end_ms and start_ms < high for low, high in intervals[max(before, 0) : before + 2])


def _overlapping(spans: Iterable[OutageSpan]) -> set[str]:
    """Return the outages that overlap another one; ``spans`` are sorted by start."""
    met: set[str] = set()
    latest_ms, latest_id = -1, ""
    for span in spans:
        end_ms = END_OF_TIME_MS if span.end_ms is None else span.end_ms
        if latest_id and span.start_ms < latest_ms:
            met |= {latest_id, span.outage_id}
        if not latest_id or end_ms > latest_ms:
            latest_ms, latest_id = end_ms, span.outage_id
    return met
