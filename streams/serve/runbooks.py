"""The runbook of each alert: what it means, is it us, what to do first, whom to call, when it is over.

Written once as data, in Vietnamese and English, in `runbooks.yaml`; `docs/runbooks/` and the pages under
``/runbooks`` are made from it. The pages need no token: they hold nothing about any link, and an engineer who
is called at night must be able to open them.
"""

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from msgspec import Struct

from streams.serve.context import Refusal, services
from streams.serve.language import language_of
from streams.serve.names import Bilingual
from streams.serve.render import render
from streams.serve.texts import Language, text

router = APIRouter(include_in_schema=False)
LANGUAGES: Final[tuple[Language, ...]] = ("en", "vi")


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """A query to paste into Prometheus, with what good and bad look like."""

    query: str
    good: Bilingual
    bad: Bilingual


class Action(Struct, frozen=True, forbid_unknown_fields=True):
    """A first action, with the command that does it where there is one."""

    why: Bilingual
    command: str | None = None


class Runbook(Struct, frozen=True, forbid_unknown_fields=True):
    """What one alert asks of the engineer on call."""

    title: Bilingual
    means: Bilingual
    check: list[Check]
    do: list[Action]
    call: Bilingual
    over: Bilingual


@cache
def runbooks() -> dict[str, Runbook]:
    """Return every runbook by the name of its alert."""
    data = files("streams.serve").joinpath("runbooks.yaml").read_bytes()
    return msgspec.yaml.decode(data, type=dict[str, Runbook])


def as_markdown(name: str) -> str:
    """Return a runbook as the document under `docs/runbooks/`, English first."""
    book = runbooks()[name]
    parts = [f"# {name}: {book.title.en}\n"]
    for language in LANGUAGES:
        parts.append("" if language == "en" else f"# {book.title.vi}\n")
        parts.append(f"{book.means.of(language)}\n\n## {text('is_it_us', language)}\n")
        parts += [
            f"- `{one.query}`\n  - {text('looks_good', language)}: {one.good.of(language)}\n"
            f"  - {text('looks_bad', language)}: {one.bad.of(language)}\n"
            for one in book.check
        ]
        parts.append(f"\n## {text('first_actions', language)}\n")
        for action in book.do:
            command = f"\n\n      {action.command}\n" if action.command else ""
            parts.append(f"- {action.why.of(language)}{command}\n")
        parts.append(f"\n## {text('whom_to_call', language)}\n\n{book.call.of(language)}\n")
        parts.append(f"\n## {text('when_over', language)}\n\n{book.over.of(language)}\n\n")
    return "".join(part if part.endswith("\n\n") else part + "\n" for part in parts if part).rstrip() + "\n"


@router.get("/runbooks")
def all_runbooks(request: Request, lang: Language | None = None) -> Response:
    """List every runbook."""
    return _page(request, "runbooks.html", lang, books=runbooks())


@router.get("/runbooks/{name}")
def one_runbook(request: Request, name: str, lang: Language | None = None) -> Response:
    """Show the runbook of one alert."""
    book = runbooks().get(name)
    if book is None:
        raise Refusal(404, "Not found", "no_such_runbook", name=name)
    return _page(request, "runbook.html", lang, name=name, book=book, contacts=services(request).contacts)


def _page(request: Request, template: str, lang: Language | None, **values: object) -> Response:
    language = lang or language_of(request)
    here = request.url.path
    page = render(
        template,
        language,
        services(request).names,
        standalone=False,
        caller=None,
        here=f"{here}?lang={language}",
        **values,
    )
    return HTMLResponse(page)
