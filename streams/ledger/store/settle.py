"""The derived tables, brought up to date inside the transaction that changes what they derive from.

Figures are kept by link, calendar and local day, by month as the sum of its days, and by year as the sum of
its months. They are additive, so nothing is lost, and `streams.model.availability.account` alone computes
them. What is said of outages is kept by the year in which they began (`outage_years.py`).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from streams.ledger.read.histories import all_exclusions, history, span_of, spans_between, unpacked_days
from streams.ledger.store.days import DirtyDays, LinkLife, link_lives
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.outage_years import sum_years
from streams.ledger.store.regroup import regroup
from streams.ledger.store.rows import chunks, outage_decoder, select_in, upsert
from streams.ledger.store.schema import (
    COUNTED_COLUMN,
    FIGURE_COLUMNS,
    figures,
    outage_revisions,
    outage_scopes,
    outages,
    settings,
)
from streams.model.availability import Figures, OutageSpan, account
from streams.model.calendar import CALENDARS, DAY_MS, month_of, year_of
from streams.model.exclusion import Exclusion, excluded_time
from streams.model.intervals import Intervals
from streams.model.outage import Outage

CALENDAR_SETTING: Final = "calendars"
CALENDAR_VERSIONS: Final = " ".join(f"{calendar.name}={calendar.version}" for calendar in CALENDARS.values())

Days = Mapping[tuple[str, int], DayOfMinutes]


def settle(
    connection: sa.Connection, dirty: DirtyDays, changed: Mapping[str, Outage], read: Days | None = None
) -> None:
    """Write changed outages and count again what they, and the dirty days, touch."""
    earlier = _write_outages(connection, changed)
    exclusions = all_exclusions(connection)
    counted = [(row.link, row.start_ms) for row in earlier]
    counted += [(outage.link, outage.start_ms) for outage in changed.values()]
    for link, days in dirty.days().items():
        counted += _settle_link(connection, link, days, dirty.lives[link], exclusions, read or {})
    sum_years(connection, counted)
    if changed:
        incident_ids = [row.incident_id for row in earlier if row.incident_id is not None]
        regroup(connection, changed.values(), incident_ids)


def recount(connection: sa.Connection, link: str, days: list[int]) -> list[dict[str, Any]]:
    """Return the figures of a link's days as they should be, without writing any."""
    unpacked = unpacked_days(connection, days[0], days[-1] + DAY_MS, [link]).get(link, {})
    spans = spans_between(connection, days[0], days[-1] + DAY_MS, [link]).get(link, [])
    return _day_rows(link, days, unpacked, spans, all_exclusions(connection))


def settle_after_upgrade(connection: sa.Connection) -> bool:
    """Count everything again if a calendar's version is another than the ledger was counted with."""
    counted_with = connection.scalar(sa.select(settings.c.value).where(settings.c.name == CALENDAR_SETTING))
    if counted_with == CALENDAR_VERSIONS:
        return False
    dirty = DirtyDays(connection)
    for link, life in dirty.lives.items():
        dirty.add_span(link, life.first_day_ms, life.end_ms)
    settle(connection, dirty, {})
    upsert(connection, settings, [{"name": CALENDAR_SETTING, "value": CALENDAR_VERSIONS}])
    return True


def _write_outages(connection: sa.Connection, changed: Mapping[str, Outage]) -> list[sa.Row[Any]]:
    """Replace the last revisions; return link, start and incident of those that stood before."""
    stood = sa.select(outages.c.link, outages.c.start_ms, outages.c.incident_id)
    earlier = list(select_in(connection, stood, outages.c.outage_id, list(changed)))
    upsert(connection, outages, [outage_row(outage) for outage in changed.values()])
    for chunk in chunks(changed):
        connection.execute(outage_scopes.delete().where(outage_scopes.c.outage_id.in_(chunk)))
    scopes = [row for outage in changed.values() for row in scope_rows(outage)]
    for rows in chunks(scopes):
        connection.execute(outage_scopes.insert(), rows)
    return earlier


