"""The outcome of a call by its HTTP status, if nothing else determines it."""

from typing import Final

from streams.model.events import Outcome

STATUS_OUTCOMES: Final[dict[int, Outcome]] = {
    404: "not_found",
    410: "not_found",
    429: "throttled",
    499: "cancelled",
}
"""nginx logs 499 if the client closed the connection before the answer."""


def outcome_of_status(status: int) -> Outcome:
    """Return the outcome for an HTTP status; with any status the link itself worked.

    >>> [outcome_of_status(status) for status in (200, 302, 404, 403, 422, 429, 499, 503)]
    ['ok', 'ok', 'not_found', 'denied', 'denied', 'throttled', 'cancelled', 'provider_error']
    """
    if status < 400:
        return "ok"
    if status >= 500:
        return "provider_error"
    return STATUS_OUTCOMES.get(status, "denied")
