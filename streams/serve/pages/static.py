"""The style, the script and the sign of the pages; they need no token, and browsers keep them."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from streams.serve.assets import static_address, static_file
from streams.serve.context import Problem

MEDIA_TYPES: Final = {
    "style.css": "text/css; charset=utf-8",
    "portallink.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """Give a file of the pages."""
    if name not in MEDIA_TYPES:
        raise Problem(404, "Not found")
    # Under the address of its content a file never changes.
    lasting = static_address(name).endswith(f"?{request.url.query}") and bool(request.url.query)
    kept = "public, max-age=31536000, immutable" if lasting else "public, no-cache"
    return Response(static_file(name), media_type=MEDIA_TYPES[name], headers={"Cache-Control": kept})


@router.get("/favicon.ico")
def favicon(request: Request) -> Response:
    """Give the sign to browsers that ask for it without having been told where it is."""
    return static(request, "favicon.svg")
