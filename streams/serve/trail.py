"""The trail of who asked what: kept in the ledger's database, written by a background thread.

Readers must not wait for the ledger's writer, so entries are gathered and written twice a second by one
thread, and at the end. While the ledger cannot take them they wait here, and health says so; when too many
wait, nobody is answered any more. What still waits at the end goes into a file, which the next start reads:
an entry is lost only with the half second before a kill. What a refused request asked for is not kept, as it
may be anything.
"""

import os
import threading
from collections import deque
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct, structs
from sqlalchemy.exc import SQLAlchemyError

from streams import telemetry
from streams.ledger.store.database import writing
from streams.ledger.store.schema import audit_trail

WRITE_EVERY_SECONDS: Final = 0.5
WAIT_MS: Final = 2_000
"""How long the trail waits for another writer before it says that it is behind."""
MOST_WAITING: Final = 100_000
BATCH_ENTRIES: Final = 1_000


class Entry(Struct, frozen=True):
    """One request: when, who, what was done to what, and how it ended."""

    at_ms: int
    who: str
    role: str
    action: str
    subject: str
    status: int


class Trail:
    """Gathers entries and writes them. Order of calls: `start`, any number of `add`, `stop`.

    ``waiting_file`` holds, from one run to the next, what could not be written; None keeps nothing.
    """

    def __init__(self, ledger: sa.Engine, waiting_file: Path | None = None) -> None:
        self._ledger, self._file = ledger, waiting_file
        self._entries: deque[Entry] = deque()
        self._writing = threading.Lock()
        self._failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-trail", daemon=True)

    @property
    def waiting(self) -> int:
        """How many entries are not written yet."""
        return len(self._entries)

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._failing

    @property
    def full(self) -> bool:
        """Whether so many entries wait that no further request may be answered."""
        return self.waiting >= MOST_WAITING

    def start(self) -> None:
        """Take up what the run before left, and begin writing."""
        if self._file is not None and self._file.exists():
            lines = self._file.read_bytes().splitlines()
            self._entries.extend(msgspec.json.decode(line, type=Entry) for line in lines if line)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, into the file if the ledger does not take it, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()
        self._keep()

    def add(self, entry: Entry) -> None:
        """Note a request."""
        self._entries.append(entry)

    def flush(self) -> bool:
        """Write what was gathered; return whether the ledger took it all. What it did not take waits."""
        with self._writing:
            try:
                while batch := [self._entries[at] for at in range(min(BATCH_ENTRIES, len(self._entries)))]:
                    with writing(self._ledger, wait_ms=WAIT_MS) as connection:
                        connection.execute(audit_trail.insert(), [structs.asdict(entry) for entry in batch])
                    for _ in batch:
                        self._entries.popleft()
            except SQLAlchemyError as error:
                self._failing = True
                reason = type(getattr(error, "orig", None) or error).__name__
                telemetry.emit(telemetry.TrailBehind(self.waiting, reason))
                return False
        if self._failing:
            self._failing = False
            telemetry.emit(telemetry.TrailWritten())
        return True

    def _keep(self) -> None:
        """Replace the file by what waits now, in one step; remove it where nothing does."""
        if self._file is None:
            return
        if not self._entries:
            self._file.unlink(missing_ok=True)
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_name(f"{self._file.name}.partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(msgspec.json.encode(entry) + b"\n" for entry in self._entries)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file)

    def _run(self) -> None:
        while not self._stop.wait(WRITE_EVERY_SECONDS):
            if self.flush() and self._file is not None and self._file.exists():
                self._keep()
