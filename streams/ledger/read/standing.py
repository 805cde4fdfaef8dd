"""The ledger as of a question's moment: links, outages, exclusions, and differences from the rollups."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

import sqlalchemy as sa
from msgspec import structs

from streams.ledger.read.histories import (
    exclusion_revisions_of,
    outages_as_of,
    retirements,
    span_of,
    spans_between,
)
from streams.ledger.read.names import known_calendar, require_known
from streams.ledger.read.question import Question
from streams.ledger.store.days import LinkLife, link_lives
from streams.ledger.store.rollups import partial_days
from streams.ledger.store.rows import select_in
from streams.ledger.store.schema import outages
from streams.model.availability import OutageSpan
from streams.model.exclusion import EVERY_LINK, Exclusion, Ruling, excluded_times, rulings
from streams.model.hours.calendar import DAY_MS, day_start_ms
from streams.model.intervals import Interval
from streams.model.outage import Outage


class Standing:
    """The state as of a question's moment, read once.

    ``question`` ends where the data ends. ``lives`` holds the matching links in service within the period (a
    link asked for by name is always included), ``untils`` the end of each one's counted time, ``excluded``
    its excluded time. ``revised`` holds the outages revised since the moment, as they were then, or None if
    not yet published.

    Raises:
        UnknownNameError: the question names something that the ledger does not know.
    """

    def __init__(self, connection: sa.Connection, question: Question) -> None:
        require_known(connection, **question.names, as_of_ms=question.as_of_ms)
        calendar = known_calendar(connection, question.calendar)
        self.connection = connection
        lives = link_lives(connection)
        until_ms = max((life.known_until_ms for life in lives.values()), default=None)
        self.question = structs.replace(question, data_until_ms=until_ms, counted_by=calendar)
        self.retirements = {
            link: one for link, one in retirements(connection, question.as_of_ms).items() if not one.withdrawn
        }
        self.lives = {link: life for link, life in lives.items() if self._is_meant(link, life)}
        self.untils = {link: self._until_ms(link) for link in self.lives}
        self._revisions = exclusion_revisions_of(connection)
        self.rulings = rulings(self._revisions, question.as_of_ms)
        self.excluded = excluded_times(self.rulings, self.lives, second_person=question.second_person)
        self.revised = self._revised()
        self._revised_spans = self._spans_revised_since()

    @property
    def has_time(self) -> bool:
        """Whether any of the period lies before the end of the data and the moment asked about."""
        return self.question.until_ms > self.question.start_ms

    def exclusions(self) -> list[Ruling]:
        """Return the exclusions that touch the period and the requested links, whatever their status."""
        return [ruling for ruling in self.rulings if self._touches_the_period(ruling.last)]

    def spans(self, start_ms: int, end_ms: int, links: Iterable[str]) -> dict[str, list[OutageSpan]]:
        """Return the outages that touch a period as of the moment, by link."""
        names = set(links)
        found = {
            link: [span for span in spans if span.outage_id not in self.revised]
            for link, spans in spans_between(self.connection, start_ms, end_ms, names).items()
        }
        for outage in self.stood():
            ends_later = outage.end_ms is None or outage.end_ms > start_ms
            if outage.link in names and outage.start_ms < end_ms and ends_later:
                found.setdefault(outage.link, []).append(span_of(outage))
        return found

    def stood(self) -> Iterable[Outage]:
        """Return the outages that were revised since the moment, as they were then."""
        return (one for one in self.revised.values() if one is not None and one.status != "retracted")

    def revised_starts(self) -> list[int]:
        """Return the starts of the outages revised since: those of now, and those of then."""
        return [start_ms for _, start_ms, _ in self._revised_spans]

    def revised_days(self, link: str, start_ms: int, end_ms: int) -> set[int]:
        """Return the days touching ``[start_ms, end_ms)`` on which a link's outages were revised since."""
        days: set[int] = set()
        if not self._revised_spans:
            return days
        life = self.lives[link]
        low, high = max(start_ms, life.first_day_ms), min(end_ms, life.end_ms)
        if low >= high:
            return days
        for of_link, start, end in self._revised_spans:
            if of_link == link:
                last_ms = high if end is None else min(end, high)
                days.update(range(day_start_ms(max(start, low)), last_ms, DAY_MS))
        return days

    @cached_property
    def revised_links(self) -> Mapping[int, set[str]]:
        """The links whose outages stood otherwise, by day of the period."""
        found: dict[int, set[str]] = defaultdict(set)
        for link in {of_link for of_link, _, _ in self._revised_spans} & self.lives.keys():
            for day_ms in self.revised_days(link, self.question.start_ms, self.question.until_ms):
                found[day_ms].add(link)
        return found

    def is_named(self, link: str | None, part: Interval) -> bool:
        """Return whether a revision of an exclusion of a link, or of all links, names that part of a day.

        The ledger keeps the figures of such parts, of every link that they concern, within its life.
        """
        return part in self._named[EVERY_LINK] or (link is not None and part in self._named[link])

    @cached_property
    def _named(self) -> Mapping[str, set[Interval]]:
        named: dict[str, set[Interval]] = defaultdict(set)
        for revision in self._revisions:
            named[revision.link].update(partial_days(revision.start_ms, revision.end_ms))
        return named

    def _is_meant(self, link: str, life: LinkLife) -> bool:
        if not self.question.about(link):
            return False
        retired = self.retirements.get(link)
        ends = (self.question.end_ms, self.question.as_of_ms)
        in_service = life.first_ms < min(ms for ms in ends if ms is not None) and (
            retired is None or retired.from_ms > self.question.start_ms
        )
        return in_service or link == self.question.link

    def _until_ms(self, link: str) -> int:
        retired = self.retirements.get(link)
        if retired is None:
            return self.question.until_ms
        return max(self.question.start_ms, min(self.question.until_ms, retired.from_ms))

    def _touches_the_period(self, exclusion: Exclusion) -> bool:
        inside = exclusion.start_ms < self.question.end_ms and exclusion.end_ms > self.question.start_ms
        meant = bool(self.lives) if exclusion.link == EVERY_LINK else exclusion.link in self.lives
        return inside and meant

    def _revised(self) -> dict[str, Outage | None]:
        as_of_ms = self.question.as_of_ms
        if as_of_ms is None:
            return {}
        since = sa.and_(outages.c.first_detected_ms <= as_of_ms, outages.c.detected_at_ms > as_of_ms)
        not_yet = sa.and_(outages.c.first_detected_ms > as_of_ms, outages.c.start_ms < self.question.until_ms)
        ids = list(self.connection.scalars(sa.select(outages.c.outage_id).where(since)))
        stood: dict[str, Outage | None] = dict(outages_as_of(self.connection, as_of_ms, ids))
        unpublished = self.connection.scalars(sa.select(outages.c.outage_id).where(not_yet))
        return dict.fromkeys(unpublished) | stood

    def _spans_revised_since(self) -> list[tuple[str, int, int | None]]:
        now = [
            (row.link, row.start_ms, row.end_ms)
            for row in select_in(
                self.connection,
                sa.select(outages.c.link, outages.c.start_ms, outages.c.end_ms),
                outages.c.outage_id,
                list(self.revised),
            )
        ]
        return now + [(outage.link, outage.start_ms, outage.end_ms) for outage in self.stood()]
