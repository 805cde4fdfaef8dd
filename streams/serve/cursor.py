"""Cursors of lists: the row after which the next page begins, as text that a page gives and takes back."""

import base64
import json
from typing import Final

from streams.ledger.read.lists import Cursor
from streams.serve.context import Problem

CURSOR: Final = r"^[A-Za-z0-9_-]{4,600}$"
NO_CURSOR: Final = "`after` is no cursor that a page gave"


def cursor_after(start_ms: int, name: str) -> str:
    """Return the cursor of the page that begins after a row."""
    return base64.urlsafe_b64encode(json.dumps((start_ms, name)).encode()).decode().rstrip("=")


def cursor_in(text: str | None) -> Cursor | None:
    """Return the row after which a page begins; raise `Problem` for what no page gave."""
    if text is None:
        return None
    try:
        start_ms, name = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        name.encode()  # half a surrogate is valid in JSON, and in no database
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Problem(422, "Unprocessable", NO_CURSOR) from error
    if type(start_ms) is not int or not isinstance(name, str) or abs(start_ms) >= 2**62 or "\0" in name:
        raise Problem(422, "Unprocessable", NO_CURSOR)
    return start_ms, name
