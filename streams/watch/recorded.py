"""The metrics that `record` would export for a log, from the figures of a temporary ledger.

Once per minute of event time the results so far are written and the figures queried, as `record` does.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from streams import telemetry
from streams.ledger.read.incidents import open_shared_incidents
from streams.ledger.read.present import present
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url
from streams.model.canonical import encode
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.model.topics import OUTAGES, WINDOWS
from streams.telemetry.labels import LISTED_CLOSED, LISTED_OPEN

EVERY_MS: Final = 60_000


class Recorded:
    """A ledger in a new file; call `close` when done."""

    def __init__(self, path: Path) -> None:
        self._engine = open_ledger(sqlite_url(path), create=True)
        self._waiting: list[Record] = []
        self._offsets = {WINDOWS: 0, OUTAGES: 0}
        self._due_ms = 0

    def take(self, windows: Iterable[Window], outages: Iterable[Outage], at_ms: int) -> None:
        """Add what was published at an event time."""
        for topic, results in ((WINDOWS, windows), (OUTAGES, outages)):
            self._add(topic, results, at_ms)

    def tell(self, at_ms: int) -> Iterator[telemetry.Occurrence]:
        """Yield the ledger's metrics if a minute of event time has passed and something new was taken."""
        if at_ms < self._due_ms or not self._waiting:
            return
        self._due_ms = at_ms + EVERY_MS
        waiting, self._waiting = self._waiting, []
        apply_records(self._engine, waiting)
        with reading(self._engine) as connection:
            yield telemetry.SharedIncidents(open_shared_incidents(connection))
            found = present(connection, second_person=True, most_open=LISTED_OPEN, most_closed=LISTED_CLOSED)
        if found is not None:
            ratios = found.availability(), found.coverage()
            yield telemetry.LedgerShown(found.until_ms, *ratios, found.outages)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def _add(self, topic: str, results: Iterable[Any], at_ms: int) -> None:
        for result in results:
            offset = self._offsets[topic]
            self._waiting.append(Record(topic, 0, offset, at_ms, result.link.encode(), encode(result)))
            self._offsets[topic] = offset + 1
