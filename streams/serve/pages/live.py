"""The newest board for all who look, and the stream by which an open page follows it.

The board is computed once for every state of the ledger, whoever asks. The stream (server-sent events) sends
the whole of what changes on the page, so that a page that stays open asks for nothing more, and stands in the
trail of who asked once for each stream.
"""

import asyncio
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import sqlalchemy as sa

from streams.ledger.read.board import Board, Days, board, ledger_version
from streams.ledger.store.database import reading

LOOK_EVERY_SECONDS: Final = 1.0
SEND_EVERY_SECONDS: Final = 3.0
"""A page is sent again at most so often."""
SEND_AT_LEAST_SECONDS: Final = 30.0
"""And so often at least: how old the data is is part of the page."""
LASTS_SECONDS: Final = 600.0
"""Then the stream ends, and the browser asks again, with its token."""


class Boards:
    """Computes the board of a ledger when its state has changed, one computation at a time."""

    def __init__(self, ledger: sa.Engine, *, second_person: bool) -> None:
        self._ledger, self._second_person = ledger, second_person
        self._days = Days()
        self._lock = threading.Lock()
        self._board: Board | None = None

    def newest(self) -> Board:
        """Return the board of the ledger as it is."""
        with self._lock, reading(self._ledger) as connection:
            if self._board is None or self._board.version != ledger_version(connection):
                self._board = board(connection, self._days, second_person=self._second_person)
            return self._board


async def events(
    newest: Callable[[], Board],
    written: Callable[[Board], str],
    stopping: Callable[[], bool],
    *,
    packed: bool,
) -> AsyncIterator[bytes]:
    """Yield the page's changing part whenever the board changes, as server-sent events.

    ``written`` makes the part, ``stopping`` says that the server is asked to end. ``packed`` streams are
    gzip, flushed after each event.
    """
    packer = zlib.compressobj(6, wbits=31) if packed else None
    began = time.monotonic()
    sent, version = 0.0, None
    while not stopping() and time.monotonic() - began < LASTS_SECONDS:
        now = time.monotonic()
        if now - sent >= SEND_EVERY_SECONDS:
            current = await asyncio.to_thread(newest)
            if current.version != version or now - sent >= SEND_AT_LEAST_SECONDS:
                lines = (await asyncio.to_thread(written, current)).splitlines()
                body = "".join(f"data: {line}\n" for line in lines).encode() + b"\n"
                yield body if packer is None else packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH)
                sent, version = now, current.version
        await asyncio.sleep(LOOK_EVERY_SECONDS)
