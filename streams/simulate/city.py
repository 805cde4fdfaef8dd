"""What a city and a scenario are made of: the types of the YAML files under ``data/``.

The catalogue says what exists (links, portals, agencies, services); a scenario says what happens in a period
(flows of dossiers, batches, faults) and which reported figures it is calibrated to. Times in scenarios are
local, Asia/Ho_Chi_Minh; holidays are the calendar's. Durations carry their unit.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from streams.model.calendar import from_local

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[a-z0-9][a-z0-9-]*$")]
LocalTime = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$")]
LocalDate = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]

Effect = Literal[
    "unreachable",  # nobody answers the connection attempt
    "timeout",  # the portal's own timer runs out
    "reset",  # the connection breaks off
    "tls_error",
    "protocol_error",  # the answer is not in the agreed form: old standard, wrong version
    "provider_error",  # the provider says that it failed
    "throttled",  # the provider says: too many
    "half_open",  # the request is swallowed, nothing ever comes back
    "accepted_late",  # answered, but long after the portal stopped waiting
    "slow",  # answered, but far slower than normal
    "silence",  # citizens stay away; the portal and its observer are well
    "maintenance",  # announced: the portal holds its lookups back meanwhile
    "blindness",  # the observer is dead, traffic goes on unseen
    "data_quality",  # wrong, missing, stale or duplicate citizen records
]
FAILING: Final = frozenset(
    {
        "unreachable",
        "timeout",
        "reset",
        "tls_error",
        "protocol_error",
        "provider_error",
        "throttled",
        "half_open",
    }
)
PROVIDER_EFFECTS: Final = frozenset({"provider_error", "throttled"})
"""Where the provider itself says what is wrong; from the portal all others look like the link."""


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping in which an unknown field is an error, so that a misspelt setting cannot pass."""


class Text(Strict, frozen=True, kw_only=True):
    """A name in the two languages of the city's readers."""

    vi: str
    en: str


class Link(Strict, frozen=True, kw_only=True):
    """A way from a consumer to a provider.

    ``capacity_per_second`` is what the provider serves (None: never the limit). ``background`` gives the
    share of attempts that end in each outcome without any fault. ``provider_view`` says that the provider's
    own observer reports, too. An ``unconnected`` link exists on paper; only its probes ask.
    """

    id: Name
    name: Text
    provider: Text
    protocol: Literal["standard", "legacy"] = "standard"
    state: Literal["connected", "unconnected"] = "connected"
    system: Annotated[int, Meta(ge=1, le=18)]
    median_ms: Positive = 180
    sigma: Positive = 0.5
    timeout_ms: Annotated[int, Meta(ge=100, le=29_000)] = 10_000
    capacity_per_second: Positive | None = None
    background: dict[Literal["timeout", "unreachable", "reset", "provider_error", "half_open"], Share] = (
        field(
            default_factory=lambda: {
                "timeout": 0.004,
                "reset": 0.003,
                "unreachable": 0.001,
                "half_open": 0.002,
            }
        )
    )
    not_found: Share = 0.006
    mismatch: Share = 0.009
    provider_view: bool = False
    probe_seconds: Positive | None = None


class Portal(Strict, frozen=True, kw_only=True):
    """A portal: where dossiers come in, and by which link it does each kind of lookup."""

    id: Name
    name: Text
    prefix: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,8}$")]
    system: Annotated[int, Meta(ge=1, le=18)]
    lookups: dict[Name, Name]


class AgencyGroup(Strict, frozen=True, kw_only=True):
    """Agencies of one kind: named ones, or ``count`` of them numbered under ``numbered``."""

    id: Name
    name: Text
    named: list[Name] = field(default_factory=list)
    numbered: Name | None = None
    count: Annotated[int, Meta(ge=0, le=10_000)] = 0

    def ids(self) -> list[str]:
        """Return the identifiers of the agencies."""
        numbers = [f"{self.numbered}-{n:03d}" for n in range(1, self.count + 1)]
        return [*self.named, *numbers]


