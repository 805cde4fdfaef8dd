"""Occurrences at the pipeline's end: the ledger and its readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from streams.model.incidents import Incident
from streams.telemetry.contract import (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    INCIDENT_LINK,
    LEDGER_ROWS,
    LINK_MAINTENANCE,
    LINK_RETIRED,
)
from streams.telemetry.health import Health
from streams.telemetry.hub import Level
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class LedgerWritten:
    """A batch was written to the ledger in one transaction; ``rows`` counts new rows by table."""

    name: ClassVar[str] = "ledger_written"
    level: ClassVar[Level] = "debug"
    rows: Mapping[str, int]

    def fields(self) -> Mapping[str, object]:
        """Return the rows by table."""
        return {"rows": dict(self.rows)}

    def move(self, store: Store, _stage: str, /) -> None:
        """Count the rows."""
        for table, count in self.rows.items():
            store.add(LEDGER_ROWS, (table,), count)


@dataclass(frozen=True, slots=True)
class SharedIncidents:
    """The open incidents of several links, as the ledger groups them now; those no longer open are gone."""

    name: ClassVar[str] = "shared_incidents"
    incidents: Sequence[Incident]

    @property
    def level(self) -> Level:
        """Warn while links are down together."""
        return "warning" if self.incidents else "info"

    def fields(self) -> Mapping[str, object]:
        """Return each incident's cause and links."""
        return {
            "incidents": {
                one.incident_id: {"common_cause": one.common_cause, "links": one.links}
                for one in self.incidents
            }
        }

    def move(self, store: Store, _stage: str, /) -> None:
        """Show each link of each incident, and nothing of those that ended."""
        shown = {
            (one.incident_id, one.common_cause or "unknown", link)
            for one in self.incidents
            for link in one.links
        }
        for labels in store.labels(INCIDENT_LINK) - shown:
            store.forget(INCIDENT_LINK, labels)
        for labels in shown:
            store.set(INCIDENT_LINK, labels, 1)


@dataclass(frozen=True, slots=True)
class LinksJudged:
    """Which links are under announced maintenance now, and which are retired."""

    name: ClassVar[str] = "links_judged"
    level: ClassVar[Level] = "info"
    maintenance: Sequence[str]
    retired: Sequence[str]

    def fields(self) -> Mapping[str, object]:
        """Return the links."""
        return {"maintenance": list(self.maintenance), "retired": list(self.retired)}

    def move(self, store: Store, _stage: str, /) -> None:
        """Show the links of each kind, and nothing of the others."""
        for metric, links in ((LINK_MAINTENANCE, self.maintenance), (LINK_RETIRED, self.retired)):
            shown = {(link,) for link in links}
            for labels in store.labels(metric) - shown:
                store.forget(metric, labels)
            for labels in shown:
                store.set(metric, labels, 1)


@dataclass(frozen=True, slots=True)
class TrailBehind:
    """Who asked what could not be written down; it is kept, and written when the ledger takes it."""

    name: ClassVar[str] = "trail_behind"
    level: ClassVar[Level] = "error"
    waiting: int
    error: str

    def fields(self) -> Mapping[str, object]:
        """Return how much waits, and why."""
        return {"waiting": self.waiting, "error": self.error}

    def move(self, store: Store, _stage: str, /) -> None:
        """Change what `/healthz` answers."""
        store.ledger(Health).fault = f"the trail of who asked is not written: {self.waiting} entries wait"


@dataclass(frozen=True, slots=True)
class TrailWritten:
    """Who asked what is written down again, all of it."""

    name: ClassVar[str] = "trail_written"
    level: ClassVar[Level] = "info"

    def fields(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}

    def move(self, store: Store, _stage: str, /) -> None:
        """Change what `/healthz` answers."""
        store.ledger(Health).fault = None


@dataclass(frozen=True, slots=True)
class RequestServed:
    """An HTTP request was answered; ``route`` is the route's pattern, never the path that was asked."""

    name: ClassVar[str] = "request_served"
    method: str
    route: str
    status: int
    seconds: float

    @property
    def level(self) -> Level:
        """Say more loudly what failed by our fault."""
        return "error" if self.status >= 500 else "info"

    def fields(self) -> Mapping[str, object]:
        """Return the request without anything its sender wrote."""
        return {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "seconds": round(self.seconds, 6),
        }

    def move(self, store: Store, _stage: str, /) -> None:
        """Count the request and its time."""
        store.add(HTTP_REQUESTS, (self.method, self.route, str(self.status)))
        store.observe(HTTP_SECONDS, (self.route,), self.seconds)
