"""Figures of a period from the rollups: whole years, months, days, and the hours at its edges.

The rollups hold facts according to the last revisions. Three steps turn them into an answer, all by addition
and subtraction, which is exact because figures add up over any division of time:

- for an earlier moment, days on which an outage was revised since are counted as of that moment;
- time outside a link's life, or after the end of the data, is left out;
- the facts of excluded time are subtracted from those of all time (`Figures.outside`). The revisions of
  exclusions in force at that moment say which time that is.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.histories import unpacked_days
from streams.ledger.read.standing import Standing
from streams.ledger.store.rollups import counted_stretch, partial_days
from streams.ledger.store.schema import FIGURE_COLUMNS, figures
from streams.model.availability import Figures
from streams.model.hours.calendar import DAY_MS, calendar_pieces, day_start_ms, service_length_ms
from streams.model.intervals import Interval, clip


class Counted(Struct, frozen=True, gc=False):
    """The facts of a period of time, and those of its excluded part."""

    facts: Figures = Figures()
    excluded: Figures = Figures()

    @property
    def figures(self) -> Figures:
        """The facts outside excluded time, which are what counts."""
        return self.facts.outside(self.excluded)

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(self.facts + other.facts, self.excluded + other.excluded)


def link_figures(standing: Standing) -> dict[str, Counted]:
    """Return the figures of each requested link over the question's period, under its calendar."""
    start_ms = standing.question.start_ms
    by_until: dict[int, list[str]] = defaultdict(list)
    for link, until_ms in standing.untils.items():
        by_until[until_ms].append(link)
    facts: dict[str, Figures] = {}
    for until_ms, links in by_until.items():
        facts |= _facts(standing, links, start_ms, until_ms)
    excluded = dict.fromkeys(facts, Figures())
    for link, _, inside in _excluded_facts(standing, []):
        excluded[link] += inside
    return {link: Counted(facts[link], excluded[link]) for link in standing.lives}


def day_figures(standing: Standing) -> dict[str, Counted]:
    """Return the figures of each requested link over whole local days, from the rollups alone.

    The last day is taken as stored: its future part is unknown, so availability equals that of
    `link_figures`, but coverage does not. The question must not have ``as_of_ms``.
    """
    question = standing.question
    counted = {link: Counted() for link in standing.lives}
    names = list(standing.lives)
    for link, facts in _rolled_up(standing, "day", question.start_ms, question.end_ms, names):
        counted[link] += Counted(facts)
    for link, _, inside in _excluded_facts(standing, []):
        counted[link] += Counted(excluded=inside)
    return counted


def cell_figures(standing: Standing, grain: str, parts: Sequence[Interval]) -> dict[tuple[str, int], Counted]:
    """Return the figures of each link and part of the period: whole days, months or years, in order.

    A part that reaches beyond the period is cut off at its edges. The key is link and start of the part.
    """
    question = standing.question
    low, high = parts[0][0], parts[-1][1]
    columns = (figures.c[name] for name in FIGURE_COLUMNS)
    rows = standing.connection.execute(
        sa.select(figures.c.link, figures.c.start_ms, *columns).where(
            figures.c.calendar == question.calendar,
            figures.c.grain == grain,
            figures.c.start_ms >= low,
            figures.c.start_ms < high,
        )
    )
    rolled = {(row[0], row[1]): Figures.of_facts(*map(int, row[2:])) for row in rows}
    cells: dict[tuple[str, int], Counted] = {}
    cut: dict[Interval, list[str]] = defaultdict(list)
    for link, life in standing.lives.items():
        until_ms = standing.untils[link]
        revised = standing.revised_days(link, low, high)
        for start_ms, end_ms in parts:
            whole = question.start_ms <= start_ms and end_ms <= min(until_ms, life.end_ms)
            if whole and not any(start_ms <= day_ms < end_ms for day_ms in revised):
                cells[link, start_ms] = Counted(rolled.get((link, start_ms), Figures()))
            else:
                first_ms, last_ms = max(start_ms, question.start_ms), min(end_ms, until_ms)
                cut[first_ms, max(first_ms, last_ms)].append(link)
    starts = [start_ms for start_ms, _ in parts]
    for (first_ms, last_ms), links in cut.items():
        start_ms = starts[bisect_right(starts, first_ms) - 1]
        for link, counted in _facts(standing, links, first_ms, last_ms).items():
            cells[link, start_ms] = Counted(counted)
    for link, at_ms, inside in _excluded_facts(standing, starts):
        cells[link, starts[bisect_right(starts, at_ms) - 1]] += Counted(excluded=inside)
    return cells


