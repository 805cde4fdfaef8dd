"""The forms of operators: announce an exclusion, add one after the fact, approve, withdraw.

They do what the interface does, under the same roles. A form that another site sends is refused: the cookie
does not travel with it, and browsers say where a form comes from.
"""

import time
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from streams.ledger.read.histories import all_rulings
from streams.ledger.read.names import UnknownNameError
from streams.ledger.store.database import reading
from streams.ledger.store.days import link_lives
from streams.model.exclusion import EVERY_LINK, Exclusion, Ruling, approve, withdraw
from streams.serve.access import Caller
from streams.serve.answers import exclusion_answer
from streams.serve.context import NAME, Name, Operator, Problem, Refusal, Viewer, services
from streams.serve.judgements import NewExclusion, propose, revise
from streams.serve.language import language_of
from streams.serve.pages.shown import form_of, shown, unknown_name
from streams.serve.texts import text

MOST: Final = 200
"""So many exclusions are listed, the latest; reports and the interface have all."""
EMPTY: Final = {"link": "", "from": "", "to": "", "kind": "maintenance", "reason": ""}
FIELD_FAULTS: Final = {
    "link": "fault_field_link",
    "from": "fault_from",
    "to": "fault_to",
    "kind": "fault_kind",
    "reason": "fault_reason",
}
"""What is said of each field of the form that cannot be taken."""
router = APIRouter(include_in_schema=False)


@router.get("/exclusions")
def exclusions_page(
    request: Request, caller: Viewer, sent: Annotated[str | None, Query(pattern=NAME)] = None
) -> Response:
    """List what is excluded, the latest first, with the form that adds to it for who may."""
    return _page(request, caller, 200, sent=sent)


@router.post("/exclusions")
async def add(request: Request, caller: Operator) -> Response:
    """Take an exclusion from the form; what makes no sense comes back with what was typed, and why."""
    _refuse_other_sites(request)
    said, language = EMPTY | await form_of(request), language_of(request)
    try:
        made = await propose(request, caller.name, NewExclusion.model_validate(said))
    except ValidationError as error:
        fields = dict.fromkeys(str(one["loc"][0]) for one in error.errors())
        faults = " ".join(text(FIELD_FAULTS.get(one, "fault_field"), language) for one in fields)
        return _page(request, caller, 422, said=said, fault=faults)
    except UnknownNameError as error:
        return _page(request, caller, 422, said=said, fault=unknown_name(error, language))
    except Problem as problem:
        return _page(request, caller, problem.status, said=said, fault=problem.said(language))
    return RedirectResponse(f"/exclusions?sent={made.exclusion_id}", 303)


@router.post("/exclusions/{exclusion_id}/approval")
async def approval(request: Request, caller: Operator, exclusion_id: Name) -> Response:
    """Approve, as a second person, what was excluded after the fact."""
    return await _revised(request, caller, exclusion_id, approve)


@router.post("/exclusions/{exclusion_id}/withdrawal")
async def withdrawal(request: Request, caller: Operator, exclusion_id: Name) -> Response:
    """Take an exclusion back."""
    return await _revised(request, caller, exclusion_id, withdraw)


async def _revised(
    request: Request, caller: Caller, exclusion_id: str, how: Callable[[Ruling, str, str, int], Exclusion]
) -> Response:
    _refuse_other_sites(request)
    reason = (await form_of(request)).get("reason", "").strip()
    if not 0 < len(reason) <= 2_000:
        raise Refusal(422, "Unprocessable", "fault_reason")
    await revise(request, exclusion_id, how, caller.name, reason)
    return RedirectResponse(f"/exclusions?sent={exclusion_id}", 303)


def _page(
    request: Request,
    caller: Caller,
    status: int,
    *,
    said: dict[str, Any] | None = None,
    fault: str | None = None,
    sent: str | None = None,
) -> Response:
    known = services(request)
    with reading(known.ledger) as connection:
        links = list(link_lives(connection))
        found = sorted(all_rulings(connection), key=lambda one: one.last.start_ms, reverse=True)
    rows = [exclusion_answer(one, second_person=known.second_person) for one in found[:MOST]]
    arrived = any(one.last.exclusion_id == sent for one in found)
    return shown(
        request,
        "exclusions.html",
        status,
        rows=rows,
        more=max(0, len(found) - MOST),
        links=[EVERY_LINK, *links],
        said=said or EMPTY,
        fault=fault,
        sent=sent if arrived else None,
        waiting=sent is not None and not arrived,
        now_ms=int(time.time() * 1000),
        may_judge=caller.may("operator") and known.exclude is not None,
        second_person=known.second_person,
    )


def _refuse_other_sites(request: Request) -> None:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refusal(403, "Forbidden", "fault_other_site")
