"""A page as an answer: rendered for its reader, under an ETag, with what every page knows."""

from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from streams.ledger.read.names import UnknownNameError
from streams.ledger.read.question import Question
from streams.model.hours.calendar import day_start_ms, local_date, month_of, to_local
from streams.model.times import parse_month_ms
from streams.serve.context import Refusal, services, tagged
from streams.serve.language import language_of
from streams.serve.render import render
from streams.serve.texts import Language, text, written_time

MAX_FORM_BYTES = 16_384


def shown(request: Request, template: str, status: int = 200, /, **values: Any) -> Response:
    """Return a page; one that is not as usual, or answers a form, has no ETag."""
    page = rendered(request, template, **values)
    if status != 200 or request.method not in ("GET", "HEAD"):
        return HTMLResponse(page, status)
    return tagged(request, page.encode(), "text/html; charset=utf-8")


def rendered(request: Request, template: str, **values: Any) -> str:
    """Return a page as text."""
    following = request.query_params.get("next", "/")
    return render(
        template,
        language_of(request),
        services(request).names,
        standalone=False,
        caller=getattr(request.state, "caller", None),
        here=_here(request),
        following=local_address(following),
        **values,
    )


def refusal(request: Request, status: int, detail: str) -> str:
    """Return the page that says why a page is not shown."""
    words = {403: "forbidden", 404: "not_found", 500: "failed"}.get(status, "refused")
    return rendered(request, "refusal.html", words=text(words, language_of(request)), detail=detail)


def unknown_name(error: UnknownNameError, language: Language) -> str:
    """Return the message for a name that the ledger does not know, with the closest known name."""
    said = text("unknown_name", language, scope=text(error.scope, language).lower())
    return said if error.near is None else f"{said} {text('nearest_name', language, near=error.near)}"


def to_sign_in(request: Request) -> Response:
    """Send the reader to the form, and back afterwards."""
    return RedirectResponse(f"/sign-in?{urlencode({'next': _here(request)})}", 303)


def local_address(address: str) -> str:
    """Return an address of this site, or its first page: nobody is sent elsewhere."""
    safe = address.startswith("/") and not address.startswith(("//", "/\\")) and "\n" not in address
    return address if safe and "\r" not in address and "\\" not in address else "/"


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a small form; raise `Refusal` 413 for a large one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise Refusal(413, "Content too large", "fault_too_large")
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
    return {name: values[0] for name, values in fields.items()}


def heading_of(question: Question, language: Language) -> str:
    """Return what a page is about: a month, or a period by its days."""
    day = local_date(question.start_ms)
    if question.end_ms <= month_of(question.start_ms)[1]:
        return f"{day:%m/%Y}"
    edges = [question.start_ms, question.end_ms]
    whole = all(day_start_ms(edge_ms) == edge_ms for edge_ms in edges)
    return " – ".join(written_time(edge_ms, language)[: 10 if whole else None] for edge_ms in edges)


def neighbour(month: str, step: int) -> str:
    """Return the month before or after."""
    start_ms, end_ms = parse_month_ms(month)
    return f"{local_date(end_ms if step > 0 else start_ms - 1):%Y-%m}"


def query_of(question: Question) -> str:
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


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
