"""A link's history out of the ledger, as availability is computed from it."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from streams.ledger.read.reach import earliest_start_ms
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.rows import exclusion_decoder, outage_decoder, select_in
from streams.ledger.store.schema import exclusion_revisions, outage_revisions, outages, window_days
from streams.model.availability import LinkHistory, OutageSpan, Requests
from streams.model.calendar import DAY_MS, day_start_ms
from streams.model.exclusion import Exclusion, latest
from streams.model.intervals import Intervals, clip, difference, union
from streams.model.outage import Outage


class RequestsOfDays:
    """The requests of several days."""

    def __init__(self, days: Iterable[Requests]) -> None:
        self._days = list(days)

    def within(self, counted: Intervals) -> tuple[int, int]:
        """Return attempts and failures of the minutes that begin in counted time."""
        sums = [day.within(counted) for day in self._days]
        return sum(attempts for attempts, _ in sums), sum(failures for _, failures in sums)


def all_exclusions(connection: sa.Connection, as_of_ms: int | None = None) -> list[Exclusion]:
    """Return the last revision of every exclusion, withdrawn ones too, by start."""
    bodies = connection.scalars(sa.select(exclusion_revisions.c.body))
    return latest(map(exclusion_decoder.decode, bodies), as_of_ms)


def unpacked_days(
    connection: sa.Connection, start_ms: int, end_ms: int, links: Iterable[str] | None = None
) -> dict[str, dict[int, DayOfMinutes]]:
    """Return the days that touch ``[start_ms, end_ms)``, for figures, by link and day."""
    statement = sa.select(window_days.c.link, window_days.c.day_ms, window_days.c.columns).where(
        window_days.c.day_ms >= day_start_ms(start_ms), window_days.c.day_ms < end_ms
    )
    if links is not None:
        statement = statement.where(window_days.c.link.in_(list(links)))
    found: dict[str, dict[int, DayOfMinutes]] = {}
    for row in connection.execute(statement):
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
    """Return the revisions that stood at a moment of those outages that were published by then, by id."""
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
    """Return the history of ``[start_ms, end_ms)``; a day that has no windows is unknown as a whole."""
    day_starts = range(day_start_ms(start_ms), end_ms, DAY_MS)
    present = [days[day_ms] for day_ms in day_starts if day_ms in days]
    watched = union((day.day_ms, day.day_ms + DAY_MS) for day in present)
    unknown = difference([(start_ms, end_ms)], watched)
    for day in present:
        unknown += day.unknown()
    requests: Requests = present[0] if len(present) == 1 else RequestsOfDays(present)
    return LinkHistory(spans, clip(union(unknown), start_ms, end_ms), excluded, requests)
