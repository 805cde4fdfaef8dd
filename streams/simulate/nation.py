"""The national scenario: the provinces of a given day, each with portal, links and communes, from one file.

The provinces are data with dates: 63 until 30 June 2025, 34 since. `build` turns a `Nation` into a catalogue
and a scenario like any other, in proportion to the population of each province.
"""

from collections.abc import Sequence
from datetime import date, datetime
from math import ceil
from typing import Annotated, Final, Literal

from msgspec import Meta, field
from msgspec.structs import replace

from streams.model.located import Located
from streams.simulate.check import check_catalogue, known, unique
from streams.simulate.check_scenario import check_scenario
from streams.simulate.city import (
    AgencyGroup,
    Catalogue,
    Count,
    Link,
    LocalDate,
    LocalTime,
    Name,
    Portal,
    Positive,
    ServiceGroup,
    Strict,
    Text,
)
from streams.simulate.moved import moved
from streams.simulate.scenario import Clocks, Fault, FaultProcess, Flow, People, Scenario

NATIONAL: Final = "national"
"""The name of the scenario."""
_WORKING_DAYS: Final = 250
"""Working days per year, to which the counts of flows refer."""
MOST_SERVED: Final = 10_000
"""Requests per second that a link serves at most, whatever the population."""
_MILLION: Final = 1_000_000


class Province(Strict, frozen=True, kw_only=True):
    """A province. It exists until the day ``until``; then it is part of the province it ``joins``.

    ``code`` is its number in the statistical list, ``people`` its population in the census.
    """

    id: Name
    code: Annotated[int, Meta(ge=1, le=99)]
    name: str
    en: str = ""
    people: Count
    until: LocalDate | None = None
    joins: Name | None = None


class Communes(Strict, frozen=True, kw_only=True):
    """The number of communes, wards and towns in the nation until the day ``until``; without a day: since."""

    until: LocalDate | None = None
    count: Annotated[int, Meta(ge=1, le=100_000)]


class NationalFlow(Strict, frozen=True, kw_only=True):
    """Dossiers of some services at each province's portal: ``a_year`` per person and year."""

    id: Name
    a_year: Positive
    services: dict[Name, Positive]
    timetable: Literal["office", "health", "always", "even"] = "office"
    submits: bool = True
    extra_lookups: list[Name] = field(default_factory=list)


class Nation(Strict, frozen=True, kw_only=True):
    """A nation: what each province has, and the provinces.

    A link ``npd`` becomes ``ha-noi-npd`` in Hà Nội; its capacity is given per million people. ``faults`` hit
    a link in every province, or only the links named in full. Each of ``national_processes`` is one process
    over a link in every province, each of ``provincial_processes`` one process per province. The nation's
    ``people`` are divided among the provinces in proportion to the census.
    """

    title: Text
    start: LocalTime
    end: LocalTime
    people: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    seed: int = 1
    partitions: Annotated[int, Meta(ge=1, le=64)] = 2
    heartbeat_interval_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 300_000
    clocks: Clocks = field(default_factory=Clocks)
    applicants: People = field(default_factory=People)
    communes: list[Communes]
    links: list[Link]
    lookups: dict[Name, Name]
    flows: list[NationalFlow]
    faults: list[Fault] = field(default_factory=list)
    national_processes: list[FaultProcess] = field(default_factory=list)
    provincial_processes: list[FaultProcess] = field(default_factory=list)
    provinces: list[Province]


def nation_of(
    located: Located, services: Sequence[ServiceGroup], today: date | None = None
) -> tuple[Catalogue, Scenario]:
    """Return the catalogue and the scenario of a nation's file, moved to begin on a day up to ``today``.

    The provinces are those of the day on which it begins. Raises: `LocatedError`.
    """
    nation = located.convert(Nation)
    check_nation(nation, located)
    catalogue, scenario = build(nation, services)
    if today is not None:
        first = datetime.fromisoformat(moved(scenario, today).start).date()
        catalogue, scenario = build(nation, services, first)
    check_catalogue(catalogue, located)
    check_scenario(scenario, catalogue, located)
    return catalogue, scenario if today is None else moved(scenario, today)


def check_nation(nation: Nation, located: Located) -> None:
    """Raise `LocatedError` if a nation contradicts itself; the city made from it is checked elsewhere."""
    ids = [province.id for province in nation.provinces]
    unique("province", ids, located, "provinces")
    unique("code", [str(one.code) for one in nation.provinces], located, "provinces", field="code")
    if not ids:
        raise located.error("a nation needs provinces", "provinces")
    staying = {one.id for one in nation.provinces if one.joins is None}
    for index, province in enumerate(nation.provinces):
        where = ("provinces", index)
        if (province.until is None) != (province.joins is None):
            raise located.error("`until` and `joins` go together", *where)
        if province.joins is not None:
            known("province that stays", [province.joins], staying, located, *where, "joins")
        _day(province.until, located, *where, "until")
    if [communes.until is None for communes in nation.communes] != [False] * (len(nation.communes) - 1) + [
        True
    ]:
        raise located.error("all but the last need `until`", "communes")
    for index, communes in enumerate(nation.communes):
        _day(communes.until, located, "communes", index, "until")
    for field_, said in (("start", nation.start), ("end", nation.end)):
        _day(said, located, field_)
    endings = [link.id for link in nation.links]
    unique("link", endings, located, "links")
    for role, ending in nation.lookups.items():
        known("link", [ending], endings, located, "lookups", role)


