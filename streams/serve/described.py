"""What the routes of the interface answer, as OpenAPI describes it."""

from typing import Any

from streams.serve.context import CSV, PARQUET

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the refusals a route may give, by status."""
    words = {
        401: "No valid token",
        403: "The token's role does not reach",
        404: "There is no such thing",
        406: "No form that is accepted",
        409: "Done already",
        422: "The parameters make no sense",
        429: "Too many requests",
        503: "Not possible now",
    }
    return {status: {"description": words[status], "content": PROBLEM} for status in statuses}


def tables(kind: str = "object") -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route that gives JSON, CSV or Parquet."""
    item = {"type": "object"} if kind == "object" else {"type": "array", "items": {"type": "object"}}
    text = {"schema": {"type": "string"}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {"application/json": {"schema": item}, CSV: text, PARQUET: binary}
    return {200: {"description": "The answer", "content": content}, 304: {"description": "Known already"}}


def one_object() -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route that gives JSON alone."""
    content = {"application/json": {"schema": {"type": "object"}}}
    return {200: {"description": "The answer", "content": content}, 304: {"description": "Known already"}}


PUBLISHED: dict[int | str, dict[str, Any]] = {202: {"description": "Published; the ledger has it shortly"}}
USUAL = refusals(401, 403, 406, 422, 429)
