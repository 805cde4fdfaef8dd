"""Small pieces of PromQL shared by rules and dashboards, adjusted to the pace of their clock."""

from collections.abc import Callable, Iterable
from typing import Final

from streams.model.events import CANCELLED, CLIENT_FAULTS, FAILURES

FAILURE_MATCH: Final = f'outcome=~"{"|".join(sorted(FAILURES))}"'
"""Lookups that count against a link."""

ATTEMPT_MATCH: Final = f'outcome!~"{"|".join(sorted(CANCELLED | CLIENT_FAULTS))}"'
"""Lookups that count at all: a denied or cancelled one says nothing about the link."""

DECIDED_MATCH: Final = 'type=~"accepted|deferred|failed|rejected"'
"""The possible outcomes of a submission so far. Blocked ones are included, so their share is at most 1."""

WINDOWS: Final = {
    "5m": 300,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "6h": 21_600,
    "1d": 86_400,
    "3d": 259_200,
    "30d": 2_592_000,
}
"""Windows by the name under which they are recorded, in seconds of event time."""

Span = Callable[[float], str]
"""Turns seconds of event time into a PromQL duration of wall-clock time."""


def span_at(pace: float) -> Span:
    """Return a function that formats durations when event time runs ``pace`` times the wall clock.

    >>> span_at(1)(5400), span_at(60)(90), span_at(1)(86400)
    ('90m', '1500ms', '1d')
    """

    def write(seconds: float) -> str:
        milliseconds = max(1, round(seconds * 1000 / pace))
        for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
            if milliseconds % size == 0:
                return f"{milliseconds // size}{unit}"
        return f"{milliseconds}ms"

    return write


def quoted(value: str) -> str:
    r"""Return a PromQL string literal.

    >>> quoted('a"b')
    '"a\\"b"'
    """
    return '"' + value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'


def any_of(values: Iterable[str]) -> str:
    r"""Return a regular expression literal that matches exactly these values.

    >>> any_of(["a.b", "c"])
    '"a\\\\.b|c"'
    """
    special = r"\.+*?()|[]{}^$"
    return quoted("|".join("".join(rf"\{c}" if c in special else c for c in value) for value in values))
