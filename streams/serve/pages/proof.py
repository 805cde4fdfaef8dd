"""What the ledger proves: its Merkle logs and the newest signed heads."""

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from streams.ledger.proof.heads import latest_head, log_sizes, stored_heads
from streams.ledger.store.database import reading
from streams.serve.context import Refusal, Viewer, services, tagged
from streams.serve.pages.shown import shown

router = APIRouter(include_in_schema=False)


@router.get("/proof")
def proof_page(request: Request, _: Viewer) -> Response:
    """Show the Merkle logs and the newest signed heads."""
    with reading(services(request).ledger) as connection:
        logs = log_sizes(connection)
        heads = stored_heads(connection)[-20:][::-1]
    lines = [(head, head.statement(), msgspec.json.encode(head).decode()) for head in heads]
    return shown(request, "proof.html", logs=logs, heads=lines)


@router.get("/head.json")
def head_file(request: Request, _: Viewer) -> Response:
    """Give the newest signed head as a file, to keep elsewhere."""
    with reading(services(request).ledger) as connection:
        head = latest_head(connection)
    if head is None:
        raise Refusal(404, "Not found", "no_head_yet")
    body = msgspec.json.encode(head) + b"\n"
    headers = {"Content-Disposition": 'attachment; filename="portallink-head.json"'}
    return tagged(request, body, "application/json", headers)
