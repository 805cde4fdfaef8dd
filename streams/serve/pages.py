"""The page for people who would rather look: months, links, one outage's story, reports, the proof.

Server-rendered, no script, nothing from elsewhere. A token is given once on a form and kept in a cookie that
scripts cannot read and other sites cannot send.
"""

import time
from functools import cache
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs, quote, urlencode

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from streams.ledger.database import reading
from streams.ledger.days import link_lives
from streams.ledger.figures import Question
from streams.ledger.heads import log_sizes, stored_heads
from streams.ledger.minutes import DayOfMinutes
from streams.ledger.proofs import proof_of
from streams.ledger.schema import figures, window_days
from streams.ledger.summary import Narrowing, list_outages, revisions_of, standing_exclusions, summarise_links
from streams.model.calendar import DAY_MS, MINUTE_MS, day_start_ms, local_date, to_local
from streams.serve.answers import (
    Answer,
    exclusion_answer,
    listed_answer,
    outage_answer,
    report_answer,
    summary_answer,
)
from streams.serve.api import known_until
from streams.serve.command import reproducing
from streams.serve.context import COOKIE, Asked, Name, Problem, Viewer, month_bounds, services, tagged
from streams.serve.render import render
from streams.serve.report import MEDIA_TYPES, ReportFormat, file_name, render_report
from streams.serve.texts import Language, text, written_time

LANGUAGE_COOKIE: Final = "portallink-language"
CELL: Final = Markup(
    '<td class="{}" title="{}"><span class="glyph" aria-hidden="true">{}</span>'
    '<span class="hidden">{}</span></td>'
)
SIGNS: Final = {"down": "×", "degraded": "~", "unknown": "?"}
"""What a cell shows beside its colour, for whoever cannot tell the colours apart."""
MAX_FORM_BYTES: Final = 4096
router = APIRouter(include_in_schema=False)

PageQuery = Annotated[Asked, Query()]


@router.get("/")
def month_page(request: Request, _: Viewer, asked: PageQuery) -> Response:
    """Show a month: a calendar of all links, and their figures."""
    with reading(services(request).ledger) as connection:
        until_ms = known_until(connection)
        question = _until_known(asked.question(until_ms), until_ms)
        answer = summary_answer(summarise_links(connection, question))
        cells = _cells(connection, question, language_of(request))
    month = f"{local_date(question.start_ms):%Y-%m}"
    return _page(
        request,
        "month.html",
        answer=answer,
        cells=cells,
        days=[local_date(ms) for ms in _days(question)],
        month=month,
        earlier=_neighbour(month, -1),
        later=_neighbour(month, 1),
        query=_query(question),
        calendar=question.calendar,
    )


