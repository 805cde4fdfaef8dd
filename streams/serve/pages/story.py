"""One outage's story, and one exclusion's."""

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import Response

from streams.ledger.proof.proofs import proof_of
from streams.ledger.read.around import minutes_between
from streams.ledger.read.histories import exclusion_revisions_of
from streams.ledger.read.lists import revisions_of
from streams.ledger.store.database import reading
from streams.model.calendar import MINUTE_MS, local_date, to_local
from streams.model.exclusion import rulings
from streams.serve.answers import Answer, exclusion_answer, outage_answer, revision_answer
from streams.serve.context import Name, Problem, Viewer, services
from streams.serve.pages.shown import shown

router = APIRouter(include_in_schema=False)


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
    return shown(
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
    return shown(
        request,
        "exclusion.html",
        exclusion=exclusion_answer(ruling, second_person=second_person),
        revisions=[revision_answer(one) for one in reversed(found)],
        second_person=second_person,
    )


def _minutes(connection: sa.Connection, link: str, start_ms: int, end_ms: int | None) -> list[Answer]:
    """Return the windows from five minutes before an outage to five after it, an hour of them at most."""
    first = start_ms - start_ms % MINUTE_MS - 5 * MINUTE_MS
    last = min((end_ms or start_ms) + 6 * MINUTE_MS, first + 60 * MINUTE_MS)
    return [
        {
            "at": to_local(one.start_ms).strftime("%H:%M"),
            "state": one.state.lower(),
            "attempts": one.attempts,
            "failures": one.failures,
            "p95": one.p95_ms,
        }
        for one in minutes_between(connection, link, first, last)
    ]