class Service(Strict, frozen=True, kw_only=True):
    """An online service and the lookups one dossier of it makes, in order.

    ``lookups`` come before acceptance, ``settling`` ones when the dossier is settled. ``confirmed`` is the
    source that names this service in this list; empty where none could be found.
    """

    id: Name
    name: Text
    owner: Text
    level: Literal["full", "partial"] = "full"
    lookups: list[Name] = field(default_factory=list)
    settling: list[Name] = field(default_factory=list)
    settling_hours: Positive = 26
    confirmed: str = ""


class ServiceGroup(Strict, frozen=True, kw_only=True):
    """A list of services that some authority names together, or ``numbered`` ones known by count only."""

    id: Name
    name: Text
    system: Annotated[int, Meta(ge=1, le=18)] | None = None
    source: str
    services: list[Service] = field(default_factory=list)
    members: list[Name] = field(default_factory=list)
    numbered: Name | None = None
    full_count: Annotated[int, Meta(ge=0)] = 0
    partial_count: Annotated[int, Meta(ge=0)] = 0
    owner: Text | None = None
    lookups: list[Name] = field(default_factory=list)

    def all(self) -> list[Service]:
        """Return the services of the group, the numbered ones spelt out, full-process ones first."""
        numbered = (
            Service(
                id=f"{self.numbered}-{number:04d}",
                name=Text(vi=f"{self.name.vi} số {number}", en=f"{self.name.en} no. {number}"),
                owner=self.owner or Text(vi="", en=""),
                level="full" if number <= self.full_count else "partial",
                lookups=list(self.lookups),
            )
            for number in range(1, self.full_count + self.partial_count + 1)
        )
        return [*self.services, *numbered]


class Catalogue(Strict, frozen=True, kw_only=True):
    """Everything that exists, whatever a scenario uses of it."""

    links: list[Link]
    portals: list[Portal]
    agencies: list[AgencyGroup]
    services: list[ServiceGroup]


class Peak(Strict, frozen=True, kw_only=True):
    """A campaign: ``times`` the usual arrivals on the days ``[start, end]``."""

    start: LocalDate
    end: LocalDate
    times: Positive


class Flow(Strict, frozen=True, kw_only=True):
    """Dossiers of some services through one portal: ``count`` of them in the period, at scale 1.

    The count is of dossiers *received*; arrivals are an inhomogeneous Poisson process conditioned on it.
    ``services`` gives weights. ``access`` is the line between citizen and portal, asked before the portal.
    Where ``submits`` is false there is a lookup and no dossier: a clinic reading a card at its desk.
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
    peaks: list[Peak] = field(default_factory=list)
    extra_lookups: list[Name] = field(default_factory=list)


class Batch(Strict, frozen=True, kw_only=True):
    """Bulk verification: ``records`` of them, ``per_request`` at a time, in the hours ``[from, to)`` daily.

    Each request weighs ``weight`` ordinary ones on the link, so it competes with citizens for capacity.
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


class Fault(Strict, frozen=True, kw_only=True):
    """A fault at a known time on one or several links, which then share one cause.

    ``share`` of the attempts in scope is hit. ``pattern`` flapping switches it on and off; bursts is a
    Gilbert-Elliott chain of good and bad spells, both with the mean lengths given (seconds).
    """

    id: Name
    effect: Effect
    start: LocalTime
    minutes: Positive
    links: list[Name] = field(default_factory=list)
    portals: list[Name] = field(default_factory=list)
    services: list[Name] = field(default_factory=list)
    share: Share = 1.0
    pattern: Literal["steady", "flapping", "bursts"] = "steady"
    bad_seconds: Positive = 40
    good_seconds: Positive = 20
    slow_times: Positive = 12
    late_minutes: Positive = 12
    cause: str = ""


