"""Fill a ledger with ten invented years of a hundred links: rollups, windows, outages, incidents.

The windows are 50 million minutes: the last 347 days of each link, as days of 1440. The figures of all ten
years are rows as `record` writes them. The values do not affect how long queries take.
"""

import random
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final, cast

import msgspec
import psycopg
import sqlalchemy as sa
from msgspec import Struct
from psycopg import sql

from streams.ledger.proof import merkle
from streams.ledger.proof.tree import StoredLog
from streams.ledger.store.apply import apply_records
from streams.ledger.store.calendars import versions
from streams.ledger.store.database import writing
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.outage_years import sum_years
from streams.ledger.store.regroup import group_all, incident_row
from streams.ledger.store.rows import chunks
from streams.ledger.store.schema import (
    figures,
    incidents,
    links,
    log_nodes,
    outage_revisions,
    outage_scopes,
    outages,
    settings,
    shares,
    window_days,
)
from streams.ledger.store.settle import CALENDAR_SETTING, outage_row, scope_rows
from streams.model.canonical import encode
from streams.model.exclusion import EVERY_LINK, Exclusion, approve, new_exclusion, rulings, withdraw
from streams.model.hours.calendar import (
    CALENDARS,
    DAY_MS,
    MINUTE_MS,
    date_ms,
    local_date,
    month_of,
    service_length_ms,
    year_of,
)
from streams.model.measurement import Source
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.model.topics import EXCLUSIONS

LOG: Final = "link.outages/0"
ROWS: Final = 5_000


class Size(Struct, frozen=True):
    """How much to generate; each link gets windows for ``window_days``."""

    links: int = 100
    days: int = 3_653
    outages: int = 50_000
    window_days: int = 348
    first_year: int = 2016


