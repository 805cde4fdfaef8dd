"""Which outages match a question: as SQL conditions, and as a test of one revision."""

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.question import Question
from streams.ledger.store.schema import outage_scopes, outages
from streams.model.outage import Outage


class Narrowing(Struct, frozen=True):
    """Filters for the outages of a period; open outages pass any minimum duration."""

    kind: str | None = None
    min_duration_ms: int = 0
    retracted: bool = False
    incident_id: str | None = None


def about(
    connection: sa.Connection, question: Question, table: sa.Table = outages
) -> list[sa.ColumnElement[bool]]:
    """Return SQL conditions for a question's link, portal, agency and service.

    ``table`` has the columns ``link`` and ``outage_id``.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if question.link is not None:
        conditions.append(table.c.link == question.link)
    if question.portal is not None:
        names = connection.scalars(sa.select(outages.c.link).distinct())
        conditions.append(table.c.link.in_([link for link in names if question.about(link)]))
    for scope, name in (("agency", question.agency), ("service", question.service)):
        if name is not None:
            naming = sa.select(outage_scopes.c.outage_id).where(
                outage_scopes.c.scope == scope, outage_scopes.c.name == name
            )
            if table is outages:
                conditions.append(outages.c.outage_id.in_(naming))
            else:
                # Begins with those named: SQLite would read all rows, and look for each among them.
                conditions.append(table.c.outage_id == naming.offset(0).subquery().c.outage_id)
    return conditions


def narrowed(narrowing: Narrowing) -> list[sa.ColumnElement[bool]]:
    """Return SQL conditions for a narrowing, except for its incident."""
    conditions: list[sa.ColumnElement[bool]] = []
    if narrowing.kind is not None:
        conditions.append(outages.c.kind == narrowing.kind)
    if narrowing.min_duration_ms:
        lasted = outages.c.end_ms - outages.c.start_ms >= narrowing.min_duration_ms
        conditions.append(sa.or_(lasted, outages.c.end_ms.is_(None)))
    if not narrowing.retracted:
        conditions.append(outages.c.status != "retracted")
    return conditions


def is_meant(outage: Outage, question: Question, narrowing: Narrowing) -> bool:
    """Apply the same conditions to an earlier revision, except for the incident."""
    lasted_ms = None if outage.end_ms is None else outage.end_ms - outage.start_ms
    return (
        question.about(outage.link)
        and outage.start_ms < question.until_ms
        and (outage.end_ms is None or outage.end_ms > question.start_ms)
        and question.agency in (None, *outage.agencies)
        and question.service in (None, *outage.services)
        and narrowing.kind in (None, outage.kind)
        and (lasted_ms is None or lasted_ms >= narrowing.min_duration_ms)
        and (narrowing.retracted or outage.status != "retracted")
    )
