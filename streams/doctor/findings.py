"""What the doctor may find: each kind once, with what it means and what to do about it."""

from typing import Final, Literal

from msgspec import Struct

Severity = Literal["error", "warning"]


class Example(Struct, frozen=True):
    """Where something was found first, and what of it can be told without repeating a value."""

    topic: str
    partition: int
    offset: int
    detail: str

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition} offset {self.offset}: {self.detail}"


class Finding(Struct, frozen=True):
    """One kind of trouble: in ``count`` of ``of`` records, links or partitions."""

    kind: str
    severity: Severity
    count: int
    of: int
    example: Example
    advice: str


_ERRORS: Final[dict[str, str]] = {
    "refused": "send what the schema of the topic says; refused records become dead letters",
    "no_heartbeat": (
        "send observer.heartbeat into every partition of the topic, once a second: without it a silence is "
        "UNKNOWN, and a quiet partition holds back the watermark of all"
    ),
    "no_key": "the key is the dossier_id, so that a dossier's events stay in one partition and in order",
    "split_pair": (
        "a request and its completion must be in one partition: use the dossier_id of both as key"
    ),
    "personal": (
        "identity numbers, telephone numbers and mail addresses belong in no event: send an identifier of "
        "your own"
    ),
    "many_names": (
        "link, service and agency become labels of metrics: give them few values, with no identifiers in them"
    ),
}
_WARNINGS: Final[dict[str, str]] = {
    "heartbeat_gap": "the next heartbeat must follow within interval_ms; the time in between is UNKNOWN",
    "link_not_watched": "name the link in `links` of the portal's heartbeats",
    "no_completion": (
        "send lookup.completed for every request, also where it failed: what is missing counts as "
        "no_response against the link"
    ),
    "no_request": (
        "send lookup.requested when the request goes out: without it nothing shows that an answer is missing"
    ),
    "late": "send events in order, within 5 s of when they happened: later ones correct what was published",
    "duplicate": "an event_id is one event's own: what repeats one is dropped",
    "clock_ahead": "set the clocks by NTP: beyond 60 s ahead of the broker a record is refused",
    "logged_late": "events reach the broker long after they happened, so outages are seen that much later",
    "unknown_field": "fields that the schema does not know are ignored; leave them out",
}
ADVICE: Final[dict[str, tuple[Severity, str]]] = {
    **{kind: ("error", advice) for kind, advice in _ERRORS.items()},
    **{kind: ("warning", advice) for kind, advice in _WARNINGS.items()},
}
"""Severity and advice of each kind."""