def outage_row(outage: Outage) -> dict[str, Any]:
    """Return the row of an outage's last revision, its counted time not yet known."""
    return {
        "outage_id": outage.outage_id,
        "revision": outage.revision,
        "status": outage.status,
        "link": outage.link,
        "kind": outage.kind,
        "fault_domain": outage.fault_domain,
        "start_ms": outage.start_ms,
        "end_ms": outage.end_ms,
        "detected_at_ms": outage.detected_at_ms,
        "attempts": outage.attempts,
        "failures": outage.failures,
        "dossiers_affected": outage.dossiers_affected,
        "dossiers_error": outage.dossiers_error,
        "changes": outage.changes,
        "incident_id": None,
        "counted_ms": 0,
        "counted_office_ms": 0,
    }


def scope_rows(outage: Outage) -> list[dict[str, Any]]:
    """Return the services and agencies that an outage names."""
    return [
        {"scope": scope, "name": name, "outage_id": outage.outage_id}
        for scope, names in (("service", outage.services), ("agency", outage.agencies))
        for name in sorted(set(names))
    ]


def _settle_link(
    connection: sa.Connection,
    link: str,
    days: list[int],
    life: LinkLife,
    exclusions: list[Exclusion],
    read: Days,
) -> list[tuple[str, int]]:
    """Count a link's days again, and the outages that touch them; return link and start of those."""
    touched = set(days)
    spans = spans_between(connection, days[0], days[-1] + DAY_MS, [link]).get(link, [])
    touching = [span for span in spans if _touches(span, touched, life)]
    first = min([days[0], *(span.start_ms for span in touching)])
    last = max([days[-1] + DAY_MS, *(span.end_ms or life.end_ms for span in touching)])
    unpacked = unpacked_days(connection, first, min(last, life.end_ms), [link]).get(link, {})
    unpacked |= {day_ms: day for (of_link, day_ms), day in read.items() if of_link == link}
    rows = _day_rows(link, days, unpacked, spans, exclusions)
    upsert(connection, figures, rows)
    upsert(connection, figures, month_sums(connection, link, days))
    upsert(connection, figures, year_sums(connection, link, days))
    _count_outages(connection, touching, unpacked, excluded_time(exclusions, link), life)
    return [(link, span.start_ms) for span in touching]


def _touches(span: OutageSpan, days: set[int], life: LinkLife) -> bool:
    end_ms = life.end_ms if span.end_ms is None else span.end_ms
    first_day_ms = span.start_ms - (span.start_ms - life.first_day_ms) % DAY_MS
    return any(day_ms in days for day_ms in range(first_day_ms, end_ms, DAY_MS))


def _day_rows(
    link: str,
    days: Iterable[int],
    unpacked: Mapping[int, DayOfMinutes],
    spans: list[OutageSpan],
    exclusions: list[Exclusion],
) -> list[dict[str, Any]]:
    excluded = excluded_time(exclusions, link)
    rows = []
    for day_ms in days:
        end_ms = day_ms + DAY_MS
        inside = [span for span in spans if span.start_ms < end_ms and (span.end_ms or end_ms) > day_ms]
        day = history(unpacked, inside, excluded, day_ms, end_ms)
        for calendar in CALENDARS.values():
            counted, _ = account(day, calendar, day_ms, end_ms)
            rows.append(_figure_row(calendar.name, "day", day_ms, link, counted))
    return rows


def _figure_row(calendar: str, grain: str, start_ms: int, link: str, counted: Figures) -> dict[str, Any]:
    place = {"calendar": calendar, "grain": grain, "start_ms": start_ms, "link": link}
    return place | {name: getattr(counted, name) for name in FIGURE_COLUMNS}


