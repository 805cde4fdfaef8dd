"""The trail of who asked what: kept in the ledger's database, written behind the answers' backs.

Readers must not wait for the ledger's writer, so entries are gathered and written twice a second by one
thread, and at the end. What a refused request asked for is not kept: it may be anything.
"""

import queue
import threading
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct, structs

from streams.ledger.store.database import writing
from streams.ledger.store.schema import audit_trail

WRITE_EVERY_SECONDS: Final = 0.5


class Entry(Struct, frozen=True):
    """One request: when, who, what was done to what, and how it ended."""

    at_ms: int
    who: str
    role: str
    action: str
    subject: str
    status: int


class Trail:
    """Gathers entries and writes them."""

    def __init__(self, ledger: sa.Engine) -> None:
        self._ledger = ledger
        self._entries: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-trail", daemon=True)

    def start(self) -> None:
        """Begin writing."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def add(self, entry: Entry) -> None:
        """Note a request."""
        self._entries.put(entry)

    def flush(self) -> None:
        """Write what was gathered."""
        rows: list[dict[str, Any]] = []
        while not self._entries.empty():
            rows.append(structs.asdict(self._entries.get()))
        if rows:
            with writing(self._ledger) as connection:
                connection.execute(audit_trail.insert(), rows)

    def _run(self) -> None:
        while not self._stop.wait(WRITE_EVERY_SECONDS):
            self.flush()
