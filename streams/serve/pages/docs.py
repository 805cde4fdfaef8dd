"""The interface for programs, described for people out of OpenAPI: questions, parameters, answers."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Struct

from streams.serve.pages.shown import shown

METHODS: Final = ("get", "post", "put", "delete")
router = APIRouter(include_in_schema=False)


class Parameter(Struct, frozen=True):
    """A parameter of a question: its name, where it goes, what it is, and whether it must be given."""

    name: str
    where: str
    kind: str
    meaning: str
    required: bool


class Operation(Struct, frozen=True):
    """A question that programs can ask."""

    method: str
    path: str
    meaning: str
    parameters: list[Parameter]
    answers: list[tuple[str, str, str]]
    example: str


@router.get("/docs")
def docs_page(request: Request) -> Response:
    """Describe the interface; it needs no token, as the description for machines does not."""
    return shown(request, "docs.html", operations=operations(request.app.openapi()))


def operations(schema: dict[str, Any]) -> list[Operation]:
    """Return every operation of an OpenAPI document, in its order."""
    return [
        _operation(method, path, item[method], schema)
        for path, item in schema["paths"].items()
        for method in METHODS
        if method in item
    ]


def _operation(method: str, path: str, said: dict[str, Any], schema: dict[str, Any]) -> Operation:
    parameters = [
        Parameter(
            one["name"],
            one["in"],
            _kind(one.get("schema", {})),
            one.get("description") or one.get("schema", {}).get("description", ""),
            bool(one.get("required")),
        )
        for one in said.get("parameters", [])
    ]
    for body in said.get("requestBody", {}).get("content", {}).values():
        held = body["schema"]
        held = schema["components"]["schemas"].get(held.get("$ref", "").rpartition("/")[2], held)
        parameters += [
            Parameter(name, "body", _kind(one), one.get("description", ""), name in held.get("required", []))
            for name, one in held.get("properties", {}).items()
        ]
    answers = [
        (status, one.get("description", ""), ", ".join(one.get("content", {})))
        for status, one in sorted(said.get("responses", {}).items())
    ]
    example = f'curl -H "Authorization: Bearer $TOKEN" "$PORTALLINK{path}"'
    if method != "get":
        example = example.replace("curl", f"curl -X {method.upper()} --json @body.json")
    meaning = said.get("description") or said.get("summary", "")
    return Operation(method.upper(), path, meaning, parameters, answers, example)


def _kind(said: dict[str, Any]) -> str:
    """Return what values a parameter takes, in short."""
    some = said.get("anyOf") or [said]
    kinds = [
        " | ".join(map(str, one["enum"])) if "enum" in one else str(one.get("const", one.get("type", "")))
        for one in some
        if one.get("type") != "null"
    ]
    default = said.get("default")
    return " | ".join(kind for kind in kinds if kind) + ("" if default is None else f" = {default}")
