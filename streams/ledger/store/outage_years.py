"""Sums over outages that stand apart, by link, calendar and the local year in which they began.

Each outage's share is in `shares`; these are sums over its rows, so that ten years of a hundred links take a
thousand rows to read instead of one per outage.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from streams.ledger.store.calendars import calendars_of
from streams.ledger.store.rows import upsert
from streams.ledger.store.schema import OUTAGE_COLUMNS, outage_years, shares
from streams.model.availability import OutageFigures
from streams.model.hours.calendar import year_of


def sum_years(connection: sa.Connection, counted: Iterable[tuple[str, int]]) -> None:
    """Write the sums of the years of changed outages, which are given as link and start."""
    years: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for link, start_ms in counted:
        years[link].add(year_of(start_ms))
    for link, spans in sorted(years.items()):
        connection.execute(
            outage_years.delete().where(
                outage_years.c.link == link, outage_years.c.start_ms.in_([start_ms for start_ms, _ in spans])
            )
        )
        upsert(connection, outage_years, year_rows(connection, link, spans))


def year_rows(connection: sa.Connection, link: str, years: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the rows of a link's years ``[start, end)`` from its shares; years without any are omitted."""
    rows = []
    calendars = calendars_of(connection)
    for start_ms, end_ms in sorted(years):
        within = [shares.c.link == link, shares.c.start_ms >= start_ms, shares.c.start_ms < end_ms]
        for calendar in calendars:
            met = sums_by_link(connection, calendar, within).get(link, (OutageFigures(), 0, 0))[0]
            if met != OutageFigures():
                place = {"calendar": calendar, "start_ms": start_ms, "link": link}
                rows.append(place | {name: getattr(met, name) for name in OUTAGE_COLUMNS})
    return rows


def sums_by_link(
    connection: sa.Connection, calendar: str, conditions: Collection[sa.ColumnElement[bool]]
) -> dict[str, tuple[OutageFigures, int, int]]:
    """Return, by link, the figures of outages that stand apart, and their down and degraded time in ms."""
    statement = (
        sa.select(
            shares.c.link,
            shares.c.kind,
            sa.func.count().label("number"),
            sa.func.max(shares.c.counted_ms).label("longest"),
            sa.func.sum(shares.c.counted_ms).label("counted"),
            sa.func.sum(shares.c.dossiers_affected).label("dossiers"),
        )
        .where(shares.c.calendar == calendar, *conditions)
        .group_by(shares.c.link, shares.c.kind)
    )
    met: dict[str, tuple[OutageFigures, int, int]] = {}
    for link, kind, number, longest_ms, counted_ms, dossiers in connection.execute(statement).all():
        figures, down_ms, degraded_ms = met.get(link, (OutageFigures(), 0, 0))
        if kind == "down":
            met[link] = (
                figures + OutageFigures(int(number), 0, int(longest_ms), int(dossiers)),
                down_ms + int(counted_ms),
                degraded_ms,
            )
        else:
            more = OutageFigures(0, int(number), 0, int(dossiers))
            met[link] = (figures + more, down_ms, degraded_ms + int(counted_ms))
    return met


def sums_of_years(
    connection: sa.Connection, calendar: str, start_ms: int, end_ms: int, link: str | None
) -> dict[str, OutageFigures]:
    """Return, by link, the figures of the outages that began in the whole years ``[start, end)``."""
    column = outage_years.c
    statement = (
        sa.select(
            column.link,
            sa.func.sum(column.down_outages),
            sa.func.sum(column.degraded_outages),
            sa.func.max(column.longest_down_ms),
            sa.func.sum(column.dossiers_affected),
        )
        .where(column.calendar == calendar, column.start_ms >= start_ms, column.start_ms < end_ms)
        .group_by(column.link)
    )
    if link is not None:
        statement = statement.where(column.link == link)
    return {row[0]: OutageFigures(*map(int, row[1:])) for row in connection.execute(statement).all()}