def month_sums(connection: sa.Connection, link: str, days: Iterable[int]) -> list[dict[str, Any]]:
    """Return the figures of the months that hold some days, as the sums of their days' figures."""
    return _sums(connection, link, "month", {month_of(day_ms) for day_ms in days}, "day")


def year_sums(connection: sa.Connection, link: str, days: Iterable[int]) -> list[dict[str, Any]]:
    """Return the figures of the years that hold some days, as the sums of their months' figures."""
    return _sums(connection, link, "year", {year_of(day_ms) for day_ms in days}, "month")


def _sums(
    connection: sa.Connection, link: str, grain: str, spans: Iterable[tuple[int, int]], of: str
) -> list[dict[str, Any]]:
    rows = []
    for start_ms, end_ms in sorted(spans):
        sums = [sa.func.sum(figures.c[name]).label(name) for name in FIGURE_COLUMNS]
        for row in connection.execute(
            sa.select(figures.c.calendar, *sums)
            .where(
                figures.c.grain == of,
                figures.c.link == link,
                figures.c.calendar.in_(list(CALENDARS)),
                figures.c.start_ms >= start_ms,
                figures.c.start_ms < end_ms,
            )
            .group_by(figures.c.calendar)
        ):
            counted = Figures(**{name: int(getattr(row, name)) for name in FIGURE_COLUMNS})
            rows.append(_figure_row(row.calendar, grain, start_ms, link, counted))
    return rows


def _count_outages(
    connection: sa.Connection,
    spans: list[OutageSpan],
    unpacked: Mapping[int, DayOfMinutes],
    excluded: Intervals,
    life: LinkLife,
) -> None:
    rows = [{"id": span.outage_id} | _counted(span, unpacked, excluded, life) for span in spans]
    if rows:
        connection.execute(
            outages.update()
            .where(outages.c.outage_id == sa.bindparam("id"))
            .values(
                counted_ms=sa.bindparam("counted_ms"), counted_office_ms=sa.bindparam("counted_office_ms")
            ),
            rows,
        )


def _counted(
    span: OutageSpan, unpacked: Mapping[int, DayOfMinutes], excluded: Intervals, life: LinkLife
) -> dict[str, int]:
    """Return an outage's counted time under each calendar, by column."""
    end_ms = life.end_ms if span.end_ms is None else span.end_ms
    if end_ms <= span.start_ms:
        return {column.name: 0 for column in COUNTED_COLUMN.values()}
    outage_history = history(unpacked, [span], excluded, span.start_ms, end_ms)
    return {
        COUNTED_COLUMN[name].name: sum(
            share.counted_ms for share in account(outage_history, calendar, span.start_ms, end_ms)[1]
        )
        for name, calendar in CALENDARS.items()
    }


def counted_times(connection: sa.Connection, published: Iterable[Outage]) -> dict[str, dict[str, int]]:
    """Return the counted time of each outage under each calendar, from its windows, by id and column."""
    lives = link_lives(connection)
    exclusions = all_exclusions(connection)
    of_link: dict[str, list[Outage]] = {}
    for outage in published:
        of_link.setdefault(outage.link, []).append(outage)
    counted = {}
    for link, members in of_link.items():
        life, excluded = lives.get(link), excluded_time(exclusions, link)
        unpacked = {} if life is None else unpacked_days(connection, life.first_day_ms, life.end_ms, [link])
        for outage in members:
            if life is None or outage.status == "retracted":
                counted[outage.outage_id] = {column.name: 0 for column in COUNTED_COLUMN.values()}
            else:
                counted[outage.outage_id] = _counted(span_of(outage), unpacked.get(link, {}), excluded, life)
    return counted


def last_revisions(connection: sa.Connection) -> dict[str, Outage]:
    """Return the last revision of every outage, decoded from what was published."""
    last: dict[str, Outage] = {}
    for body in connection.scalars(sa.select(outage_revisions.c.body).order_by(outage_revisions.c.revision)):
        outage = outage_decoder.decode(body)
        last[outage.outage_id] = outage
    return last
