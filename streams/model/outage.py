"""What is published: one-minute windows and outage records, every revision kept."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

from streams.model.measurement import Source

Kind = Literal["down", "degraded"]
Status = Literal["open", "closed", "retracted"]
FaultDomain = Literal["link", "provider", "client"]
Reason = Literal["opened", "closed", "late", "normal"]
LinkStateName = Literal["UNKNOWN", "UP", "DEGRADED", "DOWN"]


class Confined(Struct, frozen=True):
    """What an outage is confined to: services and agencies that fail completely while others work.

    ``attempts`` and ``failures`` count only their lookups, out of all those of the outage. A lookup counts
    twice if both its service and its agency are listed.
    """

    services: list[str]
    agencies: list[str]
    attempts: int
    failures: int


class Outage(Struct, frozen=True):
    """One revision of one outage of one link, ``[start_ms, end_ms)`` in request time.

    ``first_published_at_ms`` is when the outage was first published, and ``end_published_at_ms`` when its end
    was (None while open, or open again); later revisions keep both. ``unknown_since_ms`` is set if the state
    of an open outage's link is unknown, and says since when. ``start_ms`` is the first failing request,
    ``end_ms`` the first request that succeeds again (None while open). ``detected_at_ms`` is the event time
    at which the deciding slot closed; for a later revision ``start_ms`` and ``end_ms`` may move,
    ``detected_at_ms`` says when this revision was decided. ``confined_to`` is None where the link as a whole
    is in trouble; a confined outage is always degraded. ``dossiers_affected`` is an estimate with relative
    standard error ``dossiers_error`` (0 where exact). An outage says what was observed; the ledger applies
    exclusions when it computes figures.
    """

    outage_id: str
    revision: int
    supersedes: int | None
    status: Status
    reason: Reason
    link: str
    kind: Kind
    fault_domain: FaultDomain
    start_ms: int
    end_ms: int | None
    detected_at_ms: int
    rule_version: str
    attempts: int
    failures: int
    dossiers_affected: int
    dossiers_error: float = 0.0
    changes: int = 0
    services: list[str] = field(default_factory=list)
    agencies: list[str] = field(default_factory=list)
    first_published_at_ms: int | None = None
    end_published_at_ms: int | None = None
    unknown_since_ms: int | None = None
    evidence: list[Source] = field(default_factory=list)
    confined_to: Confined | None = None


class ShortFailures(Struct, frozen=True):
    """Full failures too short to be an outage: how many, how long together, and how many lookups failed."""

    number: int
    duration_ms: int
    lookups: int


class RaisedNormal(Struct, frozen=True, omit_defaults=True):
    """The part of a link's normal that is worse than the rule's own normal, or than the link's normal before.

    ``failure_share`` of its lookups fail, since ``since_ms``; answers take up to ``slow_ms``, since
    ``slower_since_ms``. Either may be missing.
    """

    failure_share: float | None = None
    since_ms: int | None = None
    slow_ms: int | None = None
    slower_since_ms: int | None = None


class Window(Struct, frozen=True):
    """One minute of one link, ``[start_ms, end_ms)``; a late record leads to a new revision.

    ``state_ms`` says for how long the link was in each state during the minute; the four add up to it.
    ``latency_ms`` holds the quantiles p50, p95, p99 of answered lookups, None where none was answered.
    ``short_failures`` are those that began in the minute, known a minute after its end; ``normal`` is set for
    links whose normal is raised. Both are omitted when there is nothing to report.
    """

    link: str
    start_ms: int
    end_ms: int
    revision: int
    state: LinkStateName
    state_ms: dict[str, int]
    requested: int
    attempts: int
    failures: int
    outcomes: dict[str, int]
    latency_ms: dict[str, float] | None
    provider_latency_ms: dict[str, float] | None
    late: int = 0
    short_failures: ShortFailures | UnsetType = UNSET
    normal: RaisedNormal | UnsetType = UNSET
