"""The interface for programs: everything the page shows, as JSON, CSV or Parquet, described by OpenAPI."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from msgspec import to_builtins
from pydantic import Field

from streams.ledger.proof.heads import latest_head, stored_heads
from streams.ledger.proof.proofs import growth_proof, proof_of
from streams.ledger.read.lists import list_incidents, list_outages, revisions_of
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.read.summary import provisional_years, summarise_links
from streams.ledger.store.database import reading
from streams.ledger.store.days import link_lives
from streams.ledger.store.schema import audit_trail
from streams.ledger.store.schema import refusals as refused_records
from streams.serve.answers import (
    Answer,
    evidence_until_ms,
    incident_answer,
    iso,
    links_answer,
    listed_answer,
    outage_answer,
    summary_answer,
    summary_rows,
)
from streams.serve.context import (
    Asked,
    Auditor,
    Name,
    Problem,
    Refusal,
    Viewer,
    answered,
    services,
)
from streams.serve.cursor import CURSOR, cursor_after, cursor_in
from streams.serve.described import USUAL, one_object, refusals, tables

COVERAGE = (
    *("link", "known_until", "service_ms", "excluded_ms", "unknown_ms", "observed_ms", "coverage_pct"),
    "provisional_years",
)
router = APIRouter(prefix="/api/v1", default_response_class=JSONResponse)


class Page(Asked):
    """A page of a list: at most ``limit`` rows after the cursor that the page before gave."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[str | None, Field(pattern=CURSOR, description="`next` of the page before.")] = None


class OutagePage(Page):
    """A page of outages."""

    kind: Literal["down", "degraded"] | None = None
    min_seconds: Annotated[float, Field(ge=0, le=1e9)] = 0
    retracted: bool = False
    incident: Name | None = None


@router.get("/health", responses=one_object() | refusals(406, 503))
def health(request: Request) -> Response:
    """Say whether the ledger answers, and until when it holds data. Needs no token."""
    with reading(services(request).ledger) as connection:
        until = max((life.known_until_ms for life in link_lives(connection).values()), default=None)
        refused = connection.scalar(sa.select(sa.func.count()).select_from(refused_records))
    trail = services(request).trail
    answer = {"known_until_ms": until, "refused_records": refused, "trail_waiting": trail.waiting}
    if trail.failing:
        return JSONResponse({"status": "the trail of who asked is not written"} | answer, 503)
    return answered(request, {"status": "ok"} | answer)


@router.get("/links", responses=tables() | refusals(401, 403, 406, 429))
def links(request: Request, _: Viewer) -> Response:
    """Return all links, and since and until when they are known."""
    with reading(services(request).ledger) as connection:
        rows = links_answer(connection)
    return answered(request, {"links": rows}, rows)


@router.get("/summary", responses=tables() | USUAL | refusals(404))
def summary(request: Request, _: Viewer, asked: Annotated[Asked, Query()]) -> Response:
    """Return availability of each link and of all together, with method, numerator and denominator."""
    with reading(services(request).ledger) as connection:
        answer = summary_answer(summarise_links(connection, asked_of(request, connection, asked)))
    return answered(request, answer, summary_rows(answer))


@router.get("/coverage", responses=tables() | USUAL | refusals(404))
def coverage(request: Request, _: Viewer, asked: Annotated[Asked, Query()]) -> Response:
    """Return how much of the agreed time was observed, by link."""
    with reading(services(request).ledger) as connection:
        answer = summary_answer(summarise_links(connection, asked_of(request, connection, asked)))
    rows = [{name: row[name] for name in COVERAGE} for row in summary_rows(answer)[1:]]
    return answered(request, {"question": answer["question"], "links": rows}, rows)


@router.get("/outages", responses=tables() | USUAL | refusals(404))
def outages(request: Request, _: Viewer, asked: Annotated[OutagePage, Query()]) -> Response:
    """Return the outages of a period by start; `next` is the cursor of the next page."""
    narrowing = Narrowing(asked.kind, round(asked.min_seconds * 1000), asked.retracted, asked.incident)
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        found = list_outages(
            connection, question, narrowing, after=cursor_in(asked.after), limit=asked.limit + 1
        )
        provisional = {"provisional_years": provisional_years(connection, question)}
    rows = [listed_answer(one, second_person=question.second_person) | provisional for one in found]
    return _page(request, "outages", rows, asked.limit, lambda row: (row["start_ms"], row["outage_id"]))


@router.get("/outages/{outage_id}", responses=one_object() | USUAL | refusals(404))
def outage(request: Request, _: Viewer, outage_id: Name) -> Response:
    """Return the last revision of one outage."""
    with reading(services(request).ledger) as connection:
        return answered(request, outage_answer(_known(revisions_of(connection, outage_id))[-1]))


