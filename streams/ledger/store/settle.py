"""Update the derived tables in the transaction that changes their source.

The tables hold facts from outages and windows. Exclusions and retirements are applied by queries
(`streams.ledger.read`); here they only decide for which parts of days figures are stored, and which outages
no longer stand apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from streams.ledger.read.histories import days_of, span_of, spans_between
from streams.ledger.store.calendars import calendars_of, versions
from streams.ledger.store.days import DirtyDays, LinkLife
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.outage_years import sum_years
from streams.ledger.store.regroup import regroup
from streams.ledger.store.rollups import Named, Rows, day_rows, month_sums, year_sums
from streams.ledger.store.rows import chunks, outage_decoder, select_in, upsert
from streams.ledger.store.schema import (
    DERIVED,
    day_parts,
    figures,
    links,
    outage_revisions,
    outage_scopes,
    outages,
    settings,
    shares,
    window_days,
)
from streams.ledger.store.shares import END_OF_TIME_MS, settle_shares
from streams.model.availability import OutageSpan
from streams.model.border import UNREADABLE
from streams.model.hours.calendar import DAY_MS, day_start_ms
from streams.model.outage import Outage

CALENDAR_SETTING: Final = "calendars"

Days = Mapping[tuple[str, int], DayOfMinutes]


def settle(
    connection: sa.Connection, dirty: DirtyDays, changed: Mapping[str, Outage], read: Days | None = None
) -> None:
    """Write changed outages, and count again everything that they and the dirty days touch."""
    earlier = _write_outages(connection, changed)
    named = Named(connection)
    counted = [(row.link, row.start_ms) for row in earlier]
    counted += [(outage.link, outage.start_ms) for outage in changed.values()]
    days = dirty.days()
    met: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for link, start_ms, end_ms in dirty.met():
        met[link].append((start_ms, end_ms))
    for link in sorted(days.keys() | met.keys()):
        if (life := dirty.lives.get(link)) is not None:
            known = {day_ms: day for (of_link, day_ms), day in (read or {}).items() if of_link == link}
            spans = _settle_link(connection, link, days.get(link, []), met[link], life, named, known)
            counted += [(link, span.start_ms) for span in spans]
    sum_years(connection, counted)
    if changed:
        incident_ids = [row.incident_id for row in earlier if row.incident_id is not None]
        regroup(connection, changed.values(), incident_ids)


def recount(
    connection: sa.Connection, link: str, days: list[int], life: LinkLife, named: Named
) -> tuple[Rows, Rows]:
    """Return the correct rows of a link's days and of their named parts, without writing any."""
    spans = spans_between(connection, days[0], days[-1] + DAY_MS, [link]).get(link, [])
    return day_rows(link, days, days_of(connection, link, days), spans, life, named)


def settle_after_upgrade(connection: sa.Connection) -> bool:
    """Rebuild all derived tables if calendars or layout changed since; return whether they did."""
    counted_with = connection.scalar(sa.select(settings.c.value).where(settings.c.name == CALENDAR_SETTING))
    count_with = versions(calendars_of(connection))
    if counted_with == count_with:
        return False
    for table in DERIVED:
        connection.execute(table.delete())
    first_days = sa.select(window_days.c.link, sa.func.min(window_days.c.day_ms)).group_by(window_days.c.link)
    for link, day_ms in connection.execute(first_days).all():
        first_ms = days_of(connection, link, [day_ms])[day_ms].first_ms()
        connection.execute(links.update().where(links.c.link == link).values(first_ms=first_ms))
    dirty = DirtyDays(connection)
    changed = last_revisions(connection)
    for outage in changed.values():
        dirty.add_span(outage.link, outage.start_ms, outage.end_ms)
    for link, life in dirty.lives.items():
        dirty.add_span(link, life.first_day_ms, life.end_ms)
    settle(connection, dirty, changed)
    upsert(connection, settings, [{"name": CALENDAR_SETTING, "value": count_with}])
    return True


