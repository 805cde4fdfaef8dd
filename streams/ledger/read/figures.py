"""Figures for a period out of the rollups: whole years, months, days, and the hours at its edges.

The rollups hold the last revisions. Asked for an earlier moment, the days on which something was revised
since are counted again as they stood then, and their difference is added: exact, because figures add up.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.histories import (
    all_exclusions,
    history,
    outages_as_of,
    span_of,
    spans_between,
    unpacked_days,
)
from streams.ledger.read.names import require_known
from streams.ledger.store.days import LinkLife, link_lives
from streams.ledger.store.rows import select_in
from streams.ledger.store.schema import (
    FIGURE_COLUMNS,
    exclusion_revisions,
    figures,
    outage_revisions,
    outages,
)
from streams.model.availability import Figures, OutageSpan, account
from streams.model.calendar import (
    CALENDARS,
    DAY_MS,
    Calendar,
    calendar_pieces,
    day_start_ms,
    service_length_ms,
)
from streams.model.exclusion import EVERY_LINK, excluded_time
from streams.model.incidents import ends_of
from streams.model.intervals import Intervals, clip
from streams.model.outage import Outage


class Question(Struct, frozen=True):
    """What is asked: a period ``[start_ms, end_ms)``, a calendar, and what to narrow it to.

    With ``as_of_ms`` the answer is what was published at that moment; it then ends there at the latest.
    """

    start_ms: int
    end_ms: int
    calendar: str = "24x7"
    link: str | None = None
    portal: str | None = None
    agency: str | None = None
    service: str | None = None
    as_of_ms: int | None = None

    def __post_init__(self) -> None:
        if self.calendar not in CALENDARS:
            raise ValueError(f"calendar {self.calendar!r} is not one of {', '.join(CALENDARS)}")
        if self.until_ms <= self.start_ms:
            raise ValueError("the period is empty: it must end after it begins, and begin before `as of`")

    @property
    def until_ms(self) -> int:
        """End of the time that is counted."""
        return self.end_ms if self.as_of_ms is None else min(self.end_ms, self.as_of_ms)

    @property
    def rules(self) -> Calendar:
        """The calendar itself."""
        return CALENDARS[self.calendar]

    @property
    def names(self) -> dict[str, str | None]:
        """What the question is narrowed to: the ledger must know each name that is given."""
        return {"link": self.link, "portal": self.portal, "agency": self.agency, "service": self.service}

    @property
    def scoped(self) -> bool:
        """Whether only outages that name an agency or a service are meant."""
        return self.agency is not None or self.service is not None

    def about(self, link: str) -> bool:
        """Say whether a link is meant."""
        return self.link in (None, link) and self.portal in (None, ends_of(link)[0])


class Standing:
    """What stood at the moment asked for: outages and exclusions, and the days on which that differs.

    Raises:
        UnknownNameError: the question names what the ledger does not know.
    """

    def __init__(self, connection: sa.Connection, question: Question) -> None:
        require_known(connection, **question.names, as_of_ms=question.as_of_ms)
        self._connection = connection
        self._question = question
        self.lives = {link: life for link, life in link_lives(connection).items() if question.about(link)}
        self.exclusions = all_exclusions(connection, question.as_of_ms)
        self.excluded = {link: excluded_time(self.exclusions, link) for link in self.lives}
        self.revised = self._revised()
        """Outages revised since, by id: as they stood, or None if they were not yet published."""
        self._revised_spans = self._spans_revised_since()

    def spans(self, start_ms: int, end_ms: int, links: Iterable[str]) -> dict[str, list[OutageSpan]]:
        """Return the outages that touched a period, by link."""
        found = {
            link: [span for span in spans if span.outage_id not in self.revised]
            for link, spans in spans_between(self._connection, start_ms, end_ms, links).items()
        }
        for outage in self.revised.values():
            if outage is None or outage.status == "retracted" or outage.link not in self.lives:
                continue
            if outage.start_ms < end_ms and (outage.end_ms is None or outage.end_ms > start_ms):
                found.setdefault(outage.link, []).append(span_of(outage))
        for spans in found.values():
            spans.sort(key=lambda span: (span.start_ms, span.outage_id))
        return found

    def revised_starts(self) -> list[int]:
        """Return when the outages revised since began: as they now stand, and as they stood."""
        return [start_ms for _, start_ms, _ in self._revised_spans]

    def revised_days(self, start_ms: int, end_ms: int) -> dict[str, set[int]]:
        """Return the days of ``[start_ms, end_ms)`` whose figures were others then, by link."""
        if self._question.as_of_ms is None:
            return {}
        spans = self._revised_spans + self._exclusions_revised_since()
        days: dict[str, set[int]] = {}
        for link, life in self.lives.items():
            low, high = max(start_ms, life.first_day_ms), min(end_ms, life.end_ms)
            for of_link, start, end in spans:
                if of_link in (link, EVERY_LINK):
                    first = day_start_ms(max(start, low))
                    last = high if end is None else min(end, high)
                    days.setdefault(link, set()).update(range(first, last, DAY_MS))
        return days

    def _revised(self) -> dict[str, Outage | None]:
        as_of_ms = self._question.as_of_ms
        if as_of_ms is None:
            return {}
        # Made distinct here: asked for distinct ones, SQLite walks the whole table in the key's order.
        ids = set(
            self._connection.scalars(
                sa.select(outage_revisions.c.outage_id).where(
                    outage_revisions.c.detected_at_ms > as_of_ms,
                    outage_revisions.c.start_ms < self._question.until_ms + DAY_MS,
                )
            )
        )
        stood = outages_as_of(self._connection, as_of_ms, ids)
        return {outage_id: stood.get(outage_id) for outage_id in ids}

    def _spans_revised_since(self) -> list[tuple[str, int, int | None]]:
        now = spans_by_id(self._connection, self.revised)
        then = [
            (outage.link, outage.start_ms, outage.end_ms)
            for outage in self.revised.values()
            if outage is not None
        ]
        return now + then

    def _exclusions_revised_since(self) -> list[tuple[str, int, int | None]]:
        rows = self._connection.execute(
            sa.select(
                exclusion_revisions.c.link, exclusion_revisions.c.start_ms, exclusion_revisions.c.end_ms
            ).where(exclusion_revisions.c.recorded_at_ms > self._question.as_of_ms)
        )
        return [(row.link, row.start_ms, row.end_ms) for row in rows]


def link_figures(connection: sa.Connection, question: Question, standing: Standing) -> dict[str, Figures]:
    """Return the figures of each link that is meant, over the period and under the calendar asked for."""
    start_ms, end_ms = question.start_ms, question.until_ms
    first_day_ms = day_start_ms(start_ms + DAY_MS - 1)
    last_day_ms = day_start_ms(end_ms)
    if first_day_ms <= last_day_ms:
        edges = [(start_ms, first_day_ms), (last_day_ms, end_ms)]
        sums = _whole_days(connection, question, standing, first_day_ms, last_day_ms)
    else:
        edges = [(start_ms, end_ms)]
        sums = dict.fromkeys(standing.lives, Figures())
    for low, high in edges:
        if low < high:
            for link, counted in _counted(connection, question, standing, low, high).items():
                sums[link] += counted
    return sums


def _whole_days(
    connection: sa.Connection, question: Question, standing: Standing, start_ms: int, end_ms: int
) -> dict[str, Figures]:
    sums = {
        link: _before_and_after(question.rules, life, standing.excluded[link], start_ms, end_ms)
        for link, life in standing.lives.items()
    }
    for grain, low, high in calendar_pieces(start_ms, end_ms):
        for link, counted in _rolled_up(connection, question, grain, low, high):
            if link in sums:
                sums[link] += counted
    for link, days in standing.revised_days(start_ms, end_ms).items():
        for day_ms in sorted(days):
            then = _counted(connection, question, standing, day_ms, day_ms + DAY_MS, [link])[link]
            now = dict(_rolled_up(connection, question, "day", day_ms, day_ms + DAY_MS, link))
            sums[link] += then + negated(now.get(link, Figures()))
    return sums


def _rolled_up(
    connection: sa.Connection,
    question: Question,
    grain: str,
    start_ms: int,
    end_ms: int,
    link: str | None = None,
) -> list[tuple[str, Figures]]:
    statement = (
        sa.select(figures.c.link, *(sa.func.sum(figures.c[name]) for name in FIGURE_COLUMNS))
        .where(
            figures.c.calendar == question.calendar,
            figures.c.grain == grain,
            figures.c.start_ms >= start_ms,
            figures.c.start_ms < end_ms,
        )
        .group_by(figures.c.link)
    )
    if (one := link or question.link) is not None:
        statement = statement.where(figures.c.link == one)
    return [(row[0], Figures(*map(int, row[1:]))) for row in connection.execute(statement)]


def _counted(
    connection: sa.Connection,
    question: Question,
    standing: Standing,
    start_ms: int,
    end_ms: int,
    links: Iterable[str] | None = None,
) -> dict[str, Figures]:
    """Count a stretch within one day straight from its windows, outages and exclusions."""
    names = list(standing.lives) if links is None else list(links)
    unpacked = unpacked_days(connection, start_ms, end_ms, names)
    spans = standing.spans(start_ms, end_ms, names)
    counted = {}
    for link in names:
        stretch = history(
            unpacked.get(link, {}), spans.get(link, []), standing.excluded[link], start_ms, end_ms
        )
        counted[link] = account(stretch, question.rules, start_ms, end_ms)[0]
    return counted


def _before_and_after(
    calendar: Calendar, life: LinkLife, excluded: Intervals, start_ms: int, end_ms: int
) -> Figures:
    """Return the figures of the days before a link's first window and after its last: all unknown."""
    total = Figures()
    for low, high in (
        (start_ms, min(end_ms, life.first_day_ms)),
        (max(start_ms, life.end_ms), end_ms),
    ):
        if low < high:
            service = service_length_ms(calendar, low, high)
            out = sum(service_length_ms(calendar, a, b) for a, b in clip(excluded, low, high))
            total += Figures(service_ms=service, excluded_ms=out, unknown_ms=service - out)
    return total


def negated(counted: Figures) -> Figures:
    """Return figures to take away."""
    return Figures(*(-getattr(counted, name) for name in FIGURE_COLUMNS))


def spans_by_id(connection: sa.Connection, outage_ids: Iterable[str]) -> list[tuple[str, int, int | None]]:
    """Return link, start and end of the last revisions of outages."""
    return [
        (row.link, row.start_ms, row.end_ms)
        for row in select_in(
            connection,
            sa.select(outages.c.link, outages.c.start_ms, outages.c.end_ms),
            outages.c.outage_id,
            list(outage_ids),
        )
    ]
