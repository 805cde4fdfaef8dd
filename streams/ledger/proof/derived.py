"""Check the derived tables against history: outages, their shares, figures, years, incidents."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from streams.ledger.proof.signed import Finding
from streams.ledger.store.days import LinkLife, link_lives
from streams.ledger.store.outage_years import year_rows
from streams.ledger.store.regroup import group_all, incident_row
from streams.ledger.store.rollups import Named, month_sums, year_sums
from streams.ledger.store.schema import (
    FIGURE_COLUMNS,
    day_parts,
    figures,
    incidents,
    outage_scopes,
    outage_years,
    outages,
    shares,
)
from streams.ledger.store.settle import (
    first_detected,
    last_revisions,
    outage_row,
    recount,
    scope_rows,
    spans_by_link,
)
from streams.ledger.store.shares import apart_ids, share_rows
from streams.model.hours.calendar import DAY_MS, local_date, year_of

Check = Callable[[], Iterator[Finding]]


def derived_checks(connection: sa.Connection) -> Iterator[tuple[str, str, Check]]:
    """Yield each check of the derived tables: kind, subject, and a function that finds differences."""
    yield "outage", "outages", partial(_check_outages, connection)
    for link, life in link_lives(connection).items():
        yield "figures", link, partial(_check_figures, connection, link, life)
    yield "figures", "years", partial(_check_outage_years, connection)
    yield "incident", "incidents", partial(_check_incidents, connection)


def _check_outages(connection: sa.Connection) -> Iterator[Finding]:
    """Compare the last revisions, their scopes and their shares with what was published."""
    lives, named, published = (
        link_lives(connection),
        Named(connection),
        last_revisions(connection, readable=True),
    )
    stored = {row.outage_id: row for row in connection.execute(sa.select(outages))}
    first = first_detected(connection, published)
    apart: set[str] = set()
    counted: set[tuple[Any, ...]] = set()
    for link, spans in spans_by_link(published.values()).items():
        if link in lives:
            apart |= apart_ids(connection, link, spans, lives[link], named)
            rows = share_rows(connection, link, spans, lives[link], named)
            counted |= {tuple(row.values()) for row in rows}
    for outage_id in sorted(published.keys() | stored.keys()):
        row, outage = stored.get(outage_id), published.get(outage_id)
        if row is None or outage is None:
            odd = "is published and not listed" if row is None else "was never published"
            yield Finding("outage", outage_id, odd)
            continue
        expected = outage_row(outage, first[outage_id]) | {"apart": outage_id in apart}
        for column, value in expected.items():
            if column != "incident_id" and getattr(row, column) != value:
                yield Finding("outage", outage_id, f"`{column}` is {getattr(row, column)!r}, not {value!r}")
    kept = {tuple(row) for row in connection.execute(sa.select(shares))}
    for calendar, outage_id in sorted({row[:2] for row in kept ^ counted}):
        yield Finding("outage", outage_id, f"its share under {calendar} is not what its windows give")
    scopes = {(row.scope, row.name, row.outage_id) for row in connection.execute(sa.select(outage_scopes))}
    told = {
        (row["scope"], row["name"], row["outage_id"])
        for outage in published.values()
        for row in scope_rows(outage)
    }
    for scope, name, outage_id in sorted(scopes ^ told):
        odd = "added" if (scope, name, outage_id) in scopes else "left out"
        yield Finding("outage", outage_id, f"{scope} {name!r} is {odd}")


def _check_figures(connection: sa.Connection, link: str, life: LinkLife) -> Iterator[Finding]:
    named = Named(connection)
    days = list(range(life.first_day_ms, life.end_ms, DAY_MS))
    whole, parts = recount(connection, link, days, life, named)
    right = {
        "day": _by_place(whole),
        "month": _by_place(month_sums(connection, link, days, named.calendars)),
        "year": _by_place(year_sums(connection, link, days, named.calendars)),
    }
    for grain, expected in right.items():
        rows = connection.execute(sa.select(figures).where(figures.c.link == link, figures.c.grain == grain))
        stored = _by_place(row._asdict() for row in rows)
        for place in sorted(stored.keys() | expected.keys()):
            if stored.get(place) != expected.get(place):
                where = f"{link} {place[0]} {grain} {local_date(place[1])}"
                yield Finding("figures", where, "are not what its windows and outages give")
    rows = connection.execute(sa.select(day_parts).where(day_parts.c.link == link))
    kept, counted = _by_place(row._asdict() for row in rows), _by_place(parts)
    for place in sorted(kept.keys() | counted.keys()):
        if kept.get(place) != counted.get(place):
            where = f"{link} {place[0]} part of {local_date(place[1])}"
            yield Finding("figures", where, "are not what its windows and outages give")


def _check_outage_years(connection: sa.Connection) -> Iterator[Finding]:
    """Compare the outage figures by year with those computed from the outages' shares."""
    years: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for link, start_ms in connection.execute(sa.select(shares.c.link, shares.c.start_ms)):
        years[link].add(year_of(start_ms))
    expected = {
        tuple(row.values()) for link, spans in years.items() for row in year_rows(connection, link, spans)
    }
    stored = {tuple(row) for row in connection.execute(sa.select(outage_years))}
    for calendar, start_ms, link in sorted({row[:3] for row in expected ^ stored}):
        where = f"{link} {calendar} year {local_date(start_ms).year}"
        yield Finding("figures", where, "are not what its outages give")


def _by_place(rows: Iterable[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Return figures by calendar, start and, for a part of a day, end."""
    return {
        (row["calendar"], row["start_ms"], row.get("end_ms", 0)): tuple(
            int(row[name]) for name in FIGURE_COLUMNS
        )
        for row in rows
    }


def _check_incidents(connection: sa.Connection) -> Iterator[Finding]:
    groups = group_all(connection)
    expected = {incident.incident_id: incident_row(incident) for incident in groups}
    stored = {row.incident_id: row._asdict() for row in connection.execute(sa.select(incidents))}
    for incident_id in sorted(expected.keys() | stored.keys()):
        if expected.get(incident_id) != stored.get(incident_id):
            yield Finding("incident", incident_id, "is not what its outages make up")
    part_of = {outage_id: incident.incident_id for incident in groups for outage_id in incident.outage_ids}
    for row in connection.execute(sa.select(outages.c.outage_id, outages.c.incident_id)):
        if row.incident_id != part_of.get(row.outage_id):
            yield Finding("incident", row.outage_id, "is told as part of another incident than it is")
