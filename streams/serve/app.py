"""The application: interface and page on one port, with refusals that say what is wrong and nothing else."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from streams import __version__, telemetry
from streams.ledger.read.names import UnknownNameError
from streams.model.exclusion import Exclusion
from streams.serve import api, judgements, runbooks
from streams.serve.access import Access, Caller
from streams.serve.context import Contact, Problem, Services
from streams.serve.head import HeadAsGet
from streams.serve.language import language_of
from streams.serve.limit import RateLimit
from streams.serve.names import Names, city_names
from streams.serve.pages import account, docs, front, history, judging, proof, reports, shown, static, story
from streams.serve.pages.live import Boards
from streams.serve.render import prepare
from streams.serve.trail import Entry, Trail

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(
    ledger: sa.Engine,
    access: Access,
    *,
    limit: RateLimit | None = None,
    exclude: Callable[[Exclusion], Awaitable[None]] | None = None,
    contacts: Sequence[Contact] = (),
    trail_file: Path | None = None,
    second_person: bool = True,
    names: Names | None = None,
    public_key: Ed25519PublicKey | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Return the application over a ledger.

    ``exclude`` publishes an exclusion; without it none is accepted. ``contacts`` stand in every runbook.
    ``trail_file`` keeps what of the trail the ledger does not take, see `Trail`.
    ``second_person`` says whether what is excluded after the fact counts only once a second person approved.
    ``names`` are what readers call things, those of the simulated city unless others are given.
    ``public_key`` is what heads are checked by on the spot. ``stopping`` says that the server is to end,
    which ends the streams of open pages.
    """
    trail = Trail(ledger, trail_file)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        prepare()
        trail.start()
        try:
            yield
        finally:
            trail.stop()

    app = FastAPI(
        title="portallink",
        version=__version__,
        description="Outages and availability of the links to the national population database.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.services = Services(
        ledger,
        access,
        limit or RateLimit(),
        trail,
        exclude,
        Boards(ledger, second_person=second_person),
        contacts,
        second_person,
        city_names() if names is None else names,
        public_key,
        stopping,
    )
    app.include_router(api.router)
    app.include_router(judgements.router)
    for module in (front, history, judging, story, reports, proof, account, docs, static, runbooks):
        app.include_router(module.router)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(UnknownNameError, _on_unknown_name)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_failure)
    app.middleware("http")(_observe)
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=6)
    app.add_middleware(HeadAsGet)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


async def _observe(request: Request, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Time the request, note it in the trail, and send the headers that every answer has."""
    began = time.perf_counter()
    if request.app.state.services.trail.full:
        response = _refused(request, 503, "Service unavailable", "who asks cannot be written down now", {})
    else:
        response = await handle(request)
    route = getattr(request.scope.get("route"), "path", "unmatched")
    telemetry.emit(
        telemetry.RequestServed(request.method, route, response.status_code, time.perf_counter() - began)
    )
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is not None or response.status_code in (401, 403):
        answered = response.status_code < 400
        subject = getattr(request.state, "subject", None) or (str(request.url.query) if answered else "")
        entry = Entry(
            int(time.time() * 1000),
            "-" if caller is None else caller.name,
            "-" if caller is None else caller.role,
            f"{request.method} {request.url.path if answered else route}"[:200],
            subject[:500],
            response.status_code,
        )
        request.app.state.services.trail.add(entry)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _refused(
    request: Request, status: int, title: str, detail: str, headers: dict[str, str], said: str = ""
) -> Response:
    """Return a refusal in the form the client asked for: a page, or application/problem+json (RFC 9457).

    ``said`` is the detail in the reader's language, where there is one.
    """
    if not request.url.path.startswith("/api/"):
        if status == HTTPStatus.UNAUTHORIZED:
            return shown.to_sign_in(request)
        return HTMLResponse(shown.refusal(request, status, said or detail), status, headers)
    body = {"type": "about:blank", "title": title, "status": status}
    return JSONResponse(
        body | ({"detail": detail} if detail else {}),
        status,
        headers,
        media_type="application/problem+json",
    )


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    said = error.said(language_of(request))
    return _refused(request, error.status, error.title, error.detail, error.headers, said)


async def _on_unknown_name(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownNameError)
    return _refused(
        request, 404, "Not found", error.detail, {}, shown.unknown_name(error, language_of(request))
    )


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    return _refused(request, error.status_code, phrase, "", dict(error.headers or {}))


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Name the parameters that are wrong, and how; never repeat what they held."""
    assert isinstance(error, RequestValidationError)
    faults = []
    for fault in error.errors():
        where = ".".join(map(str, fault["loc"][1:])) or str(fault["loc"][0])
        named = "another parameter" if fault["type"] == "extra_forbidden" else where
        faults.append(f"{named}: {fault['msg']}")
    return _refused(request, 422, "Unprocessable", "; ".join(faults), {})


async def _on_failure(request: Request, error: Exception) -> Response:
    telemetry.emit(telemetry.StageFailed(f"{type(error).__name__} in {request.method} of a route"))
    return _refused(request, 500, "Internal error", "", {})


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=[*api.router.routes, *judgements.router.routes],
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = {
            "type": "object",
            "required": ["type", "title", "status"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
            },
        }
        app.openapi_schema = schema
    return app.openapi_schema
