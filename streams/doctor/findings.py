"""The kinds of findings, with what each means and what to do about it."""

from typing import Final, Literal

from msgspec import Struct

Severity = Literal["error", "warning"]


class Example(Struct, frozen=True):
    """The first record with a finding, and a description that repeats no value."""

    topic: str
    partition: int
    offset: int
    detail: str

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition} offset {self.offset}: {self.detail}"


class Finding(Struct, frozen=True):
    """One kind of fault, found in ``count`` of ``of`` records, links or partitions."""

    kind: str
    severity: Severity
    count: int
    of: int
    example: Example
    advice: str


_ERRORS: Final[dict[str, str]] = {
    "refused": "send events that match the topic's schema; refused records become dead letters",
    "no_heartbeat": (
        "send observer.heartbeat into every partition of the topic, once a second: without it a silence is "
        "UNKNOWN, and a quiet partition holds back the watermark of all"
    ),
    "no_key": "use the dossier_id as key, so that a dossier's events stay in one partition and in order",
    "split_pair": (
        "a request and its completion must be in one partition: use the dossier_id of both as key"
    ),
    "personal": (
        "identity numbers, telephone numbers and mail addresses belong in no event: send an identifier of "
        "your own"
    ),
    "many_names": (
        "link, service and agency become metric labels: use few values, and no identifiers in them"
    ),
}
_WARNINGS: Final[dict[str, str]] = {
    "heartbeat_gap": "the next heartbeat must follow within interval_ms; the time in between is UNKNOWN",
    "link_not_watched": "name the link in `links` of the portal's heartbeats",
    "no_completion": (
        "send lookup.completed for every request, even if it failed: a missing one counts as "
        "no_response against the link"
    ),
    "no_request": (
        "send lookup.requested when the request goes out: without it nothing shows that an answer is missing"
    ),
    "late": "send events in order, within 5 s of when they happened: later ones correct what was published",
    "duplicate": "give every event its own event_id: an event that repeats one is dropped",
    "clock_ahead": "set the clocks by NTP: beyond 60 s ahead of the broker a record is refused",
    "logged_late": "events reach the broker long after they happened, which delays detection by as much",
    "unknown_field": "fields that the schema does not know are ignored; leave them out",
}
ADVICE: Final[dict[str, tuple[Severity, str]]] = {
    **{kind: ("error", advice) for kind, advice in _ERRORS.items()},
    **{kind: ("warning", advice) for kind, advice in _WARNINGS.items()},
}
"""Severity and advice of each kind."""
