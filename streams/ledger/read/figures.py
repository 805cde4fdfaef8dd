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
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.excluded import excluded_facts
from streams.ledger.read.facts import facts_of, rolled_up
from streams.ledger.read.standing import Standing
from streams.ledger.store.schema import FIGURE_COLUMNS, figures
from streams.model.availability import Figures
from streams.model.intervals import Interval


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
        facts |= facts_of(standing, links, start_ms, until_ms)
    excluded = dict.fromkeys(facts, Figures())
    for link, _, inside in excluded_facts(standing, []):
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
    for link, facts in rolled_up(standing, "day", question.start_ms, question.end_ms, names):
        counted[link] += Counted(facts)
    for link, _, inside in excluded_facts(standing, []):
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
    rolled = {(link, start_ms): Figures.of_facts(*facts) for link, start_ms, *facts in rows.all()}
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
        for link, counted in facts_of(standing, links, first_ms, last_ms).items():
            cells[link, start_ms] = Counted(counted)
    for link, at_ms, inside in excluded_facts(standing, starts):
        place = link, starts[bisect_right(starts, at_ms) - 1]
        cells[place] = Counted(cells[place].facts, cells[place].excluded + inside)
    return cells


def over_cells(standing: Standing, cells: Mapping[tuple[str, int], Counted]) -> dict[str, Counted]:
    """Return the figures of each link that is meant, where its cells make up the whole period."""
    counted = {link: Counted() for link in standing.lives}
    for (link, _), one in cells.items():
        counted[link] += one
    return counted