def fill(engine: sa.Engine, size: Size, seed: int = 1) -> Mapping[str, int]:
    """Fill an empty ledger; return the number of rows by kind."""
    rng = random.Random(seed)  # noqa: S311 - made-up data
    names = [f"portal{i // 4:02}-provider{i % 4}" for i in range(size.links)]
    first_ms = date_ms(local_date(0).replace(year=size.first_year))
    end_ms = first_ms + size.days * DAY_MS
    with writing(engine) as connection:
        connection.execute(settings.insert().values(name=CALENDAR_SETTING, value=versions(CALENDARS)))
        life = {"first_ms": first_ms, "last_day_ms": end_ms - DAY_MS, "known_until_ms": end_ms}
        connection.execute(links.insert(), [{"link": name} | life for name in names])
        _insert(connection, figures, _figures(names, first_ms, size.days, rng))
        _insert(connection, window_days, _windows(names, end_ms, size.window_days, rng))
        published = _outages(names, first_ms, end_ms, size.outages, rng)
        _insert_outages(connection, published)
        sum_years(connection, ((outage.link, outage.start_ms) for outage in published))
        _insert(connection, incidents, (incident_row(one) for one in group_all(connection)))
    judged = _exclusions(names, first_ms, size.days, rng)
    apply_records(engine, judged)
    return {
        "links": size.links,
        "windows": size.links * size.window_days * DAY_MS // MINUTE_MS,
        "outages": size.outages,
        "exclusions": len(judged),
    }


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns, the way that is quickest for the database."""
    if connection.dialect.name != "postgresql":
        for chunk in chunks(rows, ROWS):
            connection.execute(table.insert(), chunk)
        return
    first = next(rows, None)
    if first is None:
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, first))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
    driver = cast(psycopg.Connection[Any], connection.connection.driver_connection)
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in chain([first], rows):
            copy.write_row(list(row.values()))


def _figures(names: list[str], first_ms: int, days: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    for calendar in CALENDARS.values():
        sums: dict[tuple[str, int, str], dict[str, Any]] = {}
        for day_ms in range(first_ms, first_ms + days * DAY_MS, DAY_MS):
            service = service_length_ms(calendar, day_ms, day_ms + DAY_MS)
            longer = (("month", month_of(day_ms)[0]), ("year", year_of(day_ms)[0]))
            for name in names:
                counted = {
                    "service_ms": service,
                    "unknown_ms": min(service, rng.randrange(600_000)),
                    "down_ms": min(service // 2, rng.randrange(120_000)),
                    "degraded_ms": 0,
                    "attempts": 20_000,
                    "failures": rng.randrange(200),
                    "short_failures": 2,
                    "short_failure_ms": 10_000,
                    "short_failure_lookups": 20,
                }
                place = {"calendar": calendar.name, "link": name}
                yield place | {"grain": "day", "start_ms": day_ms} | counted
                for grain, start_ms in longer:
                    total = sums.setdefault((grain, start_ms, name), dict.fromkeys(counted, 0))
                    for column, value in counted.items():
                        total[column] += value
        for (grain, start_ms, name), counted in sums.items():
            yield {"calendar": calendar.name, "link": name, "grain": grain, "start_ms": start_ms} | counted


def _windows(names: list[str], end_ms: int, days: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    templates = [_day(rng) for _ in range(20)]
    for name in names:
        for day_ms in range(end_ms - days * DAY_MS, end_ms, DAY_MS):
            columns, details = rng.choice(templates)
            yield {"link": name, "day_ms": day_ms, "columns": columns, "details": details}


def _day(rng: random.Random) -> tuple[bytes, bytes]:
    day = DayOfMinutes(0)
    for minute in range(DAY_MS // MINUTE_MS):
        if rng.random() < 0.002:
            continue
        attempts = rng.randrange(5, 40)
        failures = int(rng.random() < 0.02)
        start_ms = minute * MINUTE_MS
        day.put(
            Window(
                "",
                start_ms,
                start_ms + MINUTE_MS,
                1,
                "UP",
                {"UP": MINUTE_MS},
                attempts,
                attempts,
                failures,
                {"ok": attempts - failures, "timeout": failures},
                {"p50": float(rng.randrange(150, 160)), "p95": 400.0, "p99": 900.0},
                None,
            )
        )
    return day.pack()


def _outages(names: list[str], first_ms: int, end_ms: int, count: int, rng: random.Random) -> list[Outage]:
    """Return closed outages that do not overlap on a link, because each gets a time span of its own."""
    each = count // len(names)
    stretch_ms = (end_ms - first_ms) // each
    published = []
    for name in names:
        for i in range(each):
            start_ms = first_ms + i * stretch_ms + rng.randrange(stretch_ms // 2)
            stop_ms = start_ms + int(min(rng.lognormvariate(13, 1.2), stretch_ms // 3))
            offset = rng.randrange(10**9)
            published.append(
                Outage(
                    outage_id=f"o-{name}-{i:05}",
                    revision=1,
                    supersedes=None,
                    status="closed",
                    reason="closed",
                    link=name,
                    kind="down" if rng.random() < 0.8 else "degraded",
                    fault_domain="link",
                    start_ms=start_ms,
                    end_ms=stop_ms,
                    detected_at_ms=stop_ms + 15_000,
                    rule_version="1",
                    attempts=200,
                    failures=150,
                    dossiers_affected=rng.randrange(300),
                    services=[f"service-{rng.randrange(25)}"],
                    agencies=[f"agency-{rng.randrange(40)}"],
                    evidence=[Source("npd.lookups", 0, offset, offset + 5_000, "0" * 64)],
                )
            )
    return published


def _insert_outages(connection: sa.Connection, published: list[Outage]) -> None:
    published.sort(key=lambda outage: (outage.detected_at_ms, outage.outage_id))
    bodies = [msgspec.json.encode(outage) for outage in published]
    _insert(
        connection,
        outage_revisions,
        (
            {
                "outage_id": outage.outage_id,
                "revision": 1,
                "link": outage.link,
                "start_ms": outage.start_ms,
                "detected_at_ms": outage.detected_at_ms,
                "log": LOG,
                "leaf": leaf,
                "body": body,
            }
            for leaf, (outage, body) in enumerate(zip(published, bodies, strict=True))
        ),
    )
    _insert(connection, outages, (_row(outage) for outage in published))
    _insert(connection, shares, (row for outage in published for row in _shares(outage)))
    _insert(connection, outage_scopes, (row for outage in published for row in scope_rows(outage)))
    nodes = merkle.appended_nodes(0, map(merkle.leaf_hash, bodies), StoredLog(connection, LOG).node)
    _insert(
        connection,
        log_nodes,
        ({"log": LOG, "level": level, "position": place, "hash": digest} for level, place, digest in nodes),
    )


def _row(outage: Outage) -> dict[str, Any]:
    return outage_row(outage, outage.detected_at_ms) | {"apart": True}


def _shares(outage: Outage) -> Iterator[dict[str, Any]]:
    end_ms = outage.end_ms or outage.start_ms
    for calendar in CALENDARS.values():
        if counted_ms := service_length_ms(calendar, outage.start_ms, end_ms):
            yield {
                "calendar": calendar.name,
                "outage_id": outage.outage_id,
                "link": outage.link,
                "kind": outage.kind,
                "start_ms": outage.start_ms,
                "end_ms": end_ms,
                "counted_ms": counted_ms,
                "dossiers_affected": outage.dossiers_affected,
            }


def _exclusions(names: list[str], first_ms: int, days: int, rng: random.Random) -> list[Record]:
    """Return exclusions: maintenance of ten links each month, and of all links each quarter.

    Every tenth was recorded after the fact and approved; every twentieth was withdrawn.
    """
    revisions: list[Exclusion] = []

    def add(link: str, day: int) -> None:
        start_ms = first_ms + day * DAY_MS + rng.randrange(18, 24) * 3_600_000
        late = rng.random() < 0.1
        recorded_ms = start_ms + (1 if late else -1) * 2 * DAY_MS
        made = new_exclusion(
            link,
            start_ms,
            start_ms + rng.randrange(1, 6) * 3_600_000,
            kind="exclusion" if late else "maintenance",
            author="ops",
            reason="Bảo trì định kỳ",
            recorded_at_ms=recorded_ms,
        )
        revisions.append(made)
        [ruling] = rulings([made])
        if late:
            revisions.append(approve(ruling, "inspectorate", "Biên bản", recorded_ms + DAY_MS))
        elif rng.random() < 0.05:
            revisions.append(withdraw(ruling, "ops", "Hoãn", recorded_ms + DAY_MS))

    for day in range(0, days - 92, 92):
        add(EVERY_LINK, day + rng.randrange(92))
    for name in names[:: max(1, len(names) // 10)]:
        for day in range(0, days - 31, 31):
            add(name, day + rng.randrange(31))
    revisions.sort(key=lambda one: (one.recorded_at_ms, one.exclusion_id, one.revision))
    return [
        Record(EXCLUSIONS, 0, offset, one.recorded_at_ms, one.link.encode(), encode(one))
        for offset, one in enumerate(revisions)
    ]
