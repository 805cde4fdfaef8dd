"""Pages of the past: a calendar of all links, and one link's figures, days and outages."""

from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from streams.ledger.read.lists import Listed, list_outages
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.calendars import calendars_of
from streams.ledger.store.database import reading
from streams.model.hours.calendar import local_date
from streams.serve.answers import exclusion_answer, listed_answer, summary_answer
from streams.serve.api import asked_of
from streams.serve.context import Asked, Refusal, Viewer, services
from streams.serve.cursor import CURSOR, cursor_after, cursor_in
from streams.serve.language import language_of
from streams.serve.pages.overview import overview, timeline
from streams.serve.pages.shown import heading_of, neighbour, query_of, shown
from streams.serve.texts import Language, text

MAX_OUTAGES: Final = 100
"""Outages on one page; the rest follow on further ones, and files hold all."""
router = APIRouter(include_in_schema=False)

PageQuery = Annotated[Asked, Query()]


class Listing(Asked):
    """A page that lists outages: those after a cursor, where there are more than fit one page."""

    after: Annotated[str | None, Field(pattern=CURSOR)] = None


@router.get("/history")
def history_page(request: Request, _: Viewer, asked: PageQuery) -> Response:
    """Show a month: a calendar of all links, and their figures."""
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        standing = Standing(connection, question)
        seen = overview(standing, language_of(request))
        answer = summary_answer(summarise_links(connection, question, standing, seen.figures))
        calendars = list(calendars_of(connection))
    month = f"{local_date(question.start_ms):%Y-%m}"
    return shown(
        request,
        "history.html",
        answer=answer,
        overview=seen,
        place=query_of(question) if asked.from_ else f"month={month}&calendar={question.calendar}",
        **_period(question, calendars, language_of(request)),
    )


@router.get("/link")
def link_page(request: Request, _: Viewer, asked: Annotated[Listing, Query()]) -> Response:
    """Show one link's month: figures, a timeline of its days, its outages and exclusions."""
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        if question.link is None:
            raise Refusal(422, "Unprocessable", "fault_no_link")
        standing = Standing(connection, question)
        answer = summary_answer(summarise_links(connection, question, standing))
        calendars = list(calendars_of(connection))
        found = list_outages(
            connection,
            question,
            Narrowing(retracted=True),
            after=cursor_in(asked.after),
            limit=MAX_OUTAGES + 1,
            standing=standing,
        )
        touching = standing.exclusions()
    second_person = question.second_person
    outages = [listed_answer(one, second_person=second_person) for one in found[:MAX_OUTAGES]]
    exclusions = [exclusion_answer(one, second_person=second_person) for one in touching]
    return shown(
        request,
        "link.html",
        answer=answer,
        outages=outages,
        exclusions=exclusions,
        rows=timeline(question.start_ms, answer["question"]["until_ms"], outages, exclusions),
        further=_following(found),
        link=question.link,
        **_period(question, calendars, language_of(request)),
    )


def _period(question: Question, calendars: list[str], language: Language) -> dict[str, Any]:
    """Return what a page about a period knows of it, and of those beside it."""
    first = local_date(question.start_ms)
    month = f"{first:%Y-%m}"
    quarters = [
        (text("quarter", language, number=at // 3 + 1, year=first.year), date(first.year, at + 1, 1))
        for at in range(0, 12, 3)
    ]
    ends = [*(start for _, start in quarters[1:]), date(first.year + 1, 1, 1)]
    periods = [(f"{first.year}", f"from={first.year}-01-01&to={first.year + 1}-01-01")]
    periods += [(name, f"from={start}&to={end}") for (name, start), end in zip(quarters, ends, strict=True)]
    return {
        "month": month,
        "heading": heading_of(question, language),
        "earlier": neighbour(month, -1),
        "later": neighbour(month, 1),
        "query": query_of(question),
        "calendar": question.calendar,
        "calendars": calendars,
        "periods": periods,
        "first_day": f"{first}",
        "end_day": f"{local_date(question.end_ms)}",
    }


def _following(found: list[Listed]) -> str | None:
    """Return the cursor of the next page of outages, None on the last."""
    if len(found) <= MAX_OUTAGES:
        return None
    last = found[MAX_OUTAGES - 1].outage
    return cursor_after(last.start_ms, last.outage_id)
