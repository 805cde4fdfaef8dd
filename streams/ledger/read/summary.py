"""Figures for auditors: availability by link and in total, with and without exclusions."""

from collections.abc import Mapping

import sqlalchemy as sa
from msgspec import Struct, structs

from streams.ledger.read.figures import Counted, link_figures
from streams.ledger.read.names import known_calendar
from streams.ledger.read.outage_figures import Met, outage_figures
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.store.days import link_lives
from streams.model.availability import Availability, Figures, OutageFigures, RequestCounts
from streams.model.exclusion import Ruling
from streams.model.outage import RaisedNormal
from streams.model.retirement import Retirement


class LinkSummary(Struct, frozen=True):
    """One link's availability, with and without exclusions.

    ``known_until_ms`` is the end of its last window, ``retired`` its retirement if it has one, ``normal`` its
    raised normal, if any.
    """

    link: str
    availability: Availability
    without_exclusions: Availability
    known_until_ms: int
    retired: Retirement | None
    normal: RaisedNormal | None = None


class Summary(Struct, frozen=True):
    """The answer to a question: for each link, and in total.

    ``question`` says where the answer ends. ``provisional_years`` are years whose holidays are not fully
    decreed.
    """

    question: Question
    links: list[LinkSummary]
    total: Availability
    total_without_exclusions: Availability
    provisional_years: list[int]


def summarise_links(
    connection: sa.Connection,
    question: Question,
    standing: Standing | None = None,
    figures: Mapping[str, Counted] | None = None,
) -> Summary:
    """Return availability for every link that matches a question, and in total.

    Pass ``standing`` if it was already read for the same question, and ``figures`` if `link_figures` of it
    are already known.
    """
    standing = standing or Standing(connection, question)
    question = standing.question
    figures = link_figures(standing) if figures is None else figures
    met = outage_figures(standing)
    rows = []
    total = plain_total = Availability(Figures(), OutageFigures())
    for link, life in standing.lives.items():
        counted, outages = figures[link], met[link]
        with_them = _availability(question, counted.figures, outages[0])
        plain = _availability(question, counted.facts, outages[1])
        retired = standing.retirements.get(link)
        rows.append(LinkSummary(link, with_them, plain, life.known_until_ms, retired, life.normal))
        total, plain_total = _joined(total, with_them), _joined(plain_total, plain)
    years = question.rules.provisional_years(question.start_ms, question.until_ms)
    return Summary(question, rows, total, plain_total, years)


def provisional_years(connection: sa.Connection, question: Question) -> list[int]:
    """Return the years of a question whose holidays matter to it and are not fully decreed."""
    calendar = known_calendar(connection, question.calendar)
    return calendar.provisional_years(question.start_ms, question.until_ms)


def exclusions_touching(
    connection: sa.Connection, question: Question, standing: Standing | None = None
) -> list[Ruling]:
    """Return the exclusions that touch the period and the requested links, whatever their status."""
    return (standing or Standing(connection, question)).exclusions()


def _availability(question: Question, figures: Figures, met: Met) -> Availability:
    if question.scoped:
        # Requests are not known by agency or service, so no request-weighted figure is given.
        figures = structs.replace(
            figures, down_ms=met.down_ms, degraded_ms=met.degraded_ms, **RequestCounts()._asdict()
        )
    return Availability(figures, met.figures)


def _joined(total: Availability, more: Availability) -> Availability:
    return Availability(total.figures + more.figures, total.outages + more.outages)


def raised_normals(connection: sa.Connection, question: Question) -> dict[str, RaisedNormal]:
    """Return the raised normals of the requested links, as last known, by link."""
    return {
        link: life.normal
        for link, life in link_lives(connection).items()
        if life.normal is not None and question.about(link)
    }
