"""Incidents of the ledger that are open now."""

import sqlalchemy as sa

from streams.ledger.store.schema import incidents
from streams.model.incidents import Incident


def open_shared_incidents(connection: sa.Connection) -> list[Incident]:
    """Return the open incidents with several links down, by start; their outages' ids are left empty."""
    rows = connection.execute(
        sa.select(incidents)
        .where(incidents.c.end_ms.is_(None), incidents.c.pattern == "shared", incidents.c.kind == "down")
        .order_by(incidents.c.start_ms, incidents.c.incident_id)
    )
    return [
        Incident(
            incident_id=row.incident_id,
            pattern=row.pattern,
            common_cause=row.common_cause,
            kind=row.kind,
            start_ms=row.start_ms,
            end_ms=None,
            links=row.links.split("\n"),
            outage_ids=[],
            changes=row.changes,
        )
        for row in rows
    ]