def _day(said: str | None, located: Located, *where: str | int) -> None:
    try:
        datetime.fromisoformat(said or "2025-07-01")
    except ValueError as error:
        raise located.error(f"{said} is not a date: {error}", *where) from error


def provinces_on(nation: Nation, day: date) -> list[Province]:
    """Return the provinces that exist on a day, each with the population of those that have joined it."""
    on = day.isoformat()
    gone = [one for one in nation.provinces if one.until is not None and one.until <= on]
    joined = {
        one.id: sum(other.people for other in gone if other.joins == one.id) for one in nation.provinces
    }
    return [replace(one, people=one.people + joined[one.id]) for one in nation.provinces if one not in gone]


def build(
    nation: Nation, services: Sequence[ServiceGroup], day: date | None = None
) -> tuple[Catalogue, Scenario]:
    """Return the nation's catalogue and scenario, with the provinces of ``day``, by default of its own start.

    ``services`` are those of the city, which the nation has as well.
    """
    day = day or datetime.fromisoformat(nation.start).date()
    provinces = provinces_on(nation, day)
    counted = sum(one.people for one in provinces)
    people = {one.id: one.people * nation.people / counted for one in provinces}
    on = day.isoformat()
    communes = next(one.count for one in nation.communes if one.until is None or on < one.until)
    catalogue = Catalogue(
        links=[_link(link, one, people[one.id]) for one in provinces for link in nation.links],
        portals=[
            Portal(
                id=one.id,
                name=Text(
                    vi=f"Cổng Dịch vụ công {one.name}", en=f"{one.en or one.name} public-service portal"
                ),
                prefix=f"P{one.code:02d}",
                system=1,
                lookups={role: f"{one.id}-{ending}" for role, ending in nation.lookups.items()},
            )
            for one in provinces
        ],
        agencies=[
            AgencyGroup(
                id=f"{one.id}-communes",
                name=Text(vi=f"Xã, phường {one.name}", en=f"Communes of {one.en or one.name}"),
                numbered=f"{one.id}-xa",
                count=max(1, round(communes * one.people / counted)),
            )
            for one in provinces
        ],
        services=_served(services, set(nation.lookups)),
    )
    return catalogue, _scenario(nation, provinces, people)


def _served(groups: Sequence[ServiceGroup], roles: set[str]) -> list[ServiceGroup]:
    """Return the groups with only those services whose lookups every province can make."""
    kept = {
        service.id: service
        for group in groups
        for service in group.services
        if {*service.lookups, *service.settling} <= roles
    }
    return [
        replace(
            group,
            services=[service for service in group.services if service.id in kept],
            members=[name for name in group.members if name in kept],
        )
        for group in groups
    ]


def _link(link: Link, province: Province, people: float) -> Link:
    return replace(
        link,
        id=f"{province.id}-{link.id}",
        name=Text(
            vi=f"{province.name} – {link.name.vi}", en=f"{province.en or province.name} – {link.name.en}"
        ),
        capacity_per_second=min(ceil(link.capacity_per_second * people / _MILLION), MOST_SERVED),
    )


def _scenario(nation: Nation, provinces: Sequence[Province], people: dict[str, float]) -> Scenario:
    first, last = datetime.fromisoformat(nation.start), datetime.fromisoformat(nation.end)
    of_a_year = (last - first).days / _WORKING_DAYS
    endings = {link.id for link in nation.links}

    def everywhere(names: Sequence[str]) -> list[str]:
        return [
            whole
            for name in names
            for whole in ([f"{one.id}-{name}" for one in provinces] if name in endings else [name])
        ]

    return Scenario(
        name=NATIONAL,
        title=nation.title,
        start=nation.start,
        end=nation.end,
        seed=nation.seed,
        partitions=nation.partitions,
        heartbeat_interval_ms=nation.heartbeat_interval_ms,
        clocks=nation.clocks,
        people=nation.applicants,
        flows=[
            Flow(
                id=f"{one.id}-{flow.id}",
                portal=one.id,
                services=flow.services,
                agencies=f"{one.id}-communes",
                count=max(1, round(people[one.id] * flow.a_year * of_a_year)),
                timetable=flow.timetable,
                submits=flow.submits,
                extra_lookups=flow.extra_lookups,
            )
            for flow in nation.flows
            for one in provinces
        ],
        faults=[replace(fault, links=everywhere(fault.links)) for fault in nation.faults],
        fault_processes=[
            *(
                replace(process, id=f"{process.id}-{name}", links=everywhere([name]))
                for process in nation.national_processes
                for name in process.links
            ),
            *(
                replace(
                    process, id=f"{one.id}-{process.id}", links=[f"{one.id}-{name}" for name in process.links]
                )
                for process in nation.provincial_processes
                for one in provinces
            ),
        ],
    )
