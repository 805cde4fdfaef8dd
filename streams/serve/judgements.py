"""Exclusions over the interface: listing, proposing, approving and withdrawing them."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from msgspec import ValidationError
from pydantic import BaseModel, ConfigDict, Field

from streams.ledger.read.histories import all_rulings, exclusion_revisions_of
from streams.ledger.read.names import require_link
from streams.ledger.read.summary import exclusions_touching
from streams.ledger.store.database import reading
from streams.model.exclusion import (
    Exclusion,
    Fault,
    JudgementError,
    Ruling,
    approve,
    checked,
    new_exclusion,
    withdraw,
)
from streams.model.times import TimeTextError, parse_time_ms
from streams.serve.answers import exclusion_answer, revision_answer
from streams.serve.api import asked_of
from streams.serve.context import (
    NAME,
    TIME,
    Asked,
    Name,
    Operator,
    Problem,
    Refusal,
    Viewer,
    answered,
    services,
)
from streams.serve.described import PUBLISHED, USUAL, refusals, tables

FAULTS: Final[Mapping[Fault, str]] = {
    "withdrawn": "fault_withdrawn",
    "announced": "fault_announced",
    "approved": "fault_approved",
    "own": "fault_own",
}
"""What is said to readers of a revision that cannot be made."""
router = APIRouter(prefix="/api/v1", default_response_class=JSONResponse)


class NewExclusion(BaseModel):
    """What an operator says of time that does not count."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"title": "NewExclusion"})

    link: Annotated[str, Field(pattern=NAME, description="The link, or * for every link.")]
    from_: Annotated[str, Field(alias="from", pattern=TIME)]
    to: Annotated[str, Field(pattern=TIME)]
    kind: Literal["maintenance", "exclusion"]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    force: Annotated[bool, Field(description="Take a link that the ledger does not know yet.")] = False


class Because(BaseModel):
    """Why an exclusion is approved or taken back."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


@router.get("/exclusions", responses=tables() | USUAL | refusals(404))
def exclusions(request: Request, _: Viewer, asked: Annotated[Asked, Query()]) -> Response:
    """Return the exclusions that touch a period, with author and reason, withdrawn ones too."""
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        found = exclusions_touching(connection, question)
    rows = [exclusion_answer(one, second_person=question.second_person) for one in found]
    return answered(request, {"exclusions": rows}, rows)


@router.post(
    "/exclusions",
    status_code=202,
    responses=PUBLISHED | refusals(401, 403, 404, 422, 429, 503),
)
async def add_exclusion(request: Request, caller: Operator, body: NewExclusion) -> JSONResponse:
    """Exclude a time from a link's figures; the author is the token's name."""
    return _accepted(await propose(request, caller.name, body))


@router.post(
    "/exclusions/{exclusion_id}/withdrawal",
    status_code=202,
    responses=PUBLISHED | refusals(401, 403, 404, 409, 422, 429, 503),
)
async def withdraw_exclusion(
    request: Request, caller: Operator, exclusion_id: Name, body: Because
) -> JSONResponse:
    """Take an exclusion back; every revision stays."""
    return _accepted(await revise(request, exclusion_id, withdraw, caller.name, body.reason))


@router.post(
    "/exclusions/{exclusion_id}/approval",
    status_code=202,
    responses=PUBLISHED | refusals(401, 403, 404, 409, 422, 429, 503),
)
async def approve_exclusion(
    request: Request, caller: Operator, exclusion_id: Name, body: Because
) -> JSONResponse:
    """Approve, as a second person, what was excluded after the fact; until then it does not count."""
    return _accepted(await revise(request, exclusion_id, approve, caller.name, body.reason))


@router.get("/exclusions/{exclusion_id}/revisions", responses=tables() | USUAL | refusals(404))
def exclusion_history(request: Request, _: Viewer, exclusion_id: Name) -> Response:
    """Return every revision of one exclusion, the first first: who said what, when and why."""
    with reading(services(request).ledger) as connection:
        found = exclusion_revisions_of(connection, exclusion_id)
    if not found:
        raise Refusal(404, "Not found", "no_such_exclusion")
    rows = [revision_answer(one) for one in found]
    return answered(request, {"revisions": rows}, rows)


async def propose(request: Request, author: str, said: NewExclusion) -> Exclusion:
    """Publish an exclusion of somebody's; raise `Problem` where it makes no sense or cannot be published."""
    if not said.force:
        with reading(services(request).ledger) as connection:
            require_link(connection, said.link)
    try:
        start_ms, end_ms = _time_ms(said.from_, "fault_from"), _time_ms(said.to, "fault_to")
        if end_ms <= start_ms:
            raise Refusal(422, "Unprocessable", "fault_order")
        exclusion = checked(
            new_exclusion(
                said.link,
                start_ms,
                end_ms,
                kind=said.kind,
                author=author,
                reason=said.reason,
                recorded_at_ms=int(time.time() * 1000),
            )
        )
    except (ValidationError, ValueError) as error:
        raise Problem(422, "Unprocessable", str(error)) from error
    return await _publish(request, exclusion)


def _time_ms(words: str, fault: str) -> int:
    try:
        return parse_time_ms(words)
    except TimeTextError as error:
        raise Refusal(422, "Unprocessable", fault) from error


async def revise(
    request: Request,
    exclusion_id: str,
    revised: Callable[[Ruling, str, str, int], Exclusion],
    author: str,
    reason: str,
) -> Exclusion:
    """Publish the next revision of an exclusion; raise `Problem` where there is none to make."""
    with reading(services(request).ledger) as connection:
        known = {one.last.exclusion_id: one for one in all_rulings(connection)}
    if exclusion_id not in known:
        raise Refusal(404, "Not found", "no_such_exclusion")
    try:
        revision = revised(known[exclusion_id], author, reason, int(time.time() * 1000))
    except JudgementError as error:
        raise Refusal(409, "Conflict", FAULTS[error.fault], name=exclusion_id, by=error.by) from error
    return await _publish(request, revision)


async def _publish(request: Request, exclusion: Exclusion) -> Exclusion:
    exclude = services(request).exclude
    if exclude is None:
        raise Refusal(503, "Service unavailable", "no_broker")
    await exclude(exclusion)
    request.state.subject = f"{exclusion.exclusion_id} revision {exclusion.revision}"
    return exclusion


def _accepted(exclusion: Exclusion) -> JSONResponse:
    return JSONResponse(revision_answer(exclusion), status_code=202)
