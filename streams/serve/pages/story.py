"""One outage's story: what, when, whom, what else, why, every revision, proof; and one exclusion's."""

import json

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import to_builtins

from streams.ledger.proof.heads import public_pem
from streams.ledger.proof.proofs import proof_of
from streams.ledger.proof.spot import spot_check
from streams.ledger.read.around import minutes_between, others_between
from streams.ledger.read.histories import exclusion_revisions_of
from streams.ledger.read.lists import revisions_of
from streams.ledger.store.database import reading
from streams.ledger.store.days import link_lives
from streams.model.exclusion import rulings
from streams.model.hours.calendar import MINUTE_MS, local_date
from streams.model.outage import Outage
from streams.serve.answers import evidence_until_ms, exclusion_answer, iso, outage_answer, revision_answer
from streams.serve.context import Auditor, Name, Refusal, Viewer, services, tagged
from streams.serve.language import language_of
from streams.serve.pages.diffs import diffs
from streams.serve.pages.picture import drawn, picture
from streams.serve.pages.shown import shown
from streams.serve.report.files import rows_csv
from streams.serve.report.tables import EVIDENCE_COLUMNS

NEAR_MS = 10 * MINUTE_MS
"""What else was down so long before or after an outage stands on its page."""
router = APIRouter(include_in_schema=False)


@router.get("/outages/{outage_id}")
def outage_page(request: Request, caller: Viewer, outage_id: Name) -> Response:
    """Tell one outage's story: what, when, whom, what else was down, why we say so, every revision."""
    language, names = language_of(request), services(request).names
    with reading(services(request).ledger) as connection:
        found = revisions_of(connection, outage_id)
        if not found:
            raise Refusal(404, "Not found", "no_such_outage")
        last = found[-1]
        lives = link_lives(connection)
        now_ms = lives[last.link].known_until_ms if last.link in lives else last.detected_at_ms
        end_ms = max(now_ms, last.start_ms + 1) if last.end_ms is None else last.end_ms
        minutes = minutes_between(connection, last.link, *drawn(last, now_ms))
        others = others_between(connection, outage_id, last.start_ms - NEAR_MS, end_ms + NEAR_MS)
        proof = proof_of(connection, outage_id, last.revision)
    return shown(
        request,
        "outage.html",
        outage=outage_answer(last),
        lasted_ms=end_ms - last.start_ms,
        picture=picture(found, minutes, now_ms, language) if minutes else None,
        minutes=minutes[:60],
        others=others,
        diffs=diffs(found, names, language),
        proof=proof,
        may_prove=caller.may("auditor"),
        has_key=services(request).public_key is not None,
        month=f"{local_date(last.start_ms):%Y-%m}",
    )


@router.get("/outages/{outage_id}/check")
def check_page(request: Request, _: Auditor, outage_id: Name) -> Response:
    """Hold the last revision to the Merkle log, the newest head and the key, on the spot."""
    with reading(services(request).ledger) as connection:
        last = _last(revisions_of(connection, outage_id))
        check = spot_check(connection, outage_id, last.revision, services(request).public_key)
    statement = None if check.head is None else check.head.statement()
    return shown(request, "check.html", outage=outage_answer(last), check=check, statement=statement)


@router.get("/outages/{outage_id}/evidence.csv")
def evidence_file(request: Request, _: Auditor, outage_id: Name) -> Response:
    """Give the source ranges and digests of the last revision as a table."""
    with reading(services(request).ledger) as connection:
        last = _last(revisions_of(connection, outage_id))
    rows = [{"outage_id": outage_id} | to_builtins(source) for source in last.evidence]
    return _file(
        request, rows_csv(EVIDENCE_COLUMNS, rows), "text/csv; charset=utf-8", f"{outage_id}-evidence.csv"
    )


@router.get("/outages/{outage_id}/proof.json")
def proof_file(request: Request, _: Auditor, outage_id: Name) -> Response:
    """Give the last revision with the proof (RFC 6962) that it is in its Merkle log."""
    with reading(services(request).ledger) as connection:
        last = _last(revisions_of(connection, outage_id))
        proof = proof_of(connection, outage_id, last.revision)
    answer = {
        "outage": to_builtins(last),
        "proof": to_builtins(proof),
        "evidence_until": iso(evidence_until_ms(last)),
    }
    body = json.dumps(answer, ensure_ascii=False, indent=1).encode()
    return _file(request, body, "application/json", f"{outage_id}-proof.json")


@router.get("/key.pem")
def key_file(request: Request, _: Viewer) -> Response:
    """Give the public key by which heads are checked."""
    key = services(request).public_key
    if key is None:
        raise Refusal(404, "Not found", "no_public_key")
    return _file(request, public_pem(key).encode(), "application/x-pem-file", "portallink-key.pem")


@router.get("/exclusions/{exclusion_id}")
def exclusion_page(request: Request, caller: Viewer, exclusion_id: Name) -> Response:
    """Tell one exclusion's history: every revision, who made it, when and why."""
    with reading(services(request).ledger) as connection:
        found = exclusion_revisions_of(connection, exclusion_id)
    if not found:
        raise Refusal(404, "Not found", "no_such_exclusion")
    [ruling] = rulings(found)
    second_person = services(request).second_person
    return shown(
        request,
        "exclusion.html",
        exclusion=exclusion_answer(ruling, second_person=second_person),
        revisions=[revision_answer(one) for one in reversed(found)],
        second_person=second_person,
        may_judge=caller.may("operator") and services(request).exclude is not None,
    )


def _last(found: list[Outage]) -> Outage:
    if not found:
        raise Refusal(404, "Not found", "no_such_outage")
    return found[-1]


def _file(request: Request, body: bytes, media: str, name: str) -> Response:
    return tagged(request, body, media, {"Content-Disposition": f'attachment; filename="{name}"'})
