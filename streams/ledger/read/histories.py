"""A link's history from the ledger, in the form from which availability is computed."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from streams.ledger.read.reach import earliest_start_ms
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.rows import (
    exclusion_decoder,
    outage_decoder,
    retirement_decoder,
    select_at,
    select_in,
)
from streams.ledger.store.schema import (
    exclusion_revisions,
    outage_revisions,
    outages,
    retirement_revisions,
    window_days,
)
from streams.model.availability import LinkHistory, OutageSpan, RequestCounts, Requests
from streams.model.exclusion import Exclusion, Ruling, rulings
from streams.model.hours.calendar import DAY_MS, day_start_ms
from streams.model.intervals import Intervals, clip, difference, union
from streams.model.outage import Outage
from streams.model.retirement import Retirement, last_retirements


class RequestsOfDays:
    """The requests of several days."""

    def __init__(self, days: Iterable[Requests]) -> None:
        self._days = list(days)

    def within(self, counted: Intervals) -> RequestCounts:
        """Return the counts of the minutes that begin in counted time."""
        sums = [day.within(counted) for day in self._days]
        return RequestCounts(*map(sum, zip(*sums, strict=True))) if sums else RequestCounts()


def exclusion_revisions_of(connection: sa.Connection, exclusion_id: str | None = None) -> list[Exclusion]:
    """Return every revision of every exclusion, or of one, oldest first."""
    column = exclusion_revisions.c
    statement = sa.select(column.body).order_by(column.exclusion_id, column.revision)
    if exclusion_id is not None:
        statement = statement.where(column.exclusion_id == exclusion_id)
    return [exclusion_decoder.decode(body) for body in connection.scalars(statement).all()]


def all_rulings(connection: sa.Connection, as_of_ms: int | None = None) -> list[Ruling]:
    """Return the state of every exclusion at a moment, including withdrawn ones, by start."""
    return rulings(exclusion_revisions_of(connection), as_of_ms)


def retirement_revisions_of(connection: sa.Connection, link: str | None = None) -> list[Retirement]:
    """Return every revision of every link's retirement, or of one link's, oldest first."""
    column = retirement_revisions.c
    statement = sa.select(column.body).order_by(column.link, column.revision)
    if link is not None:
        statement = statement.where(column.link == link)
    return [retirement_decoder.decode(body) for body in connection.scalars(statement)]


def retirements(connection: sa.Connection, as_of_ms: int | None = None) -> dict[str, Retirement]:
    """Return the last revision of each link's retirement at a moment, including withdrawn ones."""
    return last_retirements(retirement_revisions_of(connection), as_of_ms)


def days_of(connection: sa.Connection, link: str, days: Iterable[int]) -> dict[int, DayOfMinutes]:
    """Return those of a link's days that have windows, unpacked for figures, by day."""
    statement = sa.select(window_days.c.day_ms, window_days.c.columns).where(window_days.c.link == link)
    return {
        row.day_ms: DayOfMinutes.unpack(row.day_ms, row.columns)
        for row in select_in(connection, statement, window_days.c.day_ms, days)
    }


def days_at(
    connection: sa.Connection, places: Iterable[tuple[str, int]]
) -> dict[str, dict[int, DayOfMinutes]]:
    """Return those days of ``places`` (link, day) with windows, unpacked for figures, by link and day."""
    column = window_days.c
    statement = sa.select(column.link, column.day_ms, column.columns)
    found: dict[str, dict[int, DayOfMinutes]] = {}
    for row in select_at(
        connection, statement, {"link": column.link, "day_ms": column.day_ms}, sorted(places)
    ):
        found.setdefault(row.link, {})[row.day_ms] = DayOfMinutes.unpack(row.day_ms, row.columns)
    return found


def unpacked_days(
    connection: sa.Connection, start_ms: int, end_ms: int, links: Iterable[str]
) -> dict[str, dict[int, DayOfMinutes]]:
    """Return the days that touch ``[start_ms, end_ms)``, unpacked for figures, by link and day."""
    statement = sa.select(window_days.c.link, window_days.c.day_ms, window_days.c.columns).where(
        window_days.c.day_ms >= day_start_ms(start_ms), window_days.c.day_ms < end_ms
    )
    found: dict[str, dict[int, DayOfMinutes]] = {}
    for row in select_in(connection, statement, window_days.c.link, links):
        found.setdefault(row.link, {})[row.day_ms] = DayOfMinutes.unpack(row.day_ms, row.columns)
    return found


def spans_between(
    connection: sa.Connection, start_ms: int, end_ms: int, links: Iterable[str] | None = None
) -> dict[str, list[OutageSpan]]:
    """Return the last revisions of the outages that touch ``[start_ms, end_ms)``, by link and start."""
    statement = (
        sa.select(
            outages.c.link,
            outages.c.outage_id,
            outages.c.kind,
            outages.c.start_ms,
            outages.c.end_ms,
            outages.c.dossiers_affected,
        )
        .where(
            outages.c.status != "retracted",
            outages.c.start_ms >= earliest_start_ms(connection, outages, start_ms),
            outages.c.start_ms < end_ms,
            sa.or_(outages.c.end_ms > start_ms, outages.c.end_ms.is_(None)),
        )
        .order_by(outages.c.start_ms, outages.c.outage_id)
    )
    if links is not None:
        statement = statement.where(outages.c.link.in_(list(links)))
    found: dict[str, list[OutageSpan]] = {}
    for link, *span in connection.execute(statement):
        found.setdefault(link, []).append(OutageSpan(*span))
    return found


def outages_as_of(connection: sa.Connection, as_of_ms: int, outage_ids: Iterable[str]) -> dict[str, Outage]:
    """Return the revisions current at a moment, for those of the outages published by then, by id."""
    stood: dict[str, Outage] = {}
    statement = (
        sa.select(outage_revisions.c.body)
        .where(outage_revisions.c.detected_at_ms <= as_of_ms)
        .order_by(outage_revisions.c.revision)
    )
    for row in select_in(connection, statement, outage_revisions.c.outage_id, outage_ids):
        outage = outage_decoder.decode(row.body)
        stood[outage.outage_id] = outage
    return stood


def span_of(outage: Outage) -> OutageSpan:
    """Return what availability needs to know of an outage."""
    return OutageSpan(outage.outage_id, outage.kind, outage.start_ms, outage.end_ms, outage.dossiers_affected)


def history(
    days: Mapping[int, DayOfMinutes], spans: list[OutageSpan], excluded: Intervals, start_ms: int, end_ms: int
) -> LinkHistory:
    """Return the history of ``[start_ms, end_ms)``; a day without windows is entirely unknown."""
    day_starts = range(day_start_ms(start_ms), end_ms, DAY_MS)
    present = [days[day_ms] for day_ms in day_starts if day_ms in days]
    watched = union((day.day_ms, day.day_ms + DAY_MS) for day in present)
    unknown = difference([(start_ms, end_ms)], watched)
    for day in present:
        unknown += day.unknown()
    requests: Requests = present[0] if len(present) == 1 else RequestsOfDays(present)
    return LinkHistory(spans, clip(union(unknown), start_ms, end_ms), excluded, requests)
