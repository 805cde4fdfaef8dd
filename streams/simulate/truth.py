"""The ground truth of a run: what was wrong, where and when, regardless of what was observed.

There is one `TrueFault` per fault and link, with its window ``[start_ms, end_ms)`` in request time.
``outage`` says whether a detector should report it: a silence, announced maintenance, a blind observer and
wrong citizen records are faults, but not outages of a link.
"""

from typing import Literal

from msgspec import Struct, field

from streams.simulate.faults.causes import CauseName, Domain, Pattern, Who

Kind = Literal["down", "degraded", "silence", "maintenance", "blindness", "data_quality"]


class TrueFault(Struct):
    """One fault on one link.

    ``cause`` is what was wrong and ``who`` is responsible (`streams.simulate.faults.causes`);
    ``fault_domain`` follows from the cause, never from observations. ``portal`` is set if the fault affects
    only one user of the link. ``attempts`` counts the portal's lookups within the window, and ``failures``
    those hit by the fault (failed, or answered late or slowly); ``share_of_attempts`` is their ratio, None
    without attempts. It determines ``kind``: down if at least half were hit and failed; without attempts or
    failures the scenario's ``share`` does. ``services`` and ``agencies`` are those hit. ``group`` is the same
    for all links hit by one cause. ``first_failure_known_ms`` is the event time at which the first hit
    attempt was known to have failed: its completion, or the end of ``lookup_timeout`` if none came.
    ``observed`` counts the hit attempts that an observer reported: if it is 0 nobody can know of the fault.
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
    """The counts of all attempts on a link in the run, by outcome."""

    link: str
    attempts: int = 0
    failures: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)


class FigureResult(Struct):
    """A reported figure compared with the simulated one; ``difference`` is relative to the expected value.

    ``made`` says whether the figure is an input of the simulation or a result. ``within`` says whether it is
    within its bound; None if a scaled-down city cannot show it, such as the number of agencies that took
    part.
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
    """The complete truth of a run.

    ``records`` counts the records in the log: events, heartbeats, events that came late or out of order, and
    additional duplicates. ``counters`` are those needed for calibration.
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
