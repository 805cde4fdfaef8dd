"""What every request needs: the ledger, who asks, and answers in the form that is asked for."""

import hashlib
import io
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, Final

import polars as pl
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from streams.ledger.read.question import Question
from streams.model.exclusion import Exclusion
from streams.model.hours.calendar import local_date
from streams.model.times import parse_month_ms, parse_time_ms
from streams.serve.access import Access, Caller, Role
from streams.serve.limit import RateLimit
from streams.serve.names import Names
from streams.serve.pages.live import Boards
from streams.serve.report.files import rows_csv
from streams.serve.texts import Language, text
from streams.serve.trail import Trail

COOKIE: Final = "portallink"
JSON: Final = "application/json"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"
TIME: Final = (
    r"^(19[7-9][0-9]|20[0-9][0-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,3})?)?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])?)?$"
)
MONTH: Final = r"^(19[7-9][0-9]|20[0-9][0-9])-(0[1-9]|1[0-2])$"
CALENDAR: Final = r"^[a-z0-9][a-z0-9-]{0,19}$"
NAME: Final = r"^[^\x00-\x1f\x7f]{1,200}$"

Name = Annotated[str, Field(pattern=NAME)]


class Problem(Exception):  # noqa: N818 - it is what RFC 9457 calls it
    """A request that is not answered as asked; becomes application/problem+json, or a page that says so."""

    def __init__(
        self, status: int, title: str, detail: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.title, self.detail, self.headers = status, title, detail, headers or {}
        super().__init__(title)

    def said(self, language: Language) -> str:  # noqa: ARG002 - a detail of the interface has one language
        """Return the detail as a page says it."""
        return self.detail


class Refusal(Problem):
    """A problem whose detail is a text, in each reader's language; the interface says it in English.

    ``exact`` is what the interface says instead, where it knows more than the page's text does.
    """

    def __init__(self, status: int, title: str, key: str, *, exact: str | None = None, **values: str) -> None:
        self._key, self._values = key, values
        super().__init__(status, title, self.said("en") if exact is None else exact)

    def said(self, language: Language) -> str:
        """Return the detail as a page says it."""
        return text(self._key, language, **self._values)


class Contact(Struct, frozen=True):
    """Whom to call, when, and how, from `notify.contacts` of the alerting settings."""

    who: str
    when: str
    how: str


class Services(Struct, frozen=True):
    """What the application works with."""

    ledger: sa.Engine
    access: Access
    limit: RateLimit
    trail: Trail
    exclude: Callable[[Exclusion], Awaitable[None]] | None
    boards: Boards
    contacts: Sequence[Contact] = ()
    second_person: bool = True
    names: Names = Names()
    public_key: Ed25519PublicKey | None = None
    stopping: Callable[[], bool] = lambda: False


class Asked(BaseModel):
    """A period and what to narrow it to: a month, or `from` and `to`; else the last month with data."""

    model_config = ConfigDict(extra="forbid")

    month: Annotated[str | None, Field(pattern=MONTH, description="A month, like 2025-06.")] = None
    from_: Annotated[
        str | None,
        Field(alias="from", pattern=TIME, description="Start, included; Asia/Ho_Chi_Minh without an offset."),
    ] = None
    to: Annotated[str | None, Field(pattern=TIME, description="End, excluded.")] = None
    calendar: Annotated[
        str, Field(pattern=CALENDAR, description="24x7, office-hours, or one of the ledger's.")
    ] = "24x7"
    link: Name | None = None
    portal: Name | None = None
    agency: Name | None = None
    service: Name | None = None
    as_of: Annotated[str | None, Field(pattern=TIME, description="As published by this time.")] = None

    def question(self, known_until_ms: int, *, second_person: bool) -> Question:
        """Return the question; raise `Problem` where the parameters make none."""
        try:
            if self.month is not None or (self.from_ is None and self.to is None):
                month = self.month or f"{local_date(known_until_ms - 1):%Y-%m}"
                start_ms, end_ms = parse_month_ms(month)
            elif self.from_ is None or self.to is None:
                raise Refusal(422, "Unprocessable", "fault_from_to")
            else:
                start_ms, end_ms = parse_time_ms(self.from_), parse_time_ms(self.to)
            as_of_ms = None if self.as_of is None else parse_time_ms(self.as_of)
            return Question(
                start_ms,
                end_ms,
                self.calendar,
                self.link,
                self.portal,
                self.agency,
                self.service,
                as_of_ms,
                second_person,
            )
        except ValueError as error:
            raise Refusal(422, "Unprocessable", "fault_period", exact=str(error)) from error


def services(request: Request) -> Services:
    """Return what the application works with."""
    found: Services = request.app.state.services
    return found


_bearer = HTTPBearer(auto_error=False, description="A token as `portallink ledger token` makes it.")


def asks_as(role: Role) -> Callable[..., Caller]:
    """Return the dependency that admits callers of a role, by bearer token or the page's cookie."""

    def admit(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        known = services(request)
        token = credentials.credentials if credentials is not None else request.cookies.get(COOKIE)
        now = time.time()
        caller = known.access.caller(token, now)
        address = request.client.host if request.client else "unknown"
        wait = known.limit.wait_seconds(address if caller is None else caller.name, now)
        if wait > 0:
            raise Problem(429, "Too many requests", "", {"Retry-After": str(int(wait) + 1)})
        if caller is None:
            raise Problem(401, "Unauthorized", "a valid token is needed", {"WWW-Authenticate": "Bearer"})
        request.state.caller = caller
        if not caller.may(role):
            raise Refusal(403, "Forbidden", f"needs_role_{role}")
        return caller

    return admit


Viewer = Annotated[Caller, Depends(asks_as("viewer"))]
Auditor = Annotated[Caller, Depends(asks_as("auditor"))]
Operator = Annotated[Caller, Depends(asks_as("operator"))]


def answered(request: Request, answer: Any, rows: Iterable[dict[str, Any]] | None = None) -> Response:
    """Return an answer as JSON, or its rows as CSV or Parquet where asked for; 304 where it is known.

    Raise `Problem` 406 where none of the forms there are is accepted.
    """
    kind = _negotiated(request, tabular=rows is not None)
    if kind == JSON:
        body, media = json.dumps(answer, ensure_ascii=False).encode(), JSON
    else:
        listed = [{name: _flat(value) for name, value in row.items()} for row in rows or ()]
        columns = list(dict.fromkeys(name for row in listed for name in row))
        if kind == CSV:
            body, media = rows_csv(columns, listed), "text/csv; charset=utf-8"
        else:
            out = io.BytesIO()
            pl.DataFrame(listed, infer_schema_length=None).write_parquet(out)
            body, media = out.getvalue(), PARQUET
    return tagged(request, body, media)


def tagged(request: Request, body: bytes, media: str, headers: dict[str, str] | None = None) -> Response:
    """Return a body under its ETag, or 304 where the caller has it already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    sent = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, Cookie"}
    sent |= headers or {}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=sent)
    return Response(body, media_type=media, headers=sent)


def _negotiated(request: Request, *, tabular: bool) -> str:
    accept = request.headers.get("accept", "*/*") or "*/*"
    offered = [JSON, CSV, PARQUET] if tabular else [JSON]
    wanted = []
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            wanted.append((-float(quality), media))
        except ValueError:
            continue
    for rank, media in sorted(wanted, key=lambda pair: pair[0]):
        for offer in offered:
            if rank < 0 and media in (offer, offer.split("/", maxsplit=1)[0] + "/*", "*/*"):
                return offer
    raise Problem(406, "Not acceptable", f"there is {', '.join(offered)}")


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
