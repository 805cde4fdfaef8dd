"""The page for people who would rather look: months, links, one outage's story, reports, the proof.

Server-rendered, no script, nothing from elsewhere. A token is given once on a form and kept in a cookie that
scripts cannot read and other sites cannot send.
"""

import time
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs, quote, urlencode

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import Field

from streams.ledger.proof.heads import log_sizes, stored_heads
from streams.ledger.proof.proofs import proof_of
from streams.ledger.read.histories import exclusion_revisions_of
from streams.ledger.read.lists import Listed, list_outages, revisions_of
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.calendars import calendars_of
from streams.ledger.store.database import reading
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.schema import window_days
from streams.model.calendar import MINUTE_MS, day_start_ms, local_date, month_of, to_local
from streams.model.exclusion import rulings
from streams.model.times import parse_month_ms
from streams.serve.answers import (
    Answer,
    OutagePage,
    exclusion_answer,
    listed_answer,
    outage_answer,
    report_answer,
    revision_answer,
    summary_answer,
)
from streams.serve.api import asked_of
from streams.serve.command import reproducing
from streams.serve.context import COOKIE, Asked, Name, Problem, Viewer, services, tagged
from streams.serve.cursor import CURSOR, cursor_after, cursor_in
from streams.serve.language import LANGUAGE_COOKIE, language_of
from streams.serve.overview import overview, timeline
from streams.serve.render import render
from streams.serve.report import MEDIA_TYPES, ReportFormat, file_name, render_report
from streams.serve.texts import Language, text, written_time

MAX_OUTAGES: Final = 100
"""Outages on one page; the rest follow on further ones, and files hold all."""
MAX_FORM_BYTES: Final = 4096
router = APIRouter(include_in_schema=False)

PageQuery = Annotated[Asked, Query()]


class Listing(Asked):
    """A page that lists outages: those after a cursor, where there are more than fit one page."""

    after: Annotated[str | None, Field(pattern=CURSOR)] = None


@router.get("/")
def month_page(request: Request, _: Viewer, asked: PageQuery) -> Response:
    """Show a month: a calendar of all links, and their figures."""
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        standing = Standing(connection, question)
        answer = summary_answer(summarise_links(connection, question, standing))
        calendars = list(calendars_of(connection))
        shown = overview(standing, language_of(request))
    month = f"{local_date(question.start_ms):%Y-%m}"
    return _page(
        request,
        "month.html",
        answer=answer,
        overview=shown,
        month=month,
        heading=_heading(question, language_of(request)),
        earlier=_neighbour(month, -1),
        later=_neighbour(month, 1),
        query=_query(question),
        place=_query(question) if asked.from_ else f"month={month}&calendar={question.calendar}",
        calendar=question.calendar,
        calendars=calendars,
    )


@router.get("/link")
def link_page(request: Request, _: Viewer, asked: Annotated[Listing, Query()]) -> Response:
    """Show one link's month: figures, a timeline of its days, its outages and exclusions."""
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        if question.link is None:
            raise Problem(422, "Unprocessable", "`link` names the link to show")
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
    month = f"{local_date(question.start_ms):%Y-%m}"
    return _page(
        request,
        "link.html",
        answer=answer,
        outages=outages,
        exclusions=exclusions,
        rows=timeline(question.start_ms, answer["question"]["until_ms"], outages, exclusions),
        further=_following(found),
        month=month,
        heading=_heading(question, language_of(request)),
        earlier=_neighbour(month, -1),
        later=_neighbour(month, 1),
        query=_query(question),
        calendar=question.calendar,
        calendars=calendars,
        link=question.link,
    )


