"""The types of a scenario: what happens in a period, and the reported figures it is calibrated to.

Times are local (Asia/Ho_Chi_Minh); holidays are those of the calendar. Every number is bounded, so that no
file can cause an endless run.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from streams.model.hours.calendar import from_local
from streams.simulate.city import Count, LocalDate, LocalTime, Name, Positive, Share, Strict, Text
from streams.simulate.faults.causes import CauseName, Pattern

Reported = Annotated[float, Meta(gt=0, le=1e12)]
Minutes = Annotated[float, Meta(ge=0, le=1_000_000)]
Spell = Annotated[float, Meta(ge=1, le=86_400)]
"""The mean length of a bad or a good spell, in seconds."""


class Peak(Strict, frozen=True, kw_only=True):
    """A campaign: arrivals are multiplied by ``times`` on the days ``[start, end]``."""

    start: LocalDate
    end: LocalDate
    times: Positive


class Flow(Strict, frozen=True, kw_only=True):
    """Dossiers of some services through one portal: ``count`` of them in the period, at scale 1.

    The count is of dossiers *received*; arrivals are an inhomogeneous Poisson process conditioned on it.
    ``services`` gives weights. ``access`` is the line between citizen and portal, used before the portal. If
    ``submits`` is false there is a lookup but no dossier, as when a clinic reads a card. A service named in
    the portal's ``offices`` is settled there, all others by ``agencies``. Arrivals grow linearly by
    ``growth`` from start to end.
    """

    id: Name
    portal: Name
    services: dict[Name, Positive]
    agencies: Name
    count: Count
    timetable: Literal["office", "health", "always", "even"] = "office"
    channel: Name = "online"
    submits: bool = True
    access: Name | None = None
    growth: Annotated[float, Meta(ge=-0.9, le=10)] = 0
    peaks: list[Peak] = field(default_factory=list)
    extra_lookups: list[Name] = field(default_factory=list)


class Batch(Strict, frozen=True, kw_only=True):
    """Bulk verification of ``records``, ``per_request`` at a time, in the hours ``[from, to)`` daily.

    Each request costs the provider as much as ``weight`` ordinary ones, so it competes with citizens for
    capacity.
    """

    id: Name
    link: Name
    service: Name
    agency: Name
    records: Count
    per_request: Count
    weight: Positive = 1
    start: LocalTime
    end: LocalTime
    from_hour: Annotated[int, Meta(ge=0, le=23)] = 0
    to_hour: Annotated[int, Meta(ge=1, le=24)] = 24


Outcome = Literal[
    "timeout",
    "unreachable",
    "reset",
    "tls_error",
    "protocol_error",
    "throttled",
    "provider_error",
    "no_response",
]


class Fault(Strict, frozen=True, kw_only=True):
    """A fault at a known time on one or several links, with one common cause.

    ``share`` is the share of attempts hit; its default, like that of ``pattern``, is the cause's. If
    ``outcomes`` are given, only those of the cause's symptoms (`streams.simulate.faults.causes`) occur. The
    share grows over ``ramp_minutes`` and falls over the last ``recovery_minutes``. Several links recover one
    after the other: the first ``ends_apart_minutes`` before the end, the last at the end. ``pattern``
    flapping switches the fault on and off; bursts is a Gilbert-Elliott chain of bad and good spells; the mean
    lengths of both are given in seconds.
    """

    id: Name
    cause: CauseName
    about: str = ""
    start: LocalTime
    minutes: Annotated[float, Meta(gt=0, le=1_000_000)]
    links: list[Name] = field(default_factory=list)
    portals: list[Name] = field(default_factory=list)
    services: list[Name] = field(default_factory=list)
    share: Share | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    pattern: Pattern | None = None
    bad_seconds: Spell = 40
    good_seconds: Spell = 20
    slow_times: Annotated[float, Meta(ge=1, le=1_000)] = 12
    late_minutes: Annotated[float, Meta(ge=1, le=1_440)] = 12
    ramp_minutes: Minutes = 0
    recovery_minutes: Minutes = 0
    ends_apart_minutes: Minutes = 0


class FaultProcess(Strict, frozen=True, kw_only=True):
    """Random faults: Weibull gaps with decreasing hazard, lognormal durations (Schroeder & Gibson 2006).

    ``shared`` is the share of unplanned failures that hit several links, ``maintenance`` the share of all
    failures that are maintenance, where a failure is counted for each link, as in the source (Markopoulou et
    al. 2004: about 30 % of the unplanned ones are shared, about 20 % of all are maintenance). ``causes``
    gives weights. Faults are ``office_times`` as frequent in office hours as at night; besides, each cause
    has its own hours.
    """

    id: Name
    links: list[Name]
    causes: dict[CauseName, Positive]
    mean_gap_hours: Annotated[float, Meta(ge=0.1, le=100_000)]
    gap_shape: Annotated[float, Meta(ge=0.3, le=5)] = 0.7
    median_minutes: Annotated[float, Meta(ge=0.1, le=100_000)] = 12
    sigma: Annotated[float, Meta(ge=0.01, le=3)] = 1.2
    shared: Annotated[float, Meta(ge=0, le=0.9)] = 0.3
    maintenance: Annotated[float, Meta(ge=0, le=0.9)] = 0.2
    office_times: Annotated[float, Meta(ge=0.1, le=100)] = 2.5
    shares: dict[Literal["all", "most", "some"], Positive] = field(
        default_factory=lambda: {"all": 6, "most": 2, "some": 2}
    )


class Transport(Strict, frozen=True, kw_only=True):
    """What happens to a record between its event and the log.

    ``late_heartbeats`` is the share of heartbeats that are 5 to 20 seconds late.
    """

    delay_ms: Annotated[float, Meta(gt=0, le=60_000)] = 12
    disorder: Share = 0.05
    disorder_up_to_ms: Annotated[int, Meta(ge=1, le=5_000)] = 4_900
    late: Share = 0.001
    late_up_to_minutes: Annotated[float, Meta(gt=0, le=1_440)] = 6
    duplicates: Share = 0.01
    late_heartbeats: Share = 0.001


class People(Strict, frozen=True, kw_only=True):
    """The applicants, as shares; each is a source's ratio or an assumption, according to its comment.

    ``vneid_account`` sign in with VNeID, of those ``vneid_level_2`` at level 2. ``card_read`` have the chip
    of the card read at a counter; ``cmnd_9_digits`` have the old number, which must be linked first. An
    e-certified copy fails for those without VNeID in their portal account; all who sign in with VNeID have it
    there, and ``vneid_in_portal`` of the others. ``traits`` are further shares that are only counted.
    """

    vneid_account: Share = 0.75
    vneid_level_2: Share = 0.6
    cmnd_9_digits: Share = 0.03
    card_read: Share = 0.15
    vneid_in_portal: Share = 0.7
    traits: dict[Name, Share] = field(default_factory=dict)


class Clocks(Strict, frozen=True, kw_only=True):
    """Errors of the clocks of the observers' machines, one for each portal and each provider.

    A clock is wrong by up to ``offset_up_to_ms`` either way, and drifts by up to ``drift_ppm_up_to`` until it
    is set again, every ``set_every_minutes``.
    """

    offset_up_to_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    drift_ppm_up_to: Annotated[int, Meta(ge=0, le=1_000)] = 0
    set_every_minutes: Annotated[int, Meta(ge=1, le=1_440)] = 64


class Patience(Strict, frozen=True, kw_only=True):
    """How a portal retries: exponential backoff with full jitter, then deferral, then failure.

    The mean length of a deferral is 1.5 times that of the one before, up to ``deferral_up_to_minutes``.
    """

    attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    backoff_seconds: Annotated[float, Meta(gt=0, le=3_600)] = 2
    backoff_times: Annotated[float, Meta(ge=1, le=10)] = 3
    deferral_minutes: Annotated[float, Meta(gt=0, le=10_000)] = 6
    deferral_up_to_minutes: Annotated[float, Meta(gt=0, le=10_000)] = 60
    deferrals: Annotated[int, Meta(ge=0, le=1_000)] = 40
    mismatch_rejected: Share = 0.6


class Figure(Strict, frozen=True, kw_only=True):
    """A reported figure, its source tag, and the simulation's counters whose sum corresponds to it.

    A count over a period is ``scaled`` with the run. A stock is not scaled: the simulation has it as a share
    of applicants, so the sum of its ``counters`` is divided by that of ``among`` and multiplied by ``total``.
    ``sampled`` is the share of what was reported that the scenario simulates. The relative difference must be
    within ``bound``.
    """

    id: Name
    system: Annotated[int, Meta(ge=1, le=18)]
    what: Text
    source: str
    reported: Reported
    counters: list[str]
    among: list[str] = field(default_factory=list)
    total: Reported | None = None
    sampled: Share = 1.0
    bound: Share = 0.005
    scaled: bool = True
    note: str = ""


class Scenario(Strict, frozen=True, kw_only=True):
    """What happens in one period, ``[start, end)`` in local time.

    If ``links`` is given the scenario has only those: lookups over others are left out of every path.
    ``probes`` are links that are probed at their interval, whatever the traffic.
    """

    name: Name
    title: Text
    start: LocalTime
    end: LocalTime
    seed: int = 1
    partitions: Annotated[int, Meta(ge=1, le=64)] = 4
    heartbeat_interval_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 1_000
    provider_views: bool = True
    flows: list[Flow]
    links: list[Name] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    fault_processes: list[FaultProcess] = field(default_factory=list)
    transport: Transport = field(default_factory=Transport)
    people: People = field(default_factory=People)
    clocks: Clocks = field(default_factory=Clocks)
    patience: Patience = field(default_factory=Patience)
    figures: list[Figure] = field(default_factory=list)
    probes: list[Name] = field(default_factory=list)


def epoch_ms(local: str) -> int:
    """Return the epoch milliseconds of a local time.

    >>> epoch_ms("1970-01-01T07:00")
    0
    """
    return from_local(datetime.fromisoformat(local))