def _facts(standing: Standing, links: list[str], start_ms: int, end_ms: int) -> dict[str, Figures]:
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
        for link, counted in _rolled_up(standing, grain, low, high, links):
            sums[link] += counted
    for link in links:
        sums[link] += _beyond(standing, link, first_day_ms, last_day_ms)
        for day_ms in sorted(standing.revised_days(link, first_day_ms, last_day_ms)):
            then = _straight(standing, [link], day_ms, day_ms + DAY_MS)[link]
            now = dict(_rolled_up(standing, "day", day_ms, day_ms + DAY_MS, [link]))
            sums[link] += then - now.get(link, Figures())
    for low, high in edges:
        if low < high:
            for link, counted in _straight(standing, links, low, high).items():
                sums[link] += counted
    return sums


def _rolled_up(
    standing: Standing, grain: str, start_ms: int, end_ms: int, links: list[str]
) -> Iterator[tuple[str, Figures]]:
    statement = (
        sa.select(figures.c.link, *(sa.func.sum(figures.c[name]) for name in FIGURE_COLUMNS))
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
    for link, *sums in standing.connection.execute(statement):
        if link in wanted:
            yield link, Figures.of_facts(*map(int, sums))


def _straight(standing: Standing, links: list[str], start_ms: int, end_ms: int) -> dict[str, Figures]:
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


def _excluded_facts(standing: Standing, cuts: Iterable[int]) -> Iterator[tuple[str, int, Figures]]:
    """Yield the facts of excluded time, cut at some instants: link, start and figures of each piece."""
    start_ms = standing.question.start_ms
    edges = sorted(cuts)
    days: dict[Interval, list[str]] = defaultdict(list)
    parts: dict[Interval, list[str]] = defaultdict(list)
    for link, excluded in standing.excluded.items():
        for piece in clip(excluded, start_ms, standing.untils[link]):
            for low, high in _cut(piece, edges):
                partial = partial_days(low, high)
                for part in partial:
                    parts[part].append(link)
                first_ms, last_ms = day_start_ms(low + DAY_MS - 1), day_start_ms(high)
                if first_ms < last_ms:
                    days[first_ms, last_ms].append(link)
    for (low, high), links in days.items():
        for link, counted in _facts(standing, links, low, high).items():
            yield link, low, counted
    if parts:
        yield from _parts(standing, parts)


def _parts(standing: Standing, parts: dict[Interval, list[str]]) -> Iterator[tuple[str, int, Figures]]:
    """Yield the facts of parts of days, read from the ledger if stored, otherwise counted."""
    for (low, high), links in parts.items():
        known = standing.kept_parts.get((low, high), {})
        fresh = []
        for link in links:
            if link in known and not standing.revised_days(link, day_start_ms(low), high):
                yield link, low, known[link]
            else:
                fresh.append(link)
        if fresh:
            for link, counted in _straight(standing, fresh, low, high).items():
                yield link, low, counted


def _cut(piece: Interval, edges: Sequence[int]) -> Iterator[Interval]:
    start_ms, end_ms = piece
    for edge_ms in edges[bisect_right(edges, start_ms) :]:
        if edge_ms >= end_ms:
            break
        yield start_ms, edge_ms
        start_ms = edge_ms
    yield start_ms, end_ms
