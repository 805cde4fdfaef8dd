"""The ledger as `record` uses it: transactions in threads, heads signed when due, metrics updated."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from sqlalchemy.exc import InterfaceError, OperationalError

from streams import telemetry
from streams.kafka.worker import RetryLaterError
from streams.ledger.proof.heads import SignedHead, sign_head
from streams.ledger.read.incidents import open_shared_incidents
from streams.ledger.read.now import Judged, judged_at
from streams.ledger.read.present import present
from streams.ledger.store.apply import Applied, apply_records, move_position
from streams.ledger.store.database import reading, writing
from streams.ledger.store.schema import positions
from streams.ledger.store.settle import settle_after_upgrade
from streams.model.record import Record
from streams.telemetry.labels import LISTED_CLOSED, LISTED_OPEN

T = TypeVar("T")
JUDGED_SECONDS: Final = 5.0
"""How often to look up which links are under maintenance or retired."""
SHOWN_SECONDS: Final = 5.0
"""The shortest interval between updates of the ledger's figures, while it changes."""
SHOWN_SHARE: Final = 20
"""The pause after an update, as a multiple of its duration: a large ledger spends 5 % of its time on it."""


class RecordSettings(Struct, frozen=True):
    """Settings of `record`: the most records per batch, and how often heads are signed.

    A head is signed when history has grown and the last head is ``head_seconds`` old, or
    ``idle_head_seconds`` if only windows were added. ``second_person`` says whether an exclusion after the
    fact needs a second person's approval before it counts in the figures shown.
    """

    max_records: int = 20_000
    head_seconds: float = 10.0
    idle_head_seconds: float = 3_600.0
    second_person: bool = True


class Ledger:
    """The ledger as the worker uses it. Database calls block, so each runs in a thread.

    ``publish`` is called with every signed head.
    """

    def __init__(
        self,
        engine: sa.Engine,
        key: Ed25519PrivateKey,
        settings: RecordSettings,
        publish: Callable[[SignedHead], None],
    ) -> None:
        self._engine, self._key, self._publish = engine, key, publish
        self._settings = settings
        self._grown = self._moved = self._settled = False
        self._signed_at = self._judged_at = float("-inf")
        self._judged: Judged | None = None
        self._changed, self._show_at = True, float("-inf")

    async def positions(self) -> dict[tuple[str, int], int]:
        """Return each partition's next offset, by declared topic; first finish any pending upgrade."""
        if not self._settled:
            await self._call(self._settle)
        return await self._call(self._positions)

    async def move_position(self, topic: str, partition: int, next_offset: int) -> None:
        """Move the read position of a partition past records that are gone."""
        await self._call(lambda: move_position(self._engine, topic, partition, next_offset))

    async def apply(self, records: list[Record]) -> Applied:
        """Write records in one transaction."""
        applied = await self._call(lambda: apply_records(self._engine, records))
        self._moved = self._changed = True
        self._grown = self._grown or bool(applied.rows.keys() - {"windows"})
        if "outage_revisions" in applied.rows:
            await self._call(self._show_incidents)
        if applied.rows.keys() & {"exclusion_revisions", "retirement_revisions"}:
            self._judged_at = float("-inf")
        return applied

    async def sign_when_due(self) -> None:
        """Update the metrics, and sign a head if history has grown and the last head is old enough."""
        if time.monotonic() - self._judged_at >= JUDGED_SECONDS:
            await self._call(self._show_judgements)
        if self._changed and time.monotonic() >= self._show_at:
            await self._call(self._show_figures)
        wait_seconds = self._settings.head_seconds if self._grown else self._settings.idle_head_seconds
        if self._moved and time.monotonic() - self._signed_at >= wait_seconds:
            await self._call(self._sign)

    def finish(self) -> None:
        """Sign a last head if history has grown since the previous one."""
        if self._grown:
            self._sign()

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(function)
        except (OperationalError, InterfaceError) as error:
            raise RetryLaterError(f"the ledger does not answer: {type(error.orig).__name__}") from error

    def _sign(self) -> None:
        with writing(self._engine) as connection:
            head = sign_head(connection, self._key, int(time.time() * 1000))
        self._publish(head)
        self._grown = self._moved = False
        self._signed_at = time.monotonic()

    def _settle(self) -> None:
        with writing(self._engine) as connection:
            settle_after_upgrade(connection)
        self._settled = True
        self._show_incidents()

    def _show_incidents(self) -> None:
        """Report the links that went down together and are still down."""
        with reading(self._engine) as connection:
            telemetry.emit(telemetry.SharedIncidents(open_shared_incidents(connection)))

    def _show_judgements(self) -> None:
        """Report which links are under announced maintenance now, and which are retired."""
        with reading(self._engine) as connection:
            judged = judged_at(connection, int(time.time() * 1000))
        if judged != self._judged:
            telemetry.emit(telemetry.LinksJudged(judged.maintenance, judged.retired))
        self._judged, self._judged_at = judged, time.monotonic()

    def _show_figures(self) -> None:
        """Report the figures of today, this month and 30 days, and the open and recent outages."""
        began, self._changed = time.monotonic(), False
        with reading(self._engine) as connection:
            found = present(
                connection,
                second_person=self._settings.second_person,
                most_open=LISTED_OPEN,
                most_closed=LISTED_CLOSED,
            )
        if found is not None:
            ratios = found.availability(), found.coverage()
            telemetry.emit(telemetry.LedgerShown(found.until_ms, *ratios, found.outages))
        ended = time.monotonic()
        self._show_at = ended + max(SHOWN_SECONDS, SHOWN_SHARE * (ended - began))

    def _positions(self) -> dict[tuple[str, int], int]:
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(positions)).all()
        return {(row.topic, row.partition): row.next_offset for row in rows}
