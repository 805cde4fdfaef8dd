"""`record` as a process: writes the result topics into the ledger, one transaction per batch.

The ledger itself stores how far each partition was read, in the same transaction as the records. On
assignment reading continues from there; Kafka's own commit only makes the lag visible. When history has grown
a tree head is signed, against which the ledger can be verified later.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import sqlalchemy as sa
from aiokafka import TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from streams import telemetry
from streams.kafka.clients import KafkaConsumer, KafkaProducer, refusal
from streams.kafka.identity import UNKNOWN_MS, first_new, is_other_log, latest_ms
from streams.kafka.loop import StageLoop
from streams.kafka.ports import Batches, Bounds, Commit
from streams.kafka.read import record_of
from streams.kafka.session import LoopSettings, Session
from streams.kafka.topics import Topics
from streams.kafka.worker import Place
from streams.ledger.proof.heads import SignedHead
from streams.ledger.store.apply import Applied
from streams.model.border import UNREADABLE
from streams.model.record import Record
from streams.model.topics import EXCLUSIONS, OUTAGES, RETIREMENTS, WINDOWS
from streams.record.ledger import Ledger, RecordSettings

GROUP: Final = "portallink-record"
FETCH_BYTES: Final = 8 * 1024 * 1024
LAST_RECORDS: Final = 1_000
"""The last records of a partition contain its latest broker time, unless brokers' clocks differ a lot."""


class LedgerPort(Protocol):
    """What the worker needs of a ledger. Every call may raise `RetryLaterError`."""

    async def positions(self) -> dict[tuple[str, int], int]:
        """Return how far each partition was read, by declared topic."""

    async def move_position(self, topic: str, partition: int, next_offset: int) -> None:
        """Move the read position of a partition."""

    async def apply(self, records: list[Record]) -> Applied:
        """Write records in one transaction."""

    async def sign_when_due(self) -> None:
        """Sign a head if one is due."""


