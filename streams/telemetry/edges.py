"""Occurrences at the pipeline's end: the ledger and its readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from streams.model.incidents import Incident
from streams.model.outage import Confined, Outage
from streams.telemetry.common import Quiet
from streams.telemetry.contract import (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    INCIDENT_LINK,
    LEDGER_AVAILABILITY,
    LEDGER_COVERAGE,
    LEDGER_OUTAGE_DOSSIERS,
    LEDGER_OUTAGE_DURATION,
    LEDGER_OUTAGE_START,
    LEDGER_ROWS,
    LEDGER_UNTIL,
    LINK_MAINTENANCE,
    LINK_RETIRED,
    Metric,
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
    """All open incidents of several links, as the ledger groups them now."""

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
        """Show each link of each incident; drop those that ended."""
        shown = {
            (one.incident_id, one.common_cause or "unknown", link)
            for one in self.incidents
            for link in one.links
        }
        _show(store, INCIDENT_LINK, dict.fromkeys(shown, 1))


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
        """Show the links of each kind; drop all others."""
        for metric, links in ((LINK_MAINTENANCE, self.maintenance), (LINK_RETIRED, self.retired)):
            _show(store, metric, {(link,): 1 for link in links})


@dataclass(frozen=True, slots=True)
class LedgerShown:
    """The ledger's figures at the end of its data, ``until_ms``.

    ``availability`` and ``coverage`` are ratios by link and period; ``outages`` are the open and the recent
    ones, each as its last revision.
    """

    name: ClassVar[str] = "ledger_shown"
    level: ClassVar[Level] = "debug"
    until_ms: int
    availability: Mapping[tuple[str, str], float]
    coverage: Mapping[tuple[str, str], float]
    outages: Sequence[Outage]

    def fields(self) -> Mapping[str, object]:
        """Return until when, and how many outages are listed."""
        return {"until_ms": self.until_ms, "outages": len(self.outages)}

    def move(self, store: Store, _stage: str, /) -> None:
        """Show the figures and the outages; drop links and outages that are no longer included."""
        store.set(LEDGER_UNTIL, (), self.until_ms / 1000)
        _show(store, LEDGER_AVAILABILITY, self.availability)
        _show(store, LEDGER_COVERAGE, self.coverage)
        rows = self.outages
        _show(store, LEDGER_OUTAGE_START, {_labels(one): one.start_ms / 1000 for one in rows})
        _show(store, LEDGER_OUTAGE_DOSSIERS, {(o.outage_id, o.link): o.dossiers_affected for o in rows})
        lasted_ms = {
            (one.outage_id, one.link): (self.until_ms if one.end_ms is None else one.end_ms) - one.start_ms
            for one in rows
        }
        _show(store, LEDGER_OUTAGE_DURATION, {key: max(ms, 0) / 1000 for key, ms in lasted_ms.items()})


def _show(store: Store, metric: Metric, values: Mapping[Any, float]) -> None:
    """Set these series of a gauge, and drop all others."""
    for labels in store.labels(metric) - values.keys():
        store.forget(metric, labels)
    for labels, value in values.items():
        store.set(metric, labels, value)


def _labels(outage: Outage) -> tuple[str, ...]:
    confined = _names(outage.confined_to)
    return outage.outage_id, outage.link, outage.kind, outage.fault_domain, confined, outage.status


def _names(confined: Confined | None) -> str:
    """Return the services and agencies an outage is confined to; empty if it affects the whole link."""
    return "" if confined is None else ", ".join([*confined.services, *confined.agencies])


@dataclass(frozen=True, slots=True)
class TrailBehind:
    """Entries of the audit trail could not be written; they are kept until the ledger accepts them."""

    name: ClassVar[str] = "trail_behind"
    level: ClassVar[Level] = "error"
    waiting: int
    error: str

    def fields(self) -> Mapping[str, object]:
        """Return how many entries wait, and why."""
        return {"waiting": self.waiting, "error": self.error}

    def move(self, store: Store, _stage: str, /) -> None:
        """Change what `/healthz` answers."""
        store.ledger(Health).fault = f"the trail of who asked is not written: {self.waiting} entries wait"


@dataclass(frozen=True, slots=True)
class TrailWritten:
    """The audit trail is fully written again."""

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
    """An HTTP request was answered; ``route`` is the route's pattern, never the requested path."""

    name: ClassVar[str] = "request_served"
    method: str
    route: str
    status: int
    seconds: float

    @property
    def level(self) -> Level:
        """Server errors are errors, everything else is information."""
        return "error" if self.status >= 500 else "info"

    def fields(self) -> Mapping[str, object]:
        """Return the request without anything that the client wrote."""
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


@dataclass(frozen=True, slots=True)
class HeadPublished(Quiet):
    """A signed head was published elsewhere."""

    name: ClassVar[str] = "head_published"
    destination: str
    number: int

    def fields(self) -> Mapping[str, object]:
        """Return where, and the head's number."""
        return {"destination": self.destination, "number": self.number}


@dataclass(frozen=True, slots=True)
class HeadNotPublished(Quiet):
    """A destination did not accept a signed head; it is retried at the next attempt."""

    name: ClassVar[str] = "head_not_published"
    level: ClassVar[Level] = "warning"
    destination: str
    error: str

    def fields(self) -> Mapping[str, object]:
        """Return where, and why not."""
        return {"destination": self.destination, "error": self.error}


@dataclass(frozen=True, slots=True)
class HeadsDiverge(HeadNotPublished):
    """The ledger does not hold a head as it was published: its history was rewritten."""

    name: ClassVar[str] = "heads_diverge"
    level: ClassVar[Level] = "error"
