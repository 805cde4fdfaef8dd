"""What the types cannot say of a catalogue and a scenario: that names exist, are unique, and times fit."""

from collections.abc import Iterable
from datetime import datetime

from streams.model.located import Located
from streams.simulate.city import Catalogue
from streams.simulate.faults.causes import CAUSES, OF_PORTALS, outcomes_of
from streams.simulate.scenario import Fault, Flow, Scenario, epoch_ms

_NEEDS_LINKS = "a fault on links needs `links`"


def check_catalogue(catalogue: Catalogue, located: Located) -> None:
    """Raise `LocatedError` where identifiers overlap or refer to nothing."""
    links = [link.id for link in catalogue.links]
    _unique("link", links, located, "links")
    _unique("portal", [portal.id for portal in catalogue.portals], located, "portals")
    _unique("agency group", [group.id for group in catalogue.agencies], located, "agencies")
    _unique("portal prefix", [portal.prefix for portal in catalogue.portals], located, "portals")
    for index, link in enumerate(catalogue.links):
        if sum(link.background.values()) + link.not_found + link.mismatch > 1:
            raise located.error(f"the shares of link `{link.id}` add up to more than 1", "links", index)
        if link.state == "unconnected" and link.probe_seconds is None:
            raise located.error(
                f"link `{link.id}` is unconnected: without `probe_seconds` nobody ever asks it",
                "links",
                index,
            )
    for index, portal in enumerate(catalogue.portals):
        for role, link_id in portal.lookups.items():
            if link_id not in links:
                raise located.error(f"unknown link `{link_id}`", "portals", index, "lookups", role)
    _check_services(catalogue, located)


def _check_services(catalogue: Catalogue, located: Located) -> None:
    roles = {role for portal in catalogue.portals for role in portal.lookups}
    seen: dict[str, int] = {}
    for g, group in enumerate(catalogue.services):
        for s, service in enumerate(group.services):
            if service.id in seen:
                raise located.error(
                    f"service `{service.id}` stands twice", "services", g, "services", s, "id"
                )
            seen[service.id] = g
            for field in ("lookups", "settling"):
                for role in getattr(service, field):
                    if role not in roles:
                        raise located.error(
                            f"no portal knows the lookup `{role}`", "services", g, "services", s, field
                        )
    for g, group in enumerate(catalogue.services):
        for m, member in enumerate(group.members):
            if member not in seen:
                raise located.error(f"unknown service `{member}`", "services", g, "members", m)
        if group.numbered and not group.full_count + group.partial_count:
            raise located.error("a numbered group needs a count", "services", g)


def check_scenario(scenario: Scenario, catalogue: Catalogue, located: Located) -> None:
    """Raise `LocatedError` where the scenario contradicts the catalogue, the calendar or itself."""
    start, end = (_time(scenario.start, located, "start"), _time(scenario.end, located, "end"))
    if end <= start:
        raise located.error("the scenario ends before it starts", "end")
    for what, ids in {
        "flows": [flow.id for flow in scenario.flows],
        "batches": [batch.id for batch in scenario.batches],
        "faults": [fault.id for fault in scenario.faults],
        "fault_processes": [process.id for process in scenario.fault_processes],
        "figures": [figure.id for figure in scenario.figures],
    }.items():
        _unique("id", ids, located, what)
    names = _Names(catalogue)
    for index, flow in enumerate(scenario.flows):
        _check_flow(index, flow, names, located)
    for index, batch in enumerate(scenario.batches):
        _known("link", [batch.link], names.links, located, "batches", index, "link")
        if batch.from_hour >= batch.to_hour:
            raise located.error("`from_hour` must come before `to_hour`", "batches", index, "from_hour")
        if _time(batch.end, located, "batches", index, "end") <= _time(
            batch.start, located, "batches", index, "start"
        ):
            raise located.error("the batch ends before it starts", "batches", index, "end")
    for index, fault in enumerate(scenario.faults):
        _check_fault(index, fault, scenario, names, located)
    for index, process in enumerate(scenario.fault_processes):
        _known("link", process.links, names.links, located, "fault_processes", index, "links")
        if not process.links:
            raise located.error("a fault process needs links", "fault_processes", index, "links")
    _known("link", scenario.links, names.links, located, "links")
    _known("link", scenario.probes, names.links, located, "probes")


class _Names:
    """What the catalogue knows, by identifier."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.links = {link.id: link for link in catalogue.links}
        self.portals = {portal.id: portal for portal in catalogue.portals}
        self.agencies = {group.id for group in catalogue.agencies}
        self.services = {service.id: service for group in catalogue.services for service in group.all()}


def _check_flow(index: int, flow: Flow, names: _Names, located: Located) -> None:
    where = ("flows", index)
    _known("portal", [flow.portal], names.portals, located, *where, "portal")
    _known("agency group", [flow.agencies], names.agencies, located, *where, "agencies")
    if not flow.services:
        raise located.error("a flow needs services", *where, "services")
    _known("service", flow.services, names.services, located, *where, "services")
    if flow.access is not None:
        _known("link", [flow.access], names.links, located, *where, "access")
    known = names.portals[flow.portal].lookups
    wanted = [*flow.extra_lookups]
    for service in flow.services:
        wanted += [*names.services[service].lookups, *names.services[service].settling]
    for role in wanted:
        if role not in known:
            raise located.error(
                f"portal `{flow.portal}` has no link for the lookup `{role}`", *where, "services"
            )
        if names.links[known[role]].state == "unconnected":
            raise located.error(
                f"the lookup `{role}` goes over `{known[role]}`, which is not connected", *where, "services"
            )


def _check_fault(index: int, fault: Fault, scenario: Scenario, names: _Names, located: Located) -> None:
    where = ("faults", index)
    _known("link", fault.links, names.links, located, *where, "links")
    _known("portal", fault.portals, names.portals, located, *where, "portals")
    _known("service", fault.services, names.services, located, *where, "services")
    if fault.cause in OF_PORTALS:
        if not fault.portals:
            raise located.error(f"{fault.cause} is of portals: name them under `portals`", *where)
    elif not fault.links:
        raise located.error(_NEEDS_LINKS, *where)
    _known("outcome", fault.outcomes, outcomes_of(CAUSES[fault.cause]), located, *where, "outcomes")
    start = _time(fault.start, located, *where, "start")
    if not epoch_ms(scenario.start) <= start < epoch_ms(scenario.end):
        raise located.error("the fault starts outside the scenario", *where, "start")
    if start + fault.minutes * 60_000 > epoch_ms(scenario.end):
        raise located.error("the fault ends after the scenario", *where, "minutes")


def _time(value: str, located: Located, *where: str | int) -> int:
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        raise located.error(f"{value} is no time: {error}", *where) from error
    return epoch_ms(value)


def _known(
    what: str, names: Iterable[str], known: Iterable[str], located: Located, *where: str | int
) -> None:
    known = set(known)
    for index, name in enumerate(names):
        if name not in known:
            part = name if where[-1] == "services" and len(where) == 3 and where[0] == "flows" else index
            raise located.error(f"unknown {what} `{name}`", *where, part)


def _unique(what: str, ids: list[str], located: Located, *where: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(ids):
        if name in seen:
            raise located.error(f"{what} `{name}` stands twice", *where, index, "id")
        seen.add(name)
