"""The ground truth of a run: what was wrong, where and when, whatever anyone may have seen of it.

One `TrueFault` per fault and link, its window ``[start_ms, end_ms)`` in request time. ``outage`` says
whether a detector ought to report it: a silence, announced maintenance, a blind observer and wrong citizen
records are all true, and none of them is an outage of a link.
"""

from typing import Literal

from msgspec import Struct, field

from streams.simulate.faults.causes import CauseName, Domain, Pattern, Who

Kind = Literal["down", "degraded", "silence", "maintenance", "blindness", "data_quality"]


class TrueFault(Struct):
    """One fault on one link.

    ``cause`` says what was wrong and ``who`` made it (`streams.simulate.faults.causes`); ``fault_domain``
    follows from that, never from what was seen. ``portal`` is whose it is, where not every user of the link
    is meant. ``attempts`` and ``failures`` count the portal's lookups asked within the window, and those the
    fault hit (failed, or answered late or slowly); ``share_of_attempts`` is their ratio, None where nobody
    asked. ``kind`` follows from it: down where at least half was hit and failed; where nobody asked, or
    nothing failed, from ``share``, which is what was set. ``services`` and ``agencies`` are those hit.
    ``group`` is shared by the links that one cause struck. ``first_failure_known_ms`` is the event time at
    which the first hit attempt was known to have failed: its completion, or the end of ``lookup_timeout``
    where none came. ``observed`` counts the hit attempts that an observer reported: where it is 0 nobody can
    know of the fault.
    """

    fault_id: str
    group: str
    link: str
    kind: Kind
    outage: bool
    cause: CauseName
    who: Who
    about: str
    fault_domain: Domain
    start_ms: int
    end_ms: int
    share: float
    pattern: Pattern = "steady"
    portal: str | None = None
    attempts: int = 0
    failures: int = 0
    observed: int = 0
    share_of_attempts: float | None = None
    first_failure_known_ms: int | None = None
    first_failing_request_ms: int | None = None
    last_failing_request_ms: int | None = None
    services: list[str] = field(default_factory=list)
    agencies: list[str] = field(default_factory=list)


class LinkTotals(Struct):
    """All that was asked of a link in the run, and how it ended."""

    link: str
    attempts: int = 0
    failures: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)


class FigureResult(Struct):
    """A reported figure beside the simulated one; ``difference`` is relative to what was expected.

    ``made`` says whether the figure went into the simulation, or came out of it. ``within`` says whether it
    is within its bound; None where a part of the city cannot tell, as with how many agencies took part.
    """

    id: str
    system: int
    what_vi: str
    what_en: str
    source: str
    reported: float
    expected: float
    simulated: float
    difference: float
    bound: float
    within: bool | None
    made: Literal["input", "result"] = "result"
    note: str = ""


class Truth(Struct):
    """The whole account of a run.

    ``records`` counts what went into the log: events and heartbeats, and how many of the events' records came
    late, out of order, or (besides) a second time. ``counters`` is what the calibration reads.
    """

    scenario: str
    seed: int
    scale: float
    timezone: str
    start_ms: int
    end_ms: int
    lookup_timeout_ms: int
    links: list[LinkTotals] = field(default_factory=list)
    faults: list[TrueFault] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    figures: list[FigureResult] = field(default_factory=list)