class RecordWorker:
    """How `record` handles records: each poll is one transaction, which also moves the read positions."""

    def __init__(
        self,
        session: Session,
        ledger: LedgerPort,
        topics: Topics,
    ) -> None:
        self._ledger, self._consumer = ledger, session.consumer
        self._declared = declared_names(topics)
        self.topics: Sequence[str] = list(self._declared)
        self._read_until: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._logged_ms: dict[TopicPartition, int] = {}
        self._unanswered: dict[TopicPartition, tuple[int, int]] = {}
        """Partitions of a transaction that got no answer, with its end and the latest broker's time in it."""
        self.commit_first = False

    async def assign(
        self, places: Mapping[TopicPartition, Place], commits: Mapping[TopicPartition, Commit]
    ) -> None:
        """Continue each partition at the ledger's own position."""
        del commits
        known = await self._ledger.positions()
        # Asked after the positions: until this process has the partitions another may still write, and a
        # position beyond the end of an earlier moment would look like a log that began again.
        now = await self._consumer.bounds(list(places))
        for partition, place in places.items():
            bounds, commit = now[partition], place.commit
            at = known.get((self._declared[partition.topic], partition.partition), 0)
            self._read_until[partition] = at
            if at > bounds.end or await self._is_another(partition, at, bounds, commit):
                await self.began_again(partition, bounds)
            elif at < bounds.beginning:
                await self.head_gone(partition, bounds)

    async def _is_another(
        self, partition: TopicPartition, at: int, bounds: Bounds, commit: Commit | None
    ) -> bool:
        """Return whether the log was replaced: a record before the position is newer than all read before."""
        committed, logged_ms = at - LAST_RECORDS, UNKNOWN_MS
        if commit is not None and _logged_ms_in(commit.metadata) >= 0:
            committed, logged_ms = commit.offset, _logged_ms_in(commit.metadata)
            if await first_new(self._consumer, partition, logged_ms, bounds) < min(at, committed):
                return True
        # The ledger may have read further than the commit says: the last records give the latest time.
        since = await self._consumer.read(partition, max(committed, bounds.beginning), at)
        self._logged_ms[partition] = latest_ms(since, logged_ms)
        return False

    async def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget partitions; their next reader gets its position from the ledger."""
        for partition in partitions:
            self._read_until.pop(partition, None)
            self._committed.pop(partition, None)
            self._logged_ms.pop(partition, None)
            self._unanswered.pop(partition, None)

    async def work(self, batches: Batches) -> None:
        """Write a poll into the ledger; raise `RetryLaterError` while the database does not answer."""
        moved = await self._moved()
        batches = {one: messages for one, messages in batches.items() if one not in moved}
        records = [
            record_of(message, self._declared[partition.topic])
            for partition, messages in sorted(batches.items())
            for message in messages
        ]
        logged_ms = {
            one: latest_ms(messages, self._logged_ms.get(one, UNKNOWN_MS))
            for one, messages in batches.items()
        }
        for one, messages in batches.items():
            self._unanswered[one] = messages[-1].offset + 1, logged_ms[one]
        applied = await self._ledger.apply(records)
        self._unanswered.clear()
        for partition, messages in batches.items():
            self._read_until[partition] = messages[-1].offset + 1
        self._logged_ms |= logged_ms
        self._tell(applied)

    async def _moved(self) -> set[TopicPartition]:
        """Return the partitions whose position changed because of a transaction without an answer.

        The transaction may have been committed. Then the ledger's position is further on, in what may be
        another log. If it is beyond the transaction's end, another process wrote on: its records were logged
        later than those of the transaction, which says nothing about the log.
        """
        moved = set()
        known = await self._ledger.positions() if self._unanswered else {}
        for partition, (end, logged_ms) in list(self._unanswered.items()):
            at = known.get((self._declared[partition.topic], partition.partition), 0)
            if partition in self._read_until and at > self._read_until[partition]:
                moved.add(partition)
                last_ms = logged_ms if at <= end else UNKNOWN_MS
                self._read_until[partition], self._logged_ms[partition] = at, last_ms
                bounds = (await self._consumer.bounds([partition]))[partition]
                if await is_other_log(self._consumer, partition, at, last_ms, bounds):
                    await self.began_again(partition, bounds)
                self._consumer.seek(partition, self._read_until[partition])
            del self._unanswered[partition]
        return moved

    async def head_gone(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Skip past records that were deleted before they could be read."""
        gone = self._read_until[partition], bounds.beginning
        telemetry.emit(telemetry.RecordsLost(partition.topic, partition.partition, *gone))
        await self._read_on(partition, bounds.beginning)

    async def began_again(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Continue from the beginning of a log that replaced the one read before.

        Records that the ledger already has change nothing: it recognises revisions and windows by content.
        """
        at = self._read_until[partition], bounds.beginning
        telemetry.emit(telemetry.LogBeganAgain(partition.topic, partition.partition, *at))
        await self._read_on(partition, bounds.beginning)

    async def _read_on(self, partition: TopicPartition, offset: int) -> None:
        await self._ledger.move_position(self._declared[partition.topic], partition.partition, offset)
        self._read_until[partition], self._logged_ms[partition] = offset, UNKNOWN_MS

    async def rest(self) -> None:
        """Sign a head when one is due."""
        await self._ledger.sign_when_due()

    def next_offset(self, partition: TopicPartition) -> int:
        """Return the next offset to read."""
        return self._read_until[partition]

    def logged_ms(self, partition: TopicPartition) -> int:
        """Return the latest broker time read."""
        return self._logged_ms.get(partition, UNKNOWN_MS)

    def held(self) -> set[TopicPartition]:
        """Return nothing: the order of reading does not matter."""
        return set()

    def progress(self) -> Mapping[TopicPartition, Commit]:
        """Return the positions to commit, which make the lag visible, with the latest broker time read."""
        return {
            one: Commit(at, msgspec.json.encode(_Logged(self._logged_ms.get(one, UNKNOWN_MS))).decode())
            for one, at in self._read_until.items()
            if self._committed.get(one, 0) != at
        }

    def committed(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Note what was committed."""
        self._committed |= {one: commit.offset for one, commit in offsets.items()}

    def _tell(self, applied: Applied) -> None:
        telemetry.emit(telemetry.RecordsRead("applied", applied.applied))
        telemetry.emit(telemetry.RecordsRead("duplicate", applied.duplicate))
        for refused in applied.refused:
            where = refused.topic, refused.partition, refused.offset
            telemetry.emit(telemetry.RecordRejected("wrong_shape", *where, refused.reason))
        telemetry.emit(telemetry.LedgerWritten(applied.rows))


class _Logged(Struct):
    """Metadata of the commit: the latest broker time before the position, -1 if unknown."""

    logged_ms: int = UNKNOWN_MS


def _logged_ms_in(metadata: str) -> int:
    try:
        return msgspec.json.decode(metadata, type=_Logged).logged_ms
    except UNREADABLE:
        return UNKNOWN_MS


class RecordStage:
    """The stage. `run` works until cancelled; records not written by then will be read again.

    ``publish`` is called with every signed head.
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
        self._connection, self._topics, self._group = connection, topics or Topics(), group
        self._settings = settings or RecordSettings()
        self._ledger = Ledger(ledger, key, self._settings, publish)

    async def run(self) -> None:
        """Read, write, sign."""
        try:
            await StageLoop(
                self._connect,
                lambda session: RecordWorker(session, self._ledger, self._topics),
                LoopSettings(max_records=self._settings.max_records, poll_ms=500),
                refusal=lambda: refusal(self._connection),
            ).run()
        finally:
            self._ledger.finish()

    def _connect(self) -> Session:
        consumer = KafkaConsumer(self._connection, self._group, fetch_bytes=FETCH_BYTES)
        return Session(consumer, KafkaProducer(self._connection))


def declared_names(topics: Topics) -> dict[str, str]:
    """Map the actual names of the ledger's topics to the declared ones."""
    return {
        topics.outages: OUTAGES,
        topics.windows: WINDOWS,
        topics.exclusions: EXCLUSIONS,
        topics.retirements: RETIREMENTS,
    }


def append_to(path: Path) -> Callable[[SignedHead], None]:
    """Return a publisher that appends each head to a file, one JSON object per line."""

    def publish(head: SignedHead) -> None:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(head) + b"\n")

    return publish
