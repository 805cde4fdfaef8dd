"""The types of the catalogue, which lists everything in a city, whether or not a scenario uses it.

Names of durations end with their unit.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=100_000_000)]
Name = Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[a-z0-9][a-z0-9-]*$")]
LocalTime = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$")]
LocalDate = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping in which an unknown field is an error, so that a misspelt setting is noticed."""


class Text(Strict, frozen=True, kw_only=True):
    """A name in Vietnamese and English."""

    vi: str
    en: str


class Link(Strict, frozen=True, kw_only=True):
    """A connection from a consumer to a provider.

    The provider serves at most ``capacity_per_second``. ``background`` is the share of attempts with each
    outcome without any fault. ``provider_view`` says that the provider's own observer reports, too. An
    ``unconnected`` link exists only on paper; its only requests are probes.
    """

    id: Name
    name: Text
    provider: Text
    protocol: Literal["standard", "legacy"] = "standard"
    state: Literal["connected", "unconnected"] = "connected"
    system: Annotated[int, Meta(ge=1, le=18)]
    median_ms: Annotated[float, Meta(ge=1, le=20_000)] = 180
    sigma: Annotated[float, Meta(ge=0.01, le=2)] = 0.5
    timeout_ms: Annotated[int, Meta(ge=100, le=29_000)] = 10_000
    capacity_per_second: Annotated[float, Meta(ge=0.1, le=10_000)] = 40
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
    probe_seconds: Annotated[float, Meta(ge=1, le=86_400)] | None = None


class Portal(Strict, frozen=True, kw_only=True):
    """A portal, which receives dossiers, and the link it uses for each kind of lookup.

    ``offices`` are the agencies, or groups of agencies, that settle a service; they override those of a flow.
    """

    id: Name
    name: Text
    prefix: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,8}$")]
    system: Annotated[int, Meta(ge=1, le=18)]
    lookups: dict[Name, Name]
    offices: dict[Name, list[Name]] = field(default_factory=dict)


class AgencyGroup(Strict, frozen=True, kw_only=True):
    """Agencies of one kind: named ones, and ``count`` numbered ones with the prefix ``numbered``."""

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

    ``lookups`` come before acceptance, ``settling`` lookups when the dossier is settled. ``confirmed`` is
    the source that names this service in this list; empty if none could be found.
    """

    id: Name
    name: Text
    owner: Text
    level: Literal["full", "partial"] = "full"
    lookups: list[Name] = field(default_factory=list)
    settling: list[Name] = field(default_factory=list)
    settling_hours: Annotated[float, Meta(ge=0.01, le=10_000)] = 26
    confirmed: str = ""


class ServiceGroup(Strict, frozen=True, kw_only=True):
    """A list of services published by an authority, or ``numbered`` ones known only by their count."""

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
        """Return the services of the group, then the numbered ones, the full-process ones of these first."""
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
    """Everything that exists, whether or not a scenario uses it."""

    links: list[Link]
    portals: list[Portal]
    agencies: list[AgencyGroup]
    services: list[ServiceGroup]
