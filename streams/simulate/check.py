"""Checks that the types cannot make of a catalogue: names exist and are unique, and shares add up."""

from collections.abc import Iterable

from streams.model.located import Located, one_of
from streams.simulate.city import Catalogue


def check_catalogue(catalogue: Catalogue, located: Located) -> None:
    """Raise `LocatedError` if identifiers are repeated or refer to nothing."""
    links = [link.id for link in catalogue.links]
    unique("link", links, located, "links")
    unique("portal", [portal.id for portal in catalogue.portals], located, "portals")
    unique("agency group", [group.id for group in catalogue.agencies], located, "agencies")
    unique(
        "portal prefix", [portal.prefix for portal in catalogue.portals], located, "portals", field="prefix"
    )
    for index, link in enumerate(catalogue.links):
        if sum(link.background.values()) + link.not_found + link.mismatch > 1:
            raise located.error(f"the shares of link `{link.id}` add up to more than 1", "links", index)
        if link.state == "unconnected" and link.probe_seconds is None:
            raise located.error(
                f"link `{link.id}` is unconnected: without `probe_seconds` it never gets a request",
                "links",
                index,
            )
    for index, portal in enumerate(catalogue.portals):
        for role, link_id in portal.lookups.items():
            known("link", [link_id], links, located, "portals", index, "lookups", role)
    _check_services(catalogue, located)
    services = [service.id for group in catalogue.services for service in group.all()]
    there = {name for group in catalogue.agencies for name in (group.id, *group.ids())}
    for index, portal in enumerate(catalogue.portals):
        known("service", portal.offices, services, located, "portals", index, "offices")
        for service, offices in portal.offices.items():
            known("agency", offices, there, located, "portals", index, "offices", service)


def _check_services(catalogue: Catalogue, located: Located) -> None:
    roles = {role for portal in catalogue.portals for role in portal.lookups}
    seen: dict[str, int] = {}
    for g, group in enumerate(catalogue.services):
        for s, service in enumerate(group.services):
            if service.id in seen:
                raise located.error(
                    f"service `{service.id}` is defined twice", "services", g, "services", s, "id"
                )
            seen[service.id] = g
            for field in ("lookups", "settling"):
                known("lookup", getattr(service, field), roles, located, "services", g, "services", s, field)
    for g, group in enumerate(catalogue.services):
        known("service", group.members, seen, located, "services", g, "members")
        known("lookup", group.lookups, roles, located, "services", g, "lookups")
        if group.numbered and not group.full_count + group.partial_count:
            raise located.error("a numbered group needs a count", "services", g)


def known(what: str, names: Iterable[str], there: Iterable[str], located: Located, *where: str | int) -> None:
    """Raise `LocatedError` at the first of some names that is not in ``there``, listing the valid ones.

    ``where`` is the path of the names: a list, a mapping by name, or a single name.
    """
    there = set(there)
    for index, name in enumerate(names):
        if name not in there:
            by_name = located.has(*where, name)
            raise located.error(
                f"unknown {what} `{name}`; {one_of(name, there)}", *where, name if by_name else index
            )


def unique(what: str, ids: list[str], located: Located, *where: str, field: str = "id") -> None:
    """Raise `LocatedError` at the second of two equal identifiers."""
    seen: set[str] = set()
    for index, name in enumerate(ids):
        if name in seen:
            raise located.error(f"{what} `{name}` is defined twice", *where, index, field)
        seen.add(name)
