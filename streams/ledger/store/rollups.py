"""Stored figures by link, calendar and local day; months are sums of days, years of months.

They are facts, counted without exclusions, all computed by `streams.model.availability.account`; since they
add up, the sums are exact. Figures are also stored for each part of a day that a revision of an exclusion
names, so that a query can read what an exclusion removes instead of counting it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from streams.ledger.read.histories import history
from streams.ledger.store.calendars import calendars_of
from streams.ledger.store.days import LinkLife
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.schema import FIGURE_COLUMNS, exclusion_revisions, figures
from streams.model.availability import Figures, OutageSpan, account
from streams.model.exclusion import EVERY_LINK
from streams.model.hours.calendar import DAY_MS, Calendar, day_start_ms, month_of, year_of
from streams.model.intervals import Interval

Rows = list[dict[str, Any]]


class Named:
    """The spans to count separately: those in any revision of any exclusion, under each calendar."""

    def __init__(self, connection: sa.Connection) -> None:
        self.calendars = calendars_of(connection)
        column = exclusion_revisions.c
        rows = connection.execute(sa.select(column.link, column.start_ms, column.end_ms).distinct())
        self._spans: dict[str, set[Interval]] = defaultdict(set)
        self._parts: dict[str, dict[int, set[Interval]]] = defaultdict(lambda: defaultdict(set))
        for link, start_ms, end_ms in rows:
            self._spans[link].add((start_ms, end_ms))
            for low, high in partial_days(start_ms, end_ms):
                self._parts[link][day_start_ms(low)].add((low, high))

    def spans(self, link: str) -> set[Interval]:
        """Return the spans that concern a link."""
        return self._spans.get(link, set()) | self._spans.get(EVERY_LINK, set())

    def parts(self, link: str, day_ms: int) -> list[Interval]:
        """Return the parts of a day that exclusions of a link name."""
        found: set[Interval] = set()
        for name in (link, EVERY_LINK):
            if name in self._parts:
                found |= self._parts[name].get(day_ms, set())
        return sorted(found)


@lru_cache(maxsize=8192)
def partial_days(start_ms: int, end_ms: int) -> tuple[Interval, ...]:
    """Return the one or two parts of ``[start_ms, end_ms)`` that are less than a local day.

    >>> from datetime import datetime
    >>> from streams.model.hours.calendar import from_local
    >>> at = lambda day, hour: from_local(datetime(2025, 4, day, hour))
    >>> partial_days(at(8, 22), at(10, 3)) == ((at(8, 22), at(9, 0)), (at(10, 0), at(10, 3)))
    True
    >>> partial_days(at(8, 0), at(9, 0))
    ()
    """
    first_ms, last_ms = day_start_ms(start_ms), day_start_ms(end_ms)
    parts = [(start_ms, min(end_ms, first_ms + DAY_MS))] if start_ms > first_ms else []
    if end_ms > last_ms and (last_ms > first_ms or start_ms == first_ms):
        parts.append((last_ms, end_ms))
    return tuple(parts)


def counted_stretch(
    days: Mapping[int, DayOfMinutes],
    spans: Iterable[OutageSpan],
    life: LinkLife,
    calendar: Calendar,
    start_ms: int,
    end_ms: int,
) -> Figures:
    """Return the facts of ``[start_ms, end_ms)`` from windows and outages, from ``life.first_ms`` on."""
    start_ms = max(start_ms, life.first_ms)
    if start_ms >= end_ms:
        return Figures()
    inside = [s for s in spans if s.start_ms < end_ms and (s.end_ms is None or s.end_ms > start_ms)]
    return account(history(days, inside, [], start_ms, end_ms), calendar, start_ms, end_ms)[0]


def day_rows(
    link: str,
    days: Iterable[int],
    unpacked: Mapping[int, DayOfMinutes],
    spans: list[OutageSpan],
    life: LinkLife,
    named: Named,
) -> tuple[Rows, Rows]:
    """Return the rows of a link's days, and of the parts of those days that exclusions name."""
    whole, parts = [], []
    for day_ms in days:
        stretches = [(day_ms, day_ms + DAY_MS), *named.parts(link, day_ms)]
        for name, calendar in named.calendars.items():
            for low, high in stretches:
                counted = counted_stretch(unpacked, spans, life, calendar, low, high)
                if (low, high) == stretches[0]:
                    whole.append(_row(name, "day", low, link, counted))
                else:
                    place = {"calendar": name, "start_ms": low, "end_ms": high, "link": link}
                    parts.append(place | _columns(counted))
    return whole, parts


def month_sums(connection: sa.Connection, link: str, days: Iterable[int], calendars: Iterable[str]) -> Rows:
    """Return the figures of the months that contain the days, as sums of daily figures."""
    return _sums(connection, link, "month", {month_of(day_ms) for day_ms in days}, "day", calendars)


def year_sums(connection: sa.Connection, link: str, days: Iterable[int], calendars: Iterable[str]) -> Rows:
    """Return the figures of the years that contain the days, as sums of monthly figures."""
    return _sums(connection, link, "year", {year_of(day_ms) for day_ms in days}, "month", calendars)


def _row(calendar: str, grain: str, start_ms: int, link: str, counted: Figures) -> dict[str, Any]:
    return {"calendar": calendar, "grain": grain, "start_ms": start_ms, "link": link} | _columns(counted)


def _columns(counted: Figures) -> dict[str, int]:
    return {name: getattr(counted, name) for name in FIGURE_COLUMNS}


def _sums(
    connection: sa.Connection,
    link: str,
    grain: str,
    spans: Iterable[Interval],
    of: str,
    calendars: Iterable[str],
) -> Rows:
    rows = []
    # The index begins with the calendar, so naming the calendars makes it usable.
    named = list(calendars)
    for start_ms, end_ms in sorted(spans):
        sums = [sa.func.sum(figures.c[name]).label(name) for name in FIGURE_COLUMNS]
        for row in connection.execute(
            sa.select(figures.c.calendar, *sums)
            .where(
                figures.c.calendar.in_(named),
                figures.c.grain == of,
                figures.c.link == link,
                figures.c.start_ms >= start_ms,
                figures.c.start_ms < end_ms,
            )
            .group_by(figures.c.calendar)
        ):
            counted = Figures(**{name: int(getattr(row, name)) for name in FIGURE_COLUMNS})
            rows.append(_row(row.calendar, grain, start_ms, link, counted))
    return rows
