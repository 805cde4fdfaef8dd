"""The front page: what is down now, since when, whose fault, how many dossiers; then a card a link."""

import time
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from streams.ledger.read.board import Board
from streams.model.hours.calendar import MINUTE_MS
from streams.serve.answers import exclusion_answer
from streams.serve.context import Services, Viewer, services
from streams.serve.language import language_of
from streams.serve.names import Names
from streams.serve.pages.cards import cards
from streams.serve.pages.headline import headline
from streams.serve.pages.live import events
from streams.serve.pages.shown import shown
from streams.serve.render import render
from streams.serve.texts import Language

OLD_MS: Final = 5 * MINUTE_MS
"""Data that ends so long ago raises the page's alarm."""

router = APIRouter(include_in_schema=False)


class Wanted(BaseModel):
    """Which links are shown, and how they are grouped."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, Field(max_length=100)] = ""
    group: Literal["portal", "provider"] = "portal"


@router.get("/")
def front_page(request: Request, _: Viewer, wanted: Annotated[Wanted, Query()]) -> Response:
    """Answer what anyone asks first; the page follows the ledger by itself."""
    known, language = services(request), language_of(request)
    board = known.boards.newest()
    top, rest = _parts(board, known, language, wanted)
    return shown(request, "front.html", top=top, rest=rest, wanted=wanted)


@router.get("/live")
def live(request: Request, _: Viewer, wanted: Annotated[Wanted, Query()]) -> StreamingResponse:
    """Send the front page's changing part whenever the ledger changes, as server-sent events."""
    known, language = services(request), language_of(request)
    packed = "gzip" in request.headers.get("accept-encoding", "")

    def written(board: Board) -> str:
        top, rest = _parts(board, known, language, wanted)
        return f'<div data-live="top">{top}</div><div data-live="rest">{rest}</div>'

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        events(known.boards.newest, written, known.stopping, packed=packed),
        media_type="text/event-stream",
        headers=headers | ({"Content-Encoding": "gzip"} if packed else {}),
    )


def _parts(board: Board, known: Services, language: Language, wanted: Wanted) -> tuple[Markup, Markup]:
    """Return what of the front page changes: the answer, and every link."""
    names: Names = known.names
    age_ms = 0 if board.now_ms is None else max(0, int(time.time() * 1000) - board.now_ms)
    values: dict[str, Any] = {
        "board": board,
        "head": headline(board, names, language),
        "cards": cards(board, names, language, wanted.group, wanted.q),
        "announced": [exclusion_answer(one, second_person=known.second_person) for one in board.announced],
        "raised": [one for one in board.links if one.normal is not None],
        "age_ms": age_ms,
        "old": age_ms > OLD_MS,
    }
    top, rest = (render(name, language, names, **values) for name in ("board-top.html", "board.html"))
    return Markup(top), Markup(rest)  # noqa: S704 - rendered, so escaped
