"""Events as they are written, field by field in the order of the contract; defaults are left out.

The types in `streams.model.events` are for readers: they refuse what is wrong, and put the type first. These
are only ever encoded, without being checked.
"""

from msgspec import Struct


class Lookup(Struct, omit_defaults=True, gc=False):
    """``lookup.requested``, and with an outcome ``lookup.completed``."""

    event_id: str
    type: str
    occurred_at_ms: int
    lookup_id: str
    dossier_id: str
    link: str
    agency: str
    service: str
    attempt: int
    observer: str
    outcome: str | None = None
    status_code: int | None = None
    synthetic: bool = False


class Submission(Struct, omit_defaults=True, gc=False):
    """``submission.received`` and those that follow it."""

    event_id: str
    type: str
    occurred_at_ms: int
    dossier_id: str
    portal: str
    agency: str
    service: str
    channel: str
    blocked_by: str | None = None


class Heartbeat(Struct, omit_defaults=True, gc=False):
    """``observer.heartbeat``: the links watched, the interval if not one second, an optional id."""

    type: str
    occurred_at_ms: int
    observer: str
    links: list[str]
    interval_ms: int | None = None
    event_id: str | None = None


Event = Lookup | Submission | Heartbeat


class Line(Struct, gc=False):
    """One line of a log file."""

    topic: str
    partition: int
    offset: int
    logged_at_ms: int
    key: str | None
    value: Event
