"""Which links, portals, agencies and services the ledger knows; questions about others are refused.

Otherwise a misspelt name would have an availability of 100 %, since nothing of that name was ever down.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

import sqlalchemy as sa

from streams.ledger.store.calendars import calendars_of
from streams.ledger.store.days import link_lives
from streams.ledger.store.rows import exclusion_decoder, outage_decoder
from streams.ledger.store.schema import exclusion_revisions, outage_revisions, outage_scopes, outages
from streams.model.exclusion import EVERY_LINK
from streams.model.hours.calendar import Calendar
from streams.model.incidents import ends_of

Scope = Literal["link", "portal", "agency", "service", "calendar"]


class UnknownNameError(LookupError):
    """A name that the ledger does not know.

    The message gives the name and the most similar known one; ``detail`` is the same without the given name,
    which may be arbitrary text.
    """

    def __init__(self, scope: Scope, name: str, known: Iterable[str]) -> None:
        near = _nearest(name, known)
        self.scope: Scope = scope
        self.near = near
        hint = f"; the nearest it knows is {near!r}" if near is not None else ""
        self.detail = f"the ledger knows no such {scope}{hint}"
        super().__init__(f"the ledger knows no {scope} {name!r}{hint}")


def require_known(
    connection: sa.Connection,
    *,
    link: str | None = None,
    portal: str | None = None,
    agency: str | None = None,
    service: str | None = None,
    as_of_ms: int | None = None,
) -> None:
    """Check that the ledger knows every name given.

    A link is known by its windows or outages, a portal by a link of its own, an agency and a service by an
    outage that names it, or named it at ``as_of_ms``.

    Raises:
        UnknownNameError: a name is unknown.
    """
    if link is not None and link not in link_lives(connection):
        _require("link", link, _links(connection))
    if portal is not None:
        _require("portal", portal, {ends_of(known)[0] for known in _links(connection)} - {""})
    for scope, name in (("agency", agency), ("service", service)):
        if name is not None and not _is_named(connection, scope, name):
            known = set(
                connection.scalars(
                    sa.select(outage_scopes.c.name).where(outage_scopes.c.scope == scope).distinct()
                )
            )
            if as_of_ms is not None:
                known |= _named_by(connection, scope, as_of_ms)
            _require("agency" if scope == "agency" else "service", name, known)


def require_link(connection: sa.Connection, link: str) -> None:
    """Check that an exclusion may name a link: ``*``, a known link, or one that an exclusion named before.

    Raises:
        UnknownNameError: the link is none of these.
    """
    if link == EVERY_LINK or link in link_lives(connection):
        return
    named = map(exclusion_decoder.decode, connection.scalars(sa.select(exclusion_revisions.c.body)))
    _require("link", link, _links(connection) | {exclusion.link for exclusion in named})


def known_calendar(connection: sa.Connection, name: str) -> Calendar:
    """Return the ledger's calendar of that name.

    Raises:
        UnknownNameError: there is none.
    """
    calendars = calendars_of(connection)
    _require("calendar", name, set(calendars))
    return calendars[name]


def _require(scope: Scope, name: str, known: set[str]) -> None:
    if name not in known:
        raise UnknownNameError(scope, name, known)


def _links(connection: sa.Connection) -> set[str]:
    return {*link_lives(connection), *connection.scalars(sa.select(outages.c.link).distinct())}


def _is_named(connection: sa.Connection, scope: str, name: str) -> bool:
    if not name.isprintable():  # a driver may not accept it; the full list of names is searched instead
        return False
    statement = sa.select(outage_scopes.c.outage_id).where(
        outage_scopes.c.scope == scope, outage_scopes.c.name == name
    )
    return connection.execute(statement.limit(1)).first() is not None


def _named_by(connection: sa.Connection, scope: str, as_of_ms: int) -> set[str]:
    """Return all names in revisions published by a moment; needed only if the last revisions lack a name."""
    bodies = connection.scalars(
        sa.select(outage_revisions.c.body).where(outage_revisions.c.detected_at_ms <= as_of_ms)
    )
    revisions = map(outage_decoder.decode, bodies)
    return {name for one in revisions for name in (one.agencies if scope == "agency" else one.services)}


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the most similar known name, ignoring case, or None if none is similar.

    >>> _nearest("quan-l", ["quan-1", "thu-duc"]), _nearest("HCMC>npd", ["hcmc > npd"]), _nearest("x", ["q"])
    ('quan-1', 'hcmc > npd', None)
    """
    by_folded = {one.casefold(): one for one in sorted(known, reverse=True)}
    near = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[near[0]] if near else None
