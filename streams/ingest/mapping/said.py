"""A map as written in YAML: it is checked against these types, and its JSON schema is made from them.

`docs/gateways.md` explains each key with examples.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from streams.model.events import Observer, Outcome

Field = Annotated[str, Meta(min_length=1, max_length=200, description="the name of a field")]
Fields = Annotated[
    Field | list[Field], Meta(description="the name of a field, or of several: the first that has a value")
]
Template = Annotated[
    str,
    Meta(min_length=1, max_length=500, description="text with fields in braces: '{service|route}'"),
]
Pattern = Annotated[str, Meta(min_length=1, max_length=2_000, description="a regular expression (Python's)")]
Constant = Annotated[str, Meta(min_length=1, max_length=200)]
Plain = str | int | float | bool

EPOCHS: Final = {"epoch_s": 1_000, "epoch_ms": 1, "epoch_us": 1e-3, "epoch_ns": 1e-6}
"""Milliseconds per unit."""
UNITS: Final = {"s": 1_000.0, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "ns": 1e-6}
"""Milliseconds per unit."""


class _Said(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a map; an unknown key is an error."""


class TimeSaid(_Said, frozen=True):
    """When a call began or ended."""

    field: Annotated[
        Fields,
        Meta(description="a field; or several, of which the first with a value counts; or '{date} {time}'"),
    ]
    format: Annotated[
        str,
        Meta(
            description="iso, epoch_s, epoch_ms, epoch_us, epoch_ns, or strptime's codes: '%d/%b/%Y %H:%M:%S'"
        ),
    ] = "iso"
    zone: Annotated[
        str | None, Meta(description="the time zone of times that do not name theirs: Asia/Ho_Chi_Minh")
    ] = None


class DurationSaid(_Said, frozen=True):
    """How long a call took; a list of upstream attempts (``0.1, 0.2``) is one call, or one call each."""

    field: Fields
    unit: Literal["s", "ms", "us", "µs", "ns"]
    attempts: Annotated[
        Literal["sum", "last", "each"],
        Meta(description="for a list: use the sum, the last, or each as a separate attempt"),
    ] = "sum"


class TestSaid(_Said, frozen=True):
    """A test of a field's value; everything given must hold."""

    match: Annotated[Pattern | None, Meta(description="found anywhere in the value")] = None
    at_least: float | None = None
    below: float | None = None
    present: bool | None = None


Test = Annotated[
    Plain | list[Plain] | TestSaid,
    Meta(description="a value (5xx stands for 500 to 599); or several, any of which may match; or a test"),
]
When = Annotated[
    dict[Field, Test],
    Meta(
        description="tests by field, all must hold; `status`, `duration_ms`, `timed_out` are the call's own"
    ),
]


class OutcomeRule(_Said, frozen=True):
    """The outcome of a call if everything under ``when`` holds; the first rule that holds decides."""

    when: Annotated[When, Meta(min_length=1)]
    outcome: Annotated[Outcome, Meta()] = field(name="is")


class NamedSaid(_Said, frozen=True):
    """A name for every value that contains a match of a pattern."""

    match: Pattern
    name: Constant


class NameSaid(_Said, frozen=True):
    """A name: a template, and how its value is changed; if nothing applies it stays, or is `otherwise`."""

    template: Template = field(name="from")
    patterns: list[NamedSaid] = []
    rename: dict[str, Constant] = {}
    otherwise: Constant | None = None


Name = Annotated[
    Template | NameSaid, Meta(description="a template, or one with patterns and a table of names")
]

SubmissionOutcome = Literal["accepted", "deferred", "rejected", "failed", "completed", "none"]


class SubmissionRule(_Said, frozen=True):
    """The outcome of a dossier if everything under ``when`` holds; `none` records no outcome."""

    when: Annotated[When, Meta(min_length=1)]
    outcome: SubmissionOutcome = field(name="is")


class SubmissionsSaid(_Said, frozen=True):
    """Which calls submit a dossier, and its outcome."""

    when: Annotated[list[When], Meta(min_length=1, description="one of these must hold")]
    portal: Name
    dossier: Template | None = None
    agency: Name | None = None
    service: Name | None = None
    channel: Name = "web"
    blocked_by: Annotated[Constant | None, Meta(description="the link to blame if a dossier failed")] = None
    outcome: list[SubmissionRule] = []


class Map(_Said, frozen=True):
    """How the fields of a source become events."""

    format: Annotated[
        Literal["json", "columns", "csv", "regex"] | None,
        Meta(description="how a line becomes fields; omitted if the source has fields already (spans)"),
    ] = None
    about: str = ""
    prefix: Annotated[
        Pattern | None,
        Meta(description="json: the text before the object; its named groups are fields"),
    ] = None
    columns: Annotated[
        list[str], Meta(description="columns, csv without a header: names in order, - for none")
    ] = []
    separator: Annotated[str, Meta(min_length=1, max_length=1)] | None = None
    """columns, csv: the character between values, instead of blanks or commas."""
    comment: Annotated[
        Annotated[str, Meta(min_length=1, max_length=20)] | None,
        Meta(description="columns, regex: the beginning of lines that are not calls, such as #"),
    ] = None
    pattern: Annotated[Pattern | None, Meta(description="regex: named groups are fields")] = None
    start: TimeSaid | None = None
    end: TimeSaid | None = None
    duration: DurationSaid | None = None
    id: Annotated[
        Template | None, Meta(description="identifies the call; without it its place in the log does")
    ] = None
    dossier: Annotated[
        Template | None, Meta(description="the dossier of the lookup; without it each call counts as its own")
    ] = None
    link: Name | None = None
    service: Name = "unknown"
    agency: Name = "unknown"
    observer: Observer = "portal"
    status: Annotated[Fields | None, Meta(description="the HTTP status, or those of the attempts")] = None
    resends: Annotated[Field | None, Meta(description="how often the request was sent before")] = None
    lookup_timeout_ms: Annotated[
        int, Meta(ge=100, le=600_000, description="how long the gateway waits for an answer")
    ] = 60_000
    only: Annotated[list[When], Meta(description="a line is left out unless one of these holds")] = []
    skip: Annotated[list[When], Meta(description="a line is left out if one of these holds")] = []
    outcome: list[OutcomeRule] = []
    submissions: SubmissionsSaid | None = None


def map_schema() -> str:
    """Return the JSON schema of maps, as a document."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A map of a gateway's log"}
    schema = msgspec.json.encode(head | msgspec.json.schema(Map), order="sorted")
    return msgspec.json.format(schema, indent=2).decode() + "\n"