@router.get("/outages/{outage_id}")
def outage_page(request: Request, _: Viewer, outage_id: Name) -> Response:
    """Tell one outage's story: what, when, whom, why we say so, every revision."""
    with reading(services(request).ledger) as connection:
        found = revisions_of(connection, outage_id)
        if not found:
            raise Problem(404, "Not found", "there is no such outage")
        last = found[-1]
        proof = proof_of(connection, outage_id, last.revision)
        minutes = _minutes(connection, last.link, last.start_ms, last.end_ms)
    return _page(
        request,
        "outage.html",
        outage=outage_answer(last),
        revisions=[outage_answer(one) for one in reversed(found)],
        proof=proof,
        minutes=minutes,
        month=f"{local_date(last.start_ms):%Y-%m}",
    )


@router.get("/exclusions/{exclusion_id}")
def exclusion_page(request: Request, _: Viewer, exclusion_id: Name) -> Response:
    """Tell one exclusion's history: every revision, who made it, when and why."""
    with reading(services(request).ledger) as connection:
        found = exclusion_revisions_of(connection, exclusion_id)
    if not found:
        raise Problem(404, "Not found", "there is no such exclusion")
    [ruling] = rulings(found)
    second_person = services(request).second_person
    return _page(
        request,
        "exclusion.html",
        exclusion=exclusion_answer(ruling, second_person=second_person),
        revisions=[revision_answer(one) for one in reversed(found)],
        second_person=second_person,
    )


@router.get("/report")
def report_page(request: Request, _: Viewer, asked: Annotated[Listing, Query()]) -> Response:
    """Show a report as a page, with the other formats to download; of many outages some at a time."""
    page = OutagePage(cursor_in(asked.after), MAX_OUTAGES)
    report, question = _report(request, asked, "html", language_of(request), page)
    further = report["following"] and cursor_after(*report["following"])
    return _page(request, "report.html", report=report, query=_query(question), further=further)


@router.get("/report.{kind}")
def report_file(
    request: Request, _: Viewer, asked: PageQuery, kind: Literal["html", "pdf", "csv", "json"]
) -> Response:
    """Give a report as a file; the same ledger gives the same bytes."""
    language = language_of(request)
    report, _question = _report(request, asked, kind, language)
    name = quote(file_name(report, kind, language))
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return tagged(request, render_report(report, kind, language), MEDIA_TYPES[kind], headers)


@router.get("/proof")
def proof_page(request: Request, _: Viewer) -> Response:
    """Show the Merkle logs and the newest signed heads."""
    with reading(services(request).ledger) as connection:
        logs = log_sizes(connection)
        heads = stored_heads(connection)[-20:][::-1]
    shown = [(head, head.statement(), msgspec.json.encode(head).decode()) for head in heads]
    return _page(request, "proof.html", logs=logs, heads=shown)


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """Ask for a token."""
    return _page(request, "sign-in.html", wrong=False)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Keep a valid token in a cookie."""
    known = services(request)
    address = request.client.host if request.client else "unknown"
    wait = known.limit.wait_seconds(f"sign-in {address}", time.time())
    if wait > 0:
        raise Problem(429, "Too many requests", "", {"Retry-After": str(int(wait) + 1)})
    fields = await _form(request)
    token = fields.get("token", "").strip()
    caller = known.access.caller(token or None, time.time())
    if caller is None or not token:
        return _page(request, "sign-in.html", 401, wrong=True)
    request.state.caller = caller
    answer = RedirectResponse(_local(fields.get("next", "/")), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@router.post("/sign-out")
def sign_out() -> Response:
    """Forget the token."""
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/language")
def choose_language(
    to: Language, following: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """Keep the reader's language."""
    answer = RedirectResponse(_local(following), 303)
    answer.set_cookie(LANGUAGE_COOKIE, to, max_age=31_536_000, samesite="lax", path="/", httponly=True)
    return answer


def refusal(request: Request, status: int, detail: str) -> str:
    """Return the page that says why a page is not shown."""
    words = {403: "forbidden", 404: "not_found", 500: "failed"}.get(status, "refused")
    return _rendered(request, "refusal.html", words=text(words, language_of(request)), detail=detail)


