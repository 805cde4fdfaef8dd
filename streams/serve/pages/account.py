"""Signing in and out, and the reader's language.

A token is given once on a form and kept in a cookie that scripts cannot read and other sites cannot send.
"""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from streams.serve.context import COOKIE, Problem, services
from streams.serve.language import LANGUAGE_COOKIE
from streams.serve.pages.shown import form_of, local_address, shown
from streams.serve.texts import Language

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """Ask for a token."""
    return shown(request, "sign-in.html", wrong=False)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Keep a valid token in a cookie."""
    known = services(request)
    address = request.client.host if request.client else "unknown"
    wait = known.limit.wait_seconds(f"sign-in {address}", time.time())
    if wait > 0:
        raise Problem(429, "Too many requests", "", {"Retry-After": str(int(wait) + 1)})
    fields = await form_of(request)
    token = fields.get("token", "").strip()
    caller = known.access.caller(token or None, time.time())
    if caller is None or not token:
        return shown(request, "sign-in.html", 401, wrong=True)
    request.state.caller = caller
    answer = RedirectResponse(local_address(fields.get("next", "/")), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@router.post("/sign-out")
def sign_out() -> Response:
    """Forget the token."""
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/language")
def choose_language(
    to: Language, following: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """Keep the reader's language."""
    answer = RedirectResponse(local_address(following), 303)
    answer.set_cookie(LANGUAGE_COOKIE, to, max_age=31_536_000, samesite="lax", path="/", httponly=True)
    return answer
