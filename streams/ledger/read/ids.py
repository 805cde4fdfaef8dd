"""Finds ids in the ledger by their first characters."""

from typing import Final

import sqlalchemy as sa

from streams.ledger.store.schema import exclusion_revisions, outages
from streams.model.short import meant, short_length

MOST_ALIKE: Final = 1_000


def outage_meant(connection: sa.Connection, typed: str) -> str:
    """Return the id of an outage, given in full or by its beginning. Raises `UnclearIdError`."""
    return _meant(connection, outages.c.outage_id, typed, "outage", "portallink outages list")


def exclusion_meant(connection: sa.Connection, typed: str) -> str:
    """Return the id of an exclusion, given in full or by its beginning. Raises `UnclearIdError`."""
    column = exclusion_revisions.c.exclusion_id
    return _meant(connection, column, typed, "exclusion", "portallink exclusions list")


def outage_id_length(connection: sa.Connection) -> int:
    """Return how many first characters distinguish all outages of the ledger."""
    return short_length(connection.scalars(sa.select(outages.c.outage_id)))


def exclusion_id_length(connection: sa.Connection) -> int:
    """Return how many first characters distinguish all exclusions of the ledger."""
    return short_length(connection.scalars(sa.select(exclusion_revisions.c.exclusion_id).distinct()))


def _meant(connection: sa.Connection, column: "sa.Column[str]", typed: str, what: str, see: str) -> str:
    if not typed.isprintable():  # a driver may refuse it
        return meant(typed, [], what, see)
    begins_so = sa.func.substr(column, 1, len(typed)) == typed
    found = connection.scalars(sa.select(column).where(begins_so).distinct().limit(MOST_ALIKE))
    return meant(typed, list(found), what, see)
