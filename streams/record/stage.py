"""`record` as a process: the three topics into the ledger, in batches, each one transaction.

The ledger itself holds how far each partition was read, in the transaction that holds what was read: on
assignment reading goes on there, whatever Kafka's own commit says. That commit only serves whoever watches
the lag. Whenever history grew, a tree head is signed, so that what was recorded can be held against it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from streams import telemetry
from streams.kafka.topics import Topics
from streams.ledger.proof.heads import SignedHead, sign_head
from streams.ledger.store.apply import EXCLUSIONS, OUTAGES, WINDOWS, Applied, apply_records
from streams.ledger.store.database import reading, writing
from streams.ledger.store.schema import positions
from streams.ledger.store.settle import settle_after_upgrade
from streams.logs.line import original_ms
from streams.model.record import Record

GROUP: Final = "portallink-record"
FETCH_BYTES: Final = 8 * 1024 * 1024


class RecordSettings(Struct, frozen=True):
    """How `record` works: records a batch at most, and how often heads are signed.

    A head is signed once history has grown and the last one is ``head_seconds`` old, or where only windows
    came, ``idle_head_seconds``.
    """

    max_records: int = 20_000
    head_seconds: float = 10.0
    idle_head_seconds: float = 3_600.0


class RecordStage(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The stage. `run` works until cancelled; what was read by then is in the ledger, or will be read again.

    ``publish`` is called with every head signed.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        ledger: sa.Engine,
        key: Ed25519PrivateKey,
        *,
        settings: RecordSettings | None = None,
        topics: Topics | None = None,
        group: str = GROUP,
        publish: Callable[[SignedHead], None] = lambda _: None,
    ) -> None:
        self._ledger, self._key, self._publish = ledger, key, publish
        self._settings = settings or RecordSettings()
        self._declared = declared_names(topics or Topics())
        self._assigned: set[TopicPartition] = set()
        self._read_until: dict[TopicPartition, int] = {}
        self._grown = self._moved = False
        self._signed_at = float("-inf")
        self._consumer = AIOKafkaConsumer(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            **connection,
        )

    async def run(self) -> None:
        """Read, write, sign."""
        await asyncio.to_thread(self._upgrade)
        try:
            await self._consumer.start()
            self._consumer.subscribe(list(self._declared), listener=self)
            while True:
                batches = await self._consumer.getmany(timeout_ms=500, max_records=self._settings.max_records)
                if batches:
                    await self._apply(batches)
                await self._sign_when_due()
        finally:
            await self._consumer.stop()
            if self._grown:
                self._sign()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget the partitions: their next reader asks the ledger where to go on."""
        gone = sorted(self._assigned & set(revoked))
        self._assigned -= set(gone)
        telemetry.emit(telemetry.PartitionsRevoked(tuple(map(tuple, gone)), len(self._assigned)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on in each partition where the ledger's own position stands."""
        known = await asyncio.to_thread(self._positions)
        new = sorted(set(assigned) - self._assigned)
        for partition in new:
            source = (self._declared[partition.topic], partition.partition)
            self._consumer.seek(partition, known.get(source, 0))
        self._assigned |= set(new)
        telemetry.emit(telemetry.PartitionsAssigned(tuple(map(tuple, new)), len(self._assigned)))

    async def _apply(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        records = [
            record_of(message, self._declared[partition.topic])
            for partition, messages in sorted(batches.items())
            for message in messages
        ]
        applied = await asyncio.to_thread(apply_records, self._ledger, records)
        self._read_until |= {partition: messages[-1].offset + 1 for partition, messages in batches.items()}
        self._tell(applied)
        self._moved = True
        self._grown = self._grown or bool(applied.rows.keys() - {"windows"})
        try:
            await self._consumer.commit()
        except (CommitFailedError, IllegalStateError):
            return  # the partitions have moved on: their new reader asks the ledger

    async def _sign_when_due(self) -> None:
        wait_seconds = self._settings.head_seconds if self._grown else self._settings.idle_head_seconds
        if self._moved and time.monotonic() - self._signed_at >= wait_seconds:
            await asyncio.to_thread(self._sign)

    def _sign(self) -> None:
        with writing(self._ledger) as connection:
            head = sign_head(connection, self._key, int(time.time() * 1000))
        self._publish(head)
        self._grown = self._moved = False
        self._signed_at = time.monotonic()

    def _upgrade(self) -> None:
        with writing(self._ledger) as connection:
            settle_after_upgrade(connection)

    def _positions(self) -> dict[tuple[str, int], int]:
        with reading(self._ledger) as connection:
            rows = connection.execute(sa.select(positions)).all()
        return {(row.topic, row.partition): row.next_offset for row in rows}

    def _tell(self, applied: Applied) -> None:
        telemetry.emit(telemetry.RecordsRead("applied", applied.applied))
        telemetry.emit(telemetry.RecordsRead("duplicate", applied.duplicate))
        for refusal in applied.refused:
            telemetry.emit(
                telemetry.RecordRejected(
                    "wrong_shape", refusal.topic, refusal.partition, refusal.offset, refusal.reason
                )
            )
        telemetry.emit(telemetry.LedgerWritten(applied.rows))
        lags = {
            tuple(partition): max(end_offset - self._read_until[partition], 0)
            for partition in self._assigned & self._read_until.keys()
            if (end_offset := self._consumer.highwater(partition)) is not None
        }
        telemetry.emit(telemetry.ConsumerLag(lags))


def declared_names(topics: Topics) -> dict[str, str]:
    """Map the names in use of the topics that the ledger reads to the declared ones."""
    return {topics.outages: OUTAGES, topics.windows: WINDOWS, topics.exclusions: EXCLUSIONS}


def record_of(message: Any, topic: str) -> Record:
    """Return a consumer's record under its topic's declared name."""
    logged_at_ms = original_ms(message.headers, message.timestamp)
    return Record(topic, message.partition, message.offset, logged_at_ms, message.key, message.value or b"")


def append_to(path: Path) -> Callable[[SignedHead], None]:
    """Return a publisher that appends each head to a file, one JSON object a line."""

    def publish(head: SignedHead) -> None:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(head) + b"\n")

    return publish