class FaultProcess(Strict, frozen=True, kw_only=True):
    """Random faults: gaps Weibull with decreasing hazard, durations lognormal (Schroeder & Gibson 2006).

    Each fault takes one of ``links``, or, with probability ``shared``, two or more of them at once
    (Markopoulou et al. 2004: about 30 % of unplanned failures are shared). ``effects`` gives weights.
    """

    id: Name
    links: list[Name]
    effects: dict[Effect, Positive]
    mean_gap_hours: Positive
    gap_shape: Positive = 0.7
    median_minutes: Positive = 12
    sigma: Positive = 1.2
    shared: Share = 0.3
    shares: dict[Literal["all", "most", "some"], Positive] = field(
        default_factory=lambda: {"all": 6, "most": 2, "some": 2}
    )


class Transport(Strict, frozen=True, kw_only=True):
    """What happens to a record between its event and the log."""

    delay_ms: Positive = 12
    disorder: Share = 0.05
    disorder_up_to_ms: Annotated[int, Meta(ge=1, le=5_000)] = 4_900
    late: Share = 0.001
    late_up_to_minutes: Positive = 6
    duplicates: Share = 0.01


class People(Strict, frozen=True, kw_only=True):
    """Who applies, as shares of applicants; each is a source's ratio or an assumption, as its comment says.

    ``vneid_account`` signs in with VNeID, of those ``vneid_level_2`` at level 2. ``card_read`` has the chip
    of the card read at a counter; ``cmnd_9_digits`` comes with the old number, which is to be linked first.
    Without ``vneid_in_portal`` an e-certified copy fails. ``traits`` are further shares, only counted.
    """

    vneid_account: Share = 0.75
    vneid_level_2: Share = 0.6
    cmnd_9_digits: Share = 0.03
    card_read: Share = 0.15
    vneid_in_portal: Share = 0.7
    traits: dict[Name, Share] = field(default_factory=dict)


class Patience(Strict, frozen=True, kw_only=True):
    """How a portal retries: exponential backoff with full jitter, then deferral, then giving up.

    A deferral is half as long again as the one before, up to ``deferral_up_to_minutes`` (means).
    """

    attempts: Count = 3
    backoff_seconds: Positive = 2
    backoff_times: Positive = 3
    deferral_minutes: Positive = 6
    deferral_up_to_minutes: Positive = 60
    deferrals: Annotated[int, Meta(ge=0)] = 40
    mismatch_rejected: Share = 0.6


class Figure(Strict, frozen=True, kw_only=True):
    """A reported figure, its source tag, and the counters of the simulation whose sum stands for it.

    A count of a period is ``scaled``: it shrinks with the run. A stock is none: it stands in the simulation
    as a share of applicants, so its ``counters`` are divided by those of ``among`` and multiplied by
    ``total``. Where ``sampled`` is set, the scenario simulates that share of what was reported. The relative
    difference must be within ``bound``.
    """

    id: Name
    system: Annotated[int, Meta(ge=1, le=18)]
    what: Text
    source: str
    reported: Positive
    counters: list[str]
    among: list[str] = field(default_factory=list)
    total: Positive | None = None
    sampled: Share = 1.0
    bound: Share = 0.005
    scaled: bool = True
    note: str = ""


class Scenario(Strict, frozen=True, kw_only=True):
    """What happens in one period. ``start`` and ``end`` are local and half-open.

    Where ``links`` is given the scenario knows those alone: lookups over others are left out of every path.
    ``probes`` are links that are asked at their interval, whatever the traffic.
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
    patience: Patience = field(default_factory=Patience)
    figures: list[Figure] = field(default_factory=list)
    probes: list[Name] = field(default_factory=list)


def epoch_ms(local: str) -> int:
    """Return the epoch milliseconds of a local time.

    >>> epoch_ms("1970-01-01T07:00")
    0
    """
    return from_local(datetime.fromisoformat(local))