@router.get("/outages/{outage_id}/revisions", responses=tables() | USUAL | refusals(404))
def revisions(request: Request, _: Viewer, outage_id: Name) -> Response:
    """Return every revision of one outage, the first first."""
    with reading(services(request).ledger) as connection:
        rows = [outage_answer(one) for one in _known(revisions_of(connection, outage_id))]
    return answered(request, {"revisions": rows}, rows)


@router.get("/outages/{outage_id}/evidence", responses=tables() | USUAL | refusals(404))
def evidence(request: Request, _: Auditor, outage_id: Name) -> Response:
    """Return the source ranges and digests of the last revision, and how to check them."""
    with reading(services(request).ledger) as connection:
        last = _known(revisions_of(connection, outage_id))[-1]
    rows = to_builtins(last.evidence)
    answer = {"revision": last.revision, "evidence": rows, "check": f"portallink outages verify {outage_id}"}
    answer["evidence_until"] = iso(evidence_until_ms(last))
    return answered(request, answer, rows)


@router.get("/outages/{outage_id}/revisions/{revision}/proof", responses=one_object() | USUAL | refusals(404))
def inclusion(
    request: Request,
    _: Auditor,
    outage_id: Name,
    revision: Annotated[int, Field(ge=1, le=1_000_000)],
    size: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Response:
    """Return the proof (RFC 6962) that a revision is in its Merkle log, now or at ``size`` leaves."""
    with reading(services(request).ledger) as connection:
        proof = _proved(lambda: proof_of(connection, outage_id, revision, size))
    return answered(request, to_builtins(proof))


@router.get("/incidents", responses=tables() | USUAL | refusals(404))
def incidents(request: Request, _: Viewer, asked: Annotated[Page, Query()]) -> Response:
    """Return outages that belong together, told as one: flapping, and faults shared by several links."""
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        found = list_incidents(connection, question, after=cursor_in(asked.after), limit=asked.limit + 1)
    rows = [incident_answer(row) for row in found]
    return _page(request, "incidents", rows, asked.limit, lambda row: (row["start_ms"], row["incident_id"]))


@router.get("/heads", responses=one_object() | USUAL)
def heads(
    request: Request,
    _: Viewer,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Return signed tree heads after a number, to keep elsewhere."""
    with reading(services(request).ledger) as connection:
        found = to_builtins(stored_heads(connection, after, limit))
    return answered(request, {"heads": found})


@router.get("/heads/latest", responses=one_object() | USUAL | refusals(404))
def newest_head(request: Request, _: Viewer) -> Response:
    """Return the newest signed tree head."""
    with reading(services(request).ledger) as connection:
        found = latest_head(connection)
    if found is None:
        raise Refusal(404, "Not found", "no_head_yet")
    return answered(request, to_builtins(found))


@router.get("/logs/{topic}/{partition}/consistency", responses=one_object() | USUAL | refusals(404))
def consistency(
    request: Request,
    _: Auditor,
    topic: Name,
    partition: Annotated[int, Field(ge=0, le=100_000)],
    first: Annotated[int, Query(ge=0, le=2**53)],
    second: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """Return the proof (RFC 6962) that a log of ``second`` leaves continues itself at ``first``."""
    with reading(services(request).ledger) as connection:
        proof = _proved(lambda: growth_proof(connection, f"{topic}/{partition}", first, second))
    return answered(request, to_builtins(proof))


@router.get("/trail", responses=tables() | USUAL)
def trail(
    request: Request,
    _: Auditor,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Return who asked what, and who excluded what, oldest first."""
    with reading(services(request).ledger) as connection:
        found = connection.execute(
            sa.select(audit_trail)
            .where(audit_trail.c.entry > after)
            .order_by(audit_trail.c.entry)
            .limit(limit)
        )
        rows = [row._asdict() for row in found]
    return answered(request, {"trail": rows}, rows)


def known_until(connection: sa.Connection) -> int:
    """Return the end of the last window of any link, or the epoch's first day of an empty ledger."""
    return max((life.known_until_ms for life in link_lives(connection).values()), default=86_400_000)


def _known(found: Sequence[Any]) -> Sequence[Any]:
    if not found:
        raise Refusal(404, "Not found", "no_such_outage")
    return found


def _proved(prove: Callable[[], Any]) -> Any:
    try:
        return prove()
    except LookupError as error:
        raise Problem(404, "Not found", str(error)) from error
    except ValueError as error:
        raise Problem(422, "Unprocessable", str(error)) from error


def _page(
    request: Request, name: str, rows: list[Answer], limit: int, place: Callable[[Answer], tuple[int, str]]
) -> Response:
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursor_after(*place(rows[-1]))
    return answered(request, {name: rows, "next": following}, rows)


def asked_of(request: Request, connection: sa.Connection, asked: Asked) -> Question:
    """Return the question that a request asks, under the setting that holds here."""
    return asked.question(known_until(connection), second_person=services(request).second_person)
