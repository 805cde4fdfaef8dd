"""The events on the two input topics, as typed records, and what their outcomes mean.

Each topic has one decoder: a tagged union over the ``type`` field, so that a record is checked and
typed in one pass by msgspec. Unknown extra fields are ignored; a missing or wrong field raises
``msgspec.ValidationError``, which names it.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

type_tag: Final = "type"

Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
"""An identifier, a link, a service or an agency: never empty, never longer than 200 characters."""

Observer = Literal["portal", "gateway", "provider"]
"""Who saw the lookup. The portal's view decides a link's state; the provider's splits the latency."""

Outcome = Literal[
    "ok",
    "not_found",
    "mismatch",
    "timeout",
    "unreachable",
    "reset",
    "tls_error",
    "protocol_error",
    "throttled",
    "provider_error",
    "denied",
    "cancelled",
]

NO_RESPONSE: Final = "no_response"
"""The outcome of a request without completion after ``lookup_timeout_ms``; never sent, only derived."""

ANSWERED: Final = frozenset({"ok", "not_found", "mismatch"})
LINK_FAULTS: Final = frozenset(
    {"timeout", "unreachable", "reset", "tls_error", "protocol_error", NO_RESPONSE}
)
PROVIDER_FAULTS: Final = frozenset({"throttled", "provider_error"})
CLIENT_FAULTS: Final = frozenset({"denied"})
CANCELLED: Final = frozenset({"cancelled"})
"""The client went away before its answer: nobody's fault, and evidence neither for nor against the link."""
FAILURES: Final = LINK_FAULTS | PROVIDER_FAULTS
"""What counts against a link. "Citizen not found" and "denied" never do: the link carried an answer."""

OUTCOMES: Final = (
    *sorted(ANSWERED),
    *sorted(LINK_FAULTS),
    *sorted(PROVIDER_FAULTS),
    *sorted(CLIENT_FAULTS),
    *sorted(CANCELLED),
)


class LookupRequested(Struct, tag_field=type_tag, tag="lookup.requested", gc=False):
    """A lookup's request, as its observer saw it leave."""

    event_id: Identifier
    occurred_at_ms: int
    lookup_id: Identifier
    dossier_id: Identifier
    link: Identifier
    agency: Identifier
    service: Identifier
    attempt: int
    observer: Observer
    synthetic: bool = False


class LookupCompleted(Struct, tag_field=type_tag, tag="lookup.completed", gc=False):
    """The answer, or the failure, of a lookup."""

    event_id: Identifier
    occurred_at_ms: int
    lookup_id: Identifier
    dossier_id: Identifier
    link: Identifier
    agency: Identifier
    service: Identifier
    attempt: int
    observer: Observer
    outcome: Outcome
    status_code: int | None = None
    synthetic: bool = False


class Heartbeat(Struct, tag_field=type_tag, tag="observer.heartbeat", gc=False):
    """An observer is alive and watches ``links``; the next beat follows within ``interval_ms``."""

    occurred_at_ms: int
    observer: Observer
    links: list[Identifier]
    event_id: Identifier | None = None
    interval_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 1000


class _Submission(Struct, tag_field=type_tag, gc=False):
    event_id: Identifier
    occurred_at_ms: int
    dossier_id: Identifier
    portal: Identifier
    agency: Identifier
    service: Identifier
    channel: Identifier
    blocked_by: Identifier | None = None


class SubmissionReceived(_Submission, tag="submission.received"):
    """A citizen's dossier reached the portal."""


class SubmissionAccepted(_Submission, tag="submission.accepted"):
    """The portal took the dossier in after its lookups."""


class SubmissionDeferred(_Submission, tag="submission.deferred"):
    """The dossier waits; ``blocked_by`` names the link it waits for."""


class SubmissionRejected(_Submission, tag="submission.rejected"):
    """The dossier was refused on its merits."""


class SubmissionFailed(_Submission, tag="submission.failed"):
    """The dossier was given up; ``blocked_by`` names the link to blame, if any."""


class SubmissionCompleted(_Submission, tag="submission.completed"):
    """The dossier was settled."""


Submission = (
    SubmissionReceived
    | SubmissionAccepted
    | SubmissionDeferred
    | SubmissionRejected
    | SubmissionFailed
    | SubmissionCompleted
)
SUBMISSION_TYPES: Final = ("received", "accepted", "deferred", "rejected", "failed", "completed")

LookupEvent = LookupRequested | LookupCompleted | Heartbeat
SubmissionEvent = Submission | Heartbeat

lookup_decoder: Final = msgspec.json.Decoder(LookupEvent)
submission_decoder: Final = msgspec.json.Decoder(SubmissionEvent)


def fault_domain_of(outcome: str) -> Literal["link", "provider", "client"] | None:
    """Return whose fault an outcome is, or None where it is nobody's.

    >>> [fault_domain_of(outcome) for outcome in ("timeout", "throttled", "not_found", "cancelled")]
    ['link', 'provider', None, None]
    """
    if outcome in LINK_FAULTS:
        return "link"
    if outcome in PROVIDER_FAULTS:
        return "provider"
    return "client" if outcome in CLIENT_FAULTS else None
