"""The facts of a stretch of time, by link: out of the rollups, and at its edges straight from the windows.

Whole years, months and days are read; they are of the last revisions. Asked for an earlier moment, the days
on which an outage was revised since are counted as they stood then.
"""

from collections.abc import Iterator

import sqlalchemy as sa

from streams.ledger.read.histories import unpacked_days
from streams.ledger.read.standing import Standing
from streams.ledger.store.rollups import counted_stretch
from streams.ledger.store.rows import total
from streams.ledger.store.schema import FIGURE_COLUMNS, figures
from streams.model.availability import Figures
from streams.model.hours.calendar import DAY_MS, calendar_pieces, day_start_ms, service_length_ms


def facts_of(standing: Standing, links: list[str], start_ms: int, end_ms: int) -> dict[str, Figures]:
    """Return the facts of ``[start_ms, end_ms)``, which lies within the period, by link."""
    sums = dict.fromkeys(links, Figures())
    if end_ms <= start_ms:
        return sums
    first_day_ms, last_day_ms = day_start_ms(start_ms + DAY_MS - 1), day_start_ms(end_ms)
    edges = [(start_ms, first_day_ms), (last_day_ms, end_ms)]
    if first_day_ms > last_day_ms:
        edges = [(start_ms, end_ms)]
        first_day_ms = last_day_ms = end_ms
    for grain, low, high in calendar_pieces(first_day_ms, last_day_ms):
        for link, counted in rolled_up(standing, grain, low, high, links):
            sums[link] += counted
    for link in links:
        sums[link] += _beyond(standing, link, first_day_ms, last_day_ms)
        for day_ms in sorted(standing.revised_days(link, first_day_ms, last_day_ms)):
            then = counted_straight(standing, [link], day_ms, day_ms + DAY_MS)[link]
            now = dict(rolled_up(standing, "day", day_ms, day_ms + DAY_MS, [link]))
            sums[link] += then - now.get(link, Figures())
    for low, high in edges:
        if low < high:
            for link, counted in counted_straight(standing, links, low, high).items():
                sums[link] += counted
    return sums


def rolled_up(
    standing: Standing, grain: str, start_ms: int, end_ms: int, links: list[str]
) -> Iterator[tuple[str, Figures]]:
    """Yield the facts of whole days, months or years that begin in ``[start_ms, end_ms)``, by link."""
    statement = (
        sa.select(figures.c.link, *(total(figures.c[name]) for name in FIGURE_COLUMNS))
        .where(
            figures.c.calendar == standing.question.calendar,
            figures.c.grain == grain,
            figures.c.start_ms >= start_ms,
            figures.c.start_ms < end_ms,
        )
        .group_by(figures.c.link)
    )
    if len(links) == 1:
        statement = statement.where(figures.c.link == links[0])
    wanted = set(links)
    for link, *sums in standing.connection.execute(statement).all():
        if link in wanted:
            yield link, Figures.of_facts(*sums)


def counted_straight(standing: Standing, links: list[str], start_ms: int, end_ms: int) -> dict[str, Figures]:
    """Count a part of one day directly from its windows and outages, by link."""
    unpacked = unpacked_days(standing.connection, start_ms, end_ms, links)
    spans = standing.spans(start_ms, end_ms, links)
    calendar = standing.question.rules
    return {
        link: counted_stretch(
            unpacked.get(link, {}), spans.get(link, []), standing.lives[link], calendar, start_ms, end_ms
        )
        for link in links
    }


def _beyond(standing: Standing, link: str, start_ms: int, end_ms: int) -> Figures:
    """Return the facts of the days after a link's last window, all of which are unknown."""
    low = max(start_ms, standing.lives[link].end_ms)
    service_ms = service_length_ms(standing.question.rules, low, end_ms)
    return Figures(service_ms=service_ms, unknown_ms=service_ms)