def _write_outages(connection: sa.Connection, changed: Mapping[str, Outage]) -> list[sa.Row[Any]]:
    """Replace the last revisions; return link, start and incident of the replaced ones."""
    stood = sa.select(outages.c.link, outages.c.start_ms, outages.c.incident_id)
    earlier = list(select_in(connection, stood, outages.c.outage_id, list(changed)))
    first = first_detected(connection, changed)
    upsert(connection, outages, [outage_row(one, first[one.outage_id]) for one in changed.values()])
    for chunk in chunks(changed):
        connection.execute(outage_scopes.delete().where(outage_scopes.c.outage_id.in_(chunk)))
        connection.execute(shares.delete().where(shares.c.outage_id.in_(chunk)))
    scopes = [row for outage in changed.values() for row in scope_rows(outage)]
    for rows in chunks(scopes):
        connection.execute(outage_scopes.insert(), rows)
    return earlier


def first_detected(connection: sa.Connection, outage_ids: Iterable[str]) -> dict[str, int]:
    """Return when each outage was first published."""
    column = outage_revisions.c
    first = sa.func.min(column.detected_at_ms).label("first_ms")
    statement = sa.select(column.outage_id, first).group_by(column.outage_id)
    rows = select_in(connection, statement, column.outage_id, outage_ids)
    return {row.outage_id: row.first_ms for row in rows}


def outage_row(outage: Outage, first_detected_ms: int) -> dict[str, Any]:
    """Return the row of an outage's last revision; ``incident_id`` and ``apart`` are filled in later."""
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
        "first_detected_ms": first_detected_ms,
        "attempts": outage.attempts,
        "failures": outage.failures,
        "dossiers_affected": outage.dossiers_affected,
        "dossiers_error": outage.dossiers_error,
        "changes": outage.changes,
        "incident_id": None,
        "apart": False,
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
    met: Iterable[tuple[int, int | None]],
    life: LinkLife,
    named: Named,
    read: Mapping[int, DayOfMinutes],
) -> Iterable[OutageSpan]:
    """Count a link's days again, and the outages in them or in ``met``; return those outages."""
    touching: dict[str, OutageSpan] = {}
    if days:
        spans = spans_between(connection, days[0], days[-1] + DAY_MS, [link]).get(link, [])
        touched = set(days)
        touching |= {span.outage_id: span for span in spans if _touches(span, touched, life)}
        unpacked = dict(read) | days_of(connection, link, touched - read.keys())
        whole, parts = day_rows(link, days, unpacked, spans, life, named)
        upsert(connection, figures, whole)
        upsert(connection, day_parts, parts)
        upsert(connection, figures, month_sums(connection, link, days, named.calendars))
        upsert(connection, figures, year_sums(connection, link, days, named.calendars))
    else:
        unpacked = dict(read)
    for start_ms, end_ms in met:
        found = spans_between(connection, start_ms, END_OF_TIME_MS if end_ms is None else end_ms, [link])
        touching |= {span.outage_id: span for span in found.get(link, [])}
    settle_shares(connection, link, touching.values(), life, named, unpacked)
    return touching.values()


def _touches(span: OutageSpan, days: set[int], life: LinkLife) -> bool:
    end_ms = life.end_ms if span.end_ms is None else span.end_ms
    return any(day_ms in days for day_ms in range(day_start_ms(span.start_ms), end_ms, DAY_MS))


def last_revisions(connection: sa.Connection, *, readable: bool = False) -> dict[str, Outage]:
    """Return the last revision of every outage, decoded from the published bytes.

    Raises `msgspec.DecodeError` if one cannot be read; with ``readable`` such revisions are skipped.
    """
    last: dict[str, Outage] = {}
    for body in connection.scalars(sa.select(outage_revisions.c.body).order_by(outage_revisions.c.revision)):
        try:
            outage = outage_decoder.decode(body)
        except UNREADABLE:
            if readable:
                continue
            raise
        last[outage.outage_id] = outage
    return last


def spans_by_link(published: Iterable[Outage]) -> dict[str, list[OutageSpan]]:
    """Return the outages that are not retracted, by link."""
    found: dict[str, list[OutageSpan]] = defaultdict(list)
    for outage in published:
        if outage.status != "retracted":
            found[outage.link].append(span_of(outage))
    return found
