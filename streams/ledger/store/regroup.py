"""Keeps the incidents table up to date: when outages change, their neighbourhood is grouped again.

Grouping chains from outage to outage, so the neighbourhood is widened until no incident with a changed outage
reaches its edge; outages beyond it cannot belong to such an incident.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import sqlalchemy as sa

from streams.ledger.store.days import link_lives
from streams.ledger.store.rows import chunks, select_in, upsert
from streams.ledger.store.schema import incidents, outages
from streams.model.incidents import Incident, IncidentSettings, OutageEdge, group
from streams.model.outage import Outage

SETTINGS: Final = IncidentSettings()
Edges = Callable[[int | None, int | None], list[OutageEdge]]
"""Returns the outages that touch ``[low, high]``; None leaves a side open."""
REACH_MS: Final = max(SETTINGS.flapping_gap_ms, SETTINGS.shared_start_ms) + 1


def regroup(connection: sa.Connection, changed: Iterable[Outage], previous: Collection[str]) -> None:
    """Write the incidents around changed outages; ``previous`` are the incidents they belonged to before."""
    former = select_in(connection, sa.select(outages), outages.c.incident_id, list(set(previous)))
    members = {row.outage_id: (row.start_ms, row.end_ms) for row in former}
    members |= {outage.outage_id: (outage.start_ms, outage.end_ms) for outage in changed}
    fresh = incidents_around(connection, members, lambda low, high: edges_between(connection, low, high))
    gone = set(previous)
    for chunk in chunks([outage_id for incident in fresh for outage_id in incident.outage_ids]):
        gone.update(
            incident_id
            for incident_id in connection.scalars(
                sa.select(outages.c.incident_id).where(outages.c.outage_id.in_(chunk)).distinct()
            )
            if incident_id is not None
        )
    for chunk in chunks(gone):
        connection.execute(incidents.delete().where(incidents.c.incident_id.in_(chunk)))
    upsert(connection, incidents, [incident_row(incident) for incident in fresh])
    placed = [
        {"id": outage_id, "incident": incident.incident_id}
        for incident in fresh
        for outage_id in incident.outage_ids
    ]
    if placed:
        connection.execute(
            outages.update()
            .where(outages.c.outage_id == sa.bindparam("id"))
            .values(incident_id=sa.bindparam("incident")),
            placed,
        )


def incident_row(incident: Incident) -> dict[str, object]:
    """Return an incident's row."""
    return {
        "incident_id": incident.incident_id,
        "pattern": incident.pattern,
        "common_cause": incident.common_cause,
        "kind": incident.kind,
        "start_ms": incident.start_ms,
        "end_ms": incident.end_ms,
        "links": "\n".join(incident.links),
        "outages": len(incident.outage_ids),
        "changes": incident.changes,
    }


def group_all(connection: sa.Connection) -> list[Incident]:
    """Return all incidents, grouped from all outages at once."""
    return group(edges_between(connection, None, None), list(link_lives(connection)), SETTINGS)


def incidents_around(
    connection: sa.Connection, members: Mapping[str, tuple[int, int | None]], edges: Edges
) -> list[Incident]:
    """Return the incidents that contain the given outages, which map id to start and end."""
    found = _neighbourhood(connection, members, edges)
    return [incident for incident in found if not members.keys().isdisjoint(incident.outage_ids)]


def _neighbourhood(
    connection: sa.Connection, members: Mapping[str, tuple[int, int | None]], edges: Edges
) -> list[Incident]:
    known_links = list(link_lives(connection))
    low = min(start for start, _ in members.values()) - REACH_MS
    ends = [end for _, end in members.values()]
    high = None if None in ends else max(end for end in ends if end is not None) + REACH_MS
    while True:
        incidents_found = group(edges(low, high), known_links, SETTINGS)
        touched = [i for i in incidents_found if not members.keys().isdisjoint(i.outage_ids)]
        if not touched:
            return []
        wanted_low = min(low, *(incident.start_ms - REACH_MS for incident in touched))
        ends = [incident.end_ms for incident in touched]
        wanted_high = (
            None
            if high is None or None in ends
            else max(high, *(end + REACH_MS for end in ends if end is not None))
        )
        if (wanted_low, wanted_high) == (low, high):
            return incidents_found
        low, high = wanted_low, wanted_high


def edges_between(
    connection: sa.Connection, low: int | None, high: int | None, *conditions: sa.ColumnElement[bool]
) -> list[OutageEdge]:
    """Return the outages that touch ``[low, high]`` (None: open) and meet the conditions."""
    statement = sa.select(
        outages.c.outage_id,
        outages.c.link,
        outages.c.kind,
        outages.c.fault_domain,
        outages.c.start_ms,
        outages.c.end_ms,
        outages.c.changes,
    ).where(outages.c.status != "retracted", *conditions)
    if low is not None:
        statement = statement.where(sa.or_(outages.c.end_ms >= low, outages.c.end_ms.is_(None)))
    if high is not None:
        statement = statement.where(outages.c.start_ms <= high)
    return [OutageEdge(*row) for row in connection.execute(statement)]