@router.get("/link")
def link_page(request: Request, _: Viewer, asked: PageQuery) -> Response:
    """Show one link's month: figures, a timeline of its days, its outages and exclusions."""
    with reading(services(request).ledger) as connection:
        until_ms = known_until(connection)
        question = _until_known(asked.question(until_ms), until_ms)
        if question.link not in link_lives(connection):
            raise Problem(404, "Not found", "there is no such link")
        answer = summary_answer(summarise_links(connection, question))
        outages = [
            listed_answer(one) for one in list_outages(connection, question, Narrowing(retracted=True))
        ]
        exclusions = [exclusion_answer(one) for one in standing_exclusions(connection, question)]
    month = f"{local_date(question.start_ms):%Y-%m}"
    return _page(
        request,
        "link.html",
        answer=answer,
        outages=outages,
        exclusions=exclusions,
        rows=_timeline(question, outages, exclusions),
        month=month,
        earlier=_neighbour(month, -1),
        later=_neighbour(month, 1),
        query=_query(question),
        calendar=question.calendar,
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


@router.get("/report")
def report_page(request: Request, _: Viewer, asked: PageQuery) -> Response:
    """Show a report as a page, with the other formats to download."""
    report, question = _report(request, asked, "html", language_of(request))
    return _page(request, "report.html", report=report, query=_query(question))


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


def language_of(request: Request) -> Language:
    """Return the reader's language: chosen, else the browser's, else Vietnamese."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in ("en", "vi"):
        return "en" if chosen == "en" else "vi"
    return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "vi"


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
    request: Request, asked: Asked, kind: ReportFormat, language: Language
) -> tuple[Answer, Question]:
    with reading(services(request).ledger) as connection:
        question = asked.question(known_until(connection))
        command = reproducing(question, f"--format {kind}", f"--language {language}")
        return report_answer(connection, question, Narrowing(), command), question


def _until_known(question: Question, until_ms: int) -> Question:
    """Return a question about a month that is not over only as far as there is data."""
    if question.start_ms < until_ms < question.end_ms:
        return msgspec.structs.replace(question, end_ms=until_ms)
    return question


def _days(question: Question) -> range:
    return range(day_start_ms(question.start_ms), question.until_ms, DAY_MS)


def _cells(connection: sa.Connection, question: Question, language: Language) -> dict[str, list[Markup]]:
    """Return, by link, a table cell for each day: a colour, a sign, and the same in words."""
    columns = ("service_ms", "excluded_ms", "unknown_ms", "down_ms", "degraded_ms")
    rows = connection.execute(
        sa.select(figures.c.link, figures.c.start_ms, *(figures.c[name] for name in columns)).where(
            figures.c.calendar == question.calendar,
            figures.c.grain == "day",
            figures.c.start_ms >= day_start_ms(question.start_ms),
            figures.c.start_ms < question.until_ms,
        )
    )
    found = {(link, day_ms): _state(*counted) for link, day_ms, *counted in rows}
    days = _days(question)
    written = [written_time(day_ms, language)[:10] for day_ms in days]
    words = {kind: text(kind, language) for kind in ("up", "down", "degraded", "unknown")} | {"off": "–"}

    @cache
    def cell(kind: str, share: str, day: str) -> Markup:
        title = f"{day}: {words[kind]}" + (f" {share} %" if share else "")
        return CELL.format(kind, title, SIGNS.get(kind, ""), words[kind])

    return {
        link: [
            cell(*found.get((link, day_ms), ("unknown", "")), day)
            for day_ms, day in zip(days, written, strict=True)
        ]
        for link in link_lives(connection)
        if question.about(link)
    }


def _state(
    service_ms: int, excluded_ms: int, unknown_ms: int, down_ms: int, degraded_ms: int
) -> tuple[str, str]:
    """Return what a day is shown as, and its availability in words."""
    observed = service_ms - excluded_ms - unknown_ms
    if not service_ms:
        return "off", ""
    if not observed:
        return "unknown", ""
    kind = "down" if down_ms else "degraded" if degraded_ms else "up"
    return kind, f"{(observed - down_ms) * 1000 // observed / 10:.1f}"


def _timeline(question: Question, outages: list[Answer], exclusions: list[Answer]) -> list[Answer]:
    """Return the days of a link's timeline: bars as start and width in thousandths of the day."""
    rows = []
    for day_ms in _days(question):
        bars = []
        spans = [(one["start_ms"], one["end_ms"], "excluded") for one in exclusions if not one["withdrawn"]]
        spans += [
            (one["start_ms"], one["end_ms"], one["kind"]) for one in outages if one["status"] != "retracted"
        ]
        for start_ms, end_ms, kind in spans:
            low = max(start_ms, day_ms)
            high = min(question.until_ms if end_ms is None else end_ms, day_ms + DAY_MS, question.until_ms)
            if low < high:
                left, width = (low - day_ms) * 1000 / DAY_MS, max((high - low) * 1000 / DAY_MS, 1.5)
                bars.append({"left": round(left, 2), "width": round(width, 2), "kind": kind})
        if bars:
            rows.append({"day_ms": day_ms, "bars": bars})
    return rows


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


def _neighbour(month: str, step: int) -> str:
    """Return the month before or after."""
    start_ms, end_ms = month_bounds(month)
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
