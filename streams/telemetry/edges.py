"""Occurrences at the pipeline's end: the ledger and its readers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from streams.telemetry.contract import HTTP_REQUESTS, HTTP_SECONDS, LEDGER_ROWS
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
