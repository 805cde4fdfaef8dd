"""The facts of excluded time: what a question takes away from the facts of all time.

An exclusion lasts hours, so most of it are parts of days. The figures of a part that an exclusion names are
kept, and the database sums them: ten years of a hundred links have some thousands. The rest is counted: parts
cut off by the end of the question or joined with another exclusion, and days that stood otherwise at the
moment asked about.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa

from streams.ledger.read.facts import counted_straight, facts_of
from streams.ledger.read.standing import Standing
from streams.ledger.store.rollups import partial_days
from streams.ledger.store.rows import given, total
from streams.ledger.store.schema import FIGURE_COLUMNS, day_parts
from streams.model.availability import Figures
from streams.model.hours.calendar import DAY_MS, day_start_ms
from streams.model.intervals import Interval, clip

Links = dict[Interval, list[str]]
"""The links that a stretch of time is excluded from."""


def excluded_facts(standing: Standing, cuts: Iterable[int]) -> Iterator[tuple[str, int, Figures]]:
    """Yield the facts of excluded time, cut at some instants: link, a time between two cuts, and figures."""
    edges = sorted(cuts)
    days, parts = _pieces(standing, edges)
    for (low, high), links in days.items():
        for link, facts in facts_of(standing, links, low, high).items():
            yield link, low, facts
    kept, fresh = _kept(standing, parts)
    yield from _summed(standing, kept, edges)
    for (low, high), links in fresh.items():
        for link, facts in counted_straight(standing, links, low, high).items():
            yield link, low, facts


def _pieces(standing: Standing, edges: Sequence[int]) -> tuple[Links, Links]:
    """Return excluded time cut at the edges: as runs of whole days, and as parts of days."""
    alike: dict[tuple[tuple[Interval, ...], int], list[str]] = defaultdict(list)
    for link, excluded in standing.excluded.items():
        alike[tuple(excluded), standing.untils[link]].append(link)
    days: Links = defaultdict(list)
    parts: Links = defaultdict(list)
    for (pieces, until_ms), links in alike.items():
        for piece in clip([*pieces], standing.question.start_ms, until_ms):
            for low, high in _cut(piece, edges):
                for part in partial_days(low, high):
                    parts[part] += links
                first_ms, last_ms = day_start_ms(low + DAY_MS - 1), day_start_ms(high)
                if first_ms < last_ms:
                    days[first_ms, last_ms] += links
    return days, parts


def _kept(standing: Standing, parts: Links) -> tuple[Links, Links]:
    """Divide parts of days into those whose figures are kept and hold, and those to be counted."""
    lives = standing.lives
    latest_first_ms = max((life.first_day_ms for life in lives.values()), default=0)
    earliest_end_ms = min((life.end_ms for life in lives.values()), default=0)
    kept: Links = {}
    fresh: Links = {}
    for part, links in parts.items():
        day_ms = day_start_ms(part[0])
        otherwise = standing.revised_links.get(day_ms, set())
        watched = latest_first_ms <= day_ms < earliest_end_ms
        if watched and not otherwise and standing.is_named(None, part):
            kept[part] = links
            continue
        for link in links:
            watched = lives[link].first_day_ms <= day_ms < lives[link].end_ms
            holds = watched and link not in otherwise and standing.is_named(link, part)
            (kept if holds else fresh).setdefault(part, []).append(link)
    return kept, fresh


def _summed(
    standing: Standing, kept: Mapping[Interval, list[str]], edges: Sequence[int]
) -> Iterator[tuple[str, int, Figures]]:
    """Yield the sums of kept figures by link and cell."""
    question = standing.question
    of_all = question.link is None and question.portal is None
    shared: list[tuple[int, int, int]] = []
    single: list[tuple[int, int, int, str]] = []
    beside: list[tuple[int, int, int, str]] = []
    for (low, high), links in kept.items():
        cell_ms = edges[max(0, bisect_right(edges, low) - 1)] if edges else question.start_ms
        if of_all and len(links) * 2 > len(standing.lives):
            shared.append((low, high, cell_ms))
            beside += [(low, high, cell_ms, link) for link in standing.lives.keys() - links]
        else:
            single += [(low, high, cell_ms, link) for link in links]
    # Parts of most links are found by their times alone, and what the sum has of other links is taken away
    # again. Parts of one link are found by it as well. The index serves both.
    for parts in (shared, single):
        yield from _sums_of(standing, parts)
    for link, cell_ms, facts in _sums_of(standing, beside):
        yield link, cell_ms, Figures() - facts


def _sums_of(
    standing: Standing, parts: Sequence[tuple[int, int, int] | tuple[int, int, int, str]]
) -> Iterator[tuple[str, int, Figures]]:
    """Yield the sums of parts, given as start, end, cell and, where only one is meant, link."""
    if not parts:
        return
    column = day_parts.c
    types = {"low": sa.BigInteger, "high": sa.BigInteger, "cell": sa.BigInteger, "link": sa.Text}
    named = dict(list(types.items())[: len(parts[0])])
    part = given(standing.connection, parts, named).c
    conditions = [
        column.calendar == standing.question.calendar,
        column.start_ms == part.low,
        column.end_ms == part.high,
    ]
    if "link" in named:
        conditions.append(column.link == part.link)
    statement = (
        sa.select(column.link, part.cell, *(total(column[name]) for name in FIGURE_COLUMNS))
        .where(*conditions)
        .group_by(column.link, part.cell)
    )
    for link, cell_ms, *sums in standing.connection.execute(statement).all():
        if link in standing.lives:
            yield link, cell_ms, Figures.of_facts(*sums)


def _cut(piece: Interval, edges: Sequence[int]) -> Iterator[Interval]:
    start_ms, end_ms = piece
    for edge_ms in edges[bisect_right(edges, start_ms) :]:
        if edge_ms >= end_ms:
            break
        yield start_ms, edge_ms
        start_ms = edge_ms
    yield start_ms, end_ms