def to_sign_in(request: Request) -> Response:
    """Send the reader to the form, and back afterwards."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?{urlencode({'next': here})}", 303)


def _rendered(request: Request, template: str, **values: Any) -> str:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    following = request.query_params.get("next", "/")
    return render(
        template,
        language_of(request),
        standalone=False,
        signed_in=getattr(request.state, "caller", None) is not None,
        here=here,
        following=_local(following),
        **values,
    )


def _page(request: Request, template: str, status: int = 200, /, **values: Any) -> Response:
    page = _rendered(request, template, **values)
    if status != 200 or request.method != "GET":
        return HTMLResponse(page, status)
    return tagged(request, page.encode(), "text/html; charset=utf-8")


def _report(
    request: Request, asked: Asked, kind: ReportFormat, language: Language, page: OutagePage | None = None
) -> tuple[Answer, Question]:
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        command = reproducing(question, f"--format {kind}", f"--language {language}")
        return report_answer(connection, question, Narrowing(), command, page), question


def _following(found: list[Listed]) -> str | None:
    """Return the cursor of the next page of outages, None on the last."""
    if len(found) <= MAX_OUTAGES:
        return None
    last = found[MAX_OUTAGES - 1].outage
    return cursor_after(last.start_ms, last.outage_id)


def _minutes(connection: sa.Connection, link: str, start_ms: int, end_ms: int | None) -> list[Answer]:
    """Return the windows from five minutes before an outage to five after it, an hour of them at most."""
    first = start_ms - start_ms % MINUTE_MS - 5 * MINUTE_MS
    last = min((end_ms or start_ms) + 6 * MINUTE_MS, first + 60 * MINUTE_MS)
    found = []
    for row in connection.execute(
        sa.select(window_days)
        .where(
            window_days.c.link == link,
            window_days.c.day_ms >= day_start_ms(first),
            window_days.c.day_ms <= last,
        )
        .order_by(window_days.c.day_ms)
    ):
        day = DayOfMinutes.unpack(row.day_ms, bytes(row.columns), bytes(row.details))
        for minute, detail in sorted(day.details.items()):
            at_ms = row.day_ms + minute * MINUTE_MS
            if first <= at_ms < last:
                found.append(
                    {
                        "at": to_local(at_ms).strftime("%H:%M"),
                        "state": detail.state.lower(),
                        "attempts": day.columns["attempts"][minute],
                        "failures": day.columns["failures"][minute],
                        "p95": None if detail.latency_ms is None else detail.latency_ms.get("p95"),
                    }
                )
    return found


def _heading(question: Question, language: Language) -> str:
    """Return what a page is about: a month, or a period by its days."""
    day = local_date(question.start_ms)
    if question.end_ms <= month_of(question.start_ms)[1]:
        return f"{day:%m/%Y}"
    edges = [question.start_ms, question.end_ms]
    whole = all(day_start_ms(edge_ms) == edge_ms for edge_ms in edges)
    return " – ".join(written_time(edge_ms, language)[: 10 if whole else None] for edge_ms in edges)


def _neighbour(month: str, step: int) -> str:
    """Return the month before or after."""
    start_ms, end_ms = parse_month_ms(month)
    return f"{local_date(end_ms if step > 0 else start_ms - 1):%Y-%m}"


def _query(question: Question) -> str:
    """Return the query that asks the same of another page."""
    parts = {
        "from": to_local(question.start_ms).isoformat(timespec="milliseconds"),
        "to": to_local(question.end_ms).isoformat(timespec="milliseconds"),
        "calendar": question.calendar,
        "link": question.link,
        "portal": question.portal,
        "agency": question.agency,
        "service": question.service,
        "as_of": None if question.as_of_ms is None else to_local(question.as_of_ms).isoformat(),
    }
    return urlencode({name: value for name, value in parts.items() if value is not None})


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a small form; raise `Problem` 413 for a large one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise Problem(413, "Content too large")
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


def _local(address: str) -> str:
    """Return an address of this site, or its first page: nobody is sent elsewhere."""
    safe = address.startswith("/") and not address.startswith(("//", "/\\")) and "\n" not in address
    return address if safe and "\r" not in address and "\\" not in address else "/"
