"""Which language a reader gets."""

from typing import Final

from fastapi import Request

from streams.serve.texts import Language

LANGUAGE_COOKIE: Final = "portallink-language"


def language_of(request: Request) -> Language:
    """Return the reader's language: chosen, else the browser's, else Vietnamese."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in ("en", "vi"):
        return "en" if chosen == "en" else "vi"
    return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "vi"
