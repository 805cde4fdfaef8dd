"""Incidents as of a moment: the stored ones, and new groups around outages revised since then."""

from collections.abc import Mapping

import sqlalchemy as sa

from streams.ledger.read.reach import earliest_start_ms
from streams.ledger.read.standing import Standing
from streams.ledger.store.regroup import edges_between, incidents_around
from streams.ledger.store.rows import select_in
from streams.ledger.store.schema import incidents, outages
from streams.model.incidents import Incident, OutageEdge
from streams.model.outage import Outage


class Grouping:
    """Which incident each outage belonged to as of a moment, if that differs from now.

    ``fresh`` are the incidents of that moment, which replace those in ``gone``; ``placed`` maps their outages
    to them.
    """

    def __init__(self, standing: Standing) -> None:
        self.fresh: list[Incident] = []
        self.gone: set[str] = set()
        self.placed: Mapping[str, str] = {}
        if standing.question.as_of_ms is None:
            return
        connection, otherwise = standing.connection, standing.revised.keys()
        published = outages.c.first_detected_ms <= standing.question.as_of_ms
        now = select_in(connection, sa.select(outages), outages.c.outage_id, list(otherwise))
        self.gone |= {row.incident_id for row in now if row.incident_id is not None}
        self.gone |= _reaching_beyond(standing)
        former = select_in(connection, sa.select(outages).where(published), outages.c.incident_id, self.gone)
        members = {
            row.outage_id: (row.start_ms, row.end_ms) for row in former if row.outage_id not in otherwise
        }
        stood = [_edge(one) for one in standing.stood()]
        members |= {edge.outage_id: (edge.start_ms, edge.end_ms) for edge in stood}
        if not members:
            return

        def edges(low: int | None, high: int | None) -> list[OutageEdge]:
            now = edges_between(connection, low, high, published)
            return [edge for edge in now if edge.outage_id not in otherwise] + [
                edge
                for edge in stood
                if (low is None or edge.end_ms is None or edge.end_ms >= low)
                and (high is None or edge.start_ms <= high)
            ]

        self.fresh = incidents_around(connection, members, edges)
        self.placed = {
            outage_id: incident.incident_id for incident in self.fresh for outage_id in incident.outage_ids
        }
        beside = select_in(
            connection, sa.select(outages.c.incident_id), outages.c.outage_id, list(self.placed)
        )
        self.gone |= {row.incident_id for row in beside if row.incident_id is not None}


def _reaching_beyond(standing: Standing) -> set[str]:
    """Return incidents that began within the period and contain outages published after the moment."""
    until_ms = standing.question.until_ms
    statement = (
        sa.select(incidents.c.incident_id)
        .where(
            incidents.c.start_ms >= earliest_start_ms(standing.connection, incidents, until_ms),
            incidents.c.start_ms < until_ms,
            sa.or_(incidents.c.end_ms > until_ms, incidents.c.end_ms.is_(None)),
            outages.c.first_detected_ms > standing.question.as_of_ms,
        )
        .join(outages, outages.c.incident_id == incidents.c.incident_id)
        .distinct()
    )
    return set(standing.connection.scalars(statement))


def _edge(outage: Outage) -> OutageEdge:
    return OutageEdge(*(getattr(outage, name) for name in OutageEdge.__struct_fields__))
