"""The part of a ground-truth file that the score needs; other fields are ignored."""

from typing import Literal

from msgspec import Struct, field


class Fault(Struct, frozen=True):
    """A true fault of one link, ``[start_ms, end_ms)`` in request time.

    ``outage`` says whether it ought to be reported. ``failures`` of the ``attempts`` were hit, and an
    observer reported ``observed`` of those; if it is 0, nobody could know of the fault. ``cause`` is empty in
    logs without causes.
    """

    fault_id: str
    link: str
    kind: str
    outage: bool
    fault_domain: str
    start_ms: int
    end_ms: int
    attempts: int
    failures: int
    observed: int
    first_failure_known_ms: int | None
    first_failing_request_ms: int | None = None
    services: list[str] = field(default_factory=list)
    cause: str = ""


class LinkTotals(Struct, frozen=True):
    """A link in the log."""

    link: str
    attempts: int


class Truth(Struct, frozen=True):
    """The truth about a log over ``[start_ms, end_ms)``."""

    scenario: str
    seed: int
    scale: float
    timezone: Literal["Asia/Ho_Chi_Minh"]
    start_ms: int
    end_ms: int
    links: list[LinkTotals]
    faults: list[Fault]
