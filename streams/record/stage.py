"""`record` as a process: the topics of results into the ledger, in batches, each one transaction.

The ledger itself holds how far each partition was read, in the transaction that holds what was read: on
assignment reading goes on there, whatever Kafka's own commit says. That commit only serves those who watch
the lag. Whenever history grew, a tree head is signed, so that what was recorded can be held against it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from aiokafka import TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from sqlalchemy.exc import InterfaceError, OperationalError

from streams import telemetry
from streams.kafka.clients import KafkaConsumer, KafkaProducer, refusal
from streams.kafka.loop import LoopSettings, Place, RetryLaterError, Session, StageLoop
from streams.kafka.ports import Batches, Bounds, Commit
from streams.kafka.read import record_of
from streams.kafka.topics import Topics
from streams.ledger.proof.heads import SignedHead, sign_head
from streams.ledger.read.incidents import open_shared_incidents
from streams.ledger.read.now import Judged, judged_at
from streams.ledger.read.present import present
from streams.ledger.store.apply import Applied, apply_records, move_position
from streams.ledger.store.database import reading, writing
from streams.ledger.store.schema import positions
from streams.ledger.store.settle import settle_after_upgrade
from streams.model.record import Record
from streams.model.topics import EXCLUSIONS, OUTAGES, RETIREMENTS, WINDOWS
from streams.telemetry.contract import LISTED_CLOSED, LISTED_OPEN

T = TypeVar("T")
GROUP: Final = "portallink-record"
FETCH_BYTES: Final = 8 * 1024 * 1024
JUDGED_SECONDS: Final = 5.0
"""How often it is looked up which links are under maintenance or retired now."""
SHOWN_SECONDS: Final = 5.0
"""How often the ledger's own figures are shown at most, while it changes."""
SHOWN_SHARE: Final = 20
"""It rests so many times as long as it took to count them: a large ledger spends 5 % of its time on that."""


class RecordSettings(Struct, frozen=True):
    """How `record` works: records a batch at most, and how often heads are signed.

    A head is signed once history has grown and the last one is ``head_seconds`` old, or where only windows
    came, ``idle_head_seconds``. ``second_person`` says whether an exclusion after the fact waits for a second
    person before it counts in the figures shown.
    """

    max_records: int = 20_000
    head_seconds: float = 10.0
    idle_head_seconds: float = 3_600.0
    second_person: bool = True


class LedgerPort(Protocol):
    """What the worker needs of a ledger. Every call may raise `RetryLaterError`."""

    async def positions(self) -> dict[tuple[str, int], int]:
        """Return how far each partition was read, by declared topic."""

    async def move_position(self, topic: str, partition: int, next_offset: int) -> None:
        """Go on elsewhere in a partition."""

    async def apply(self, records: list[Record]) -> Applied:
        """Write records in one transaction."""

    async def sign_when_due(self) -> None:
        """Sign a head where one is due."""


class RecordWorker:
    """What `record` does with records: each poll is one transaction, which also moves the read positions."""

    def __init__(
        self,
        session: Session,
        ledger: LedgerPort,
        topics: Topics,
    ) -> None:
        self._ledger, self._outbox = ledger, session.outbox
        self._declared = declared_names(topics)
        self.topics: Sequence[str] = list(self._declared)
        self._read_until: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self.commit_first = False

    async def assign(
        self, places: Mapping[TopicPartition, Place], commits: Mapping[TopicPartition, Commit]
    ) -> None:
        """Go on in each partition where the ledger's own position stands."""
        del commits
        known = await self._ledger.positions()
        for partition, place in places.items():
            at = known.get((self._declared[partition.topic], partition.partition), 0)
            self._read_until[partition] = at
            if not place.bounds.beginning <= at <= place.bounds.end:
                await self.out_of_range(partition, place.bounds)

    async def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget partitions: their next reader asks the ledger where to go on."""
        for partition in partitions:
            self._read_until.pop(partition, None)
            self._committed.pop(partition, None)

    async def work(self, batches: Batches) -> None:
        """Write a poll into the ledger. Raises `RetryLaterError` while the database does not answer."""
        records = [
            record_of(message, self._declared[partition.topic])
            for partition, messages in sorted(batches.items())
            for message in messages
        ]
        applied = await self._ledger.apply(records)
        self._read_until |= {partition: messages[-1].offset + 1 for partition, messages in batches.items()}
        self._tell(applied)

    async def out_of_range(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Go on behind records that were deleted, or from the beginning of a log that began again.

        What a log that began again repeats of the ledger changes nothing there: revisions and windows are
        known by what they say.
        """
        at, declared = self._read_until[partition], self._declared[partition.topic]
        if at > bounds.end:
            telemetry.emit(
                telemetry.LogBeganAgain(partition.topic, partition.partition, at, bounds.beginning)
            )
        else:
            telemetry.emit(telemetry.RecordsLost(partition.topic, partition.partition, at, bounds.beginning))
        await self._ledger.move_position(declared, partition.partition, bounds.beginning)
        self._read_until[partition] = bounds.beginning

    async def rest(self) -> None:
        """Sign a head when one is due."""
        await self._ledger.sign_when_due()

    def next_offset(self, partition: TopicPartition) -> int:
        """Return the next offset to read."""
        return self._read_until[partition]

    def held(self) -> set[TopicPartition]:
        """Return nothing: the order of reading does not matter."""
        return set()

    def progress(self) -> Mapping[TopicPartition, Commit]:
        """Return how far the ledger has read; it only serves to show the lag."""
        return {one: Commit(at) for one, at in self._read_until.items() if self._committed.get(one, 0) != at}

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


class Ledger:
    """The ledger as the worker needs it: its calls block, so each runs in a thread.

    ``publish`` is called with every head signed.
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
        """Return how far each partition was read, by declared topic, once an older ledger is settled."""
        if not self._settled:
            await self._call(self._settle)
        return await self._call(self._positions)

    async def move_position(self, topic: str, partition: int, next_offset: int) -> None:
        """Go on elsewhere in a partition, whose records in between are gone."""
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
        """Sign a head where history has grown and the last head is old enough; show what holds now."""
        if time.monotonic() - self._judged_at >= JUDGED_SECONDS:
            await self._call(self._show_judgements)
        if self._changed and time.monotonic() >= self._show_at:
            await self._call(self._show_figures)
        wait_seconds = self._settings.head_seconds if self._grown else self._settings.idle_head_seconds
        if self._moved and time.monotonic() - self._signed_at >= wait_seconds:
            await self._call(self._sign)

    def finish(self) -> None:
        """Sign what has grown since the last head."""
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
        """Show which links went down together, and are still down."""
        with reading(self._engine) as connection:
            telemetry.emit(telemetry.SharedIncidents(open_shared_incidents(connection)))

    def _show_judgements(self) -> None:
        """Show which links are under announced maintenance now, and which are retired."""
        with reading(self._engine) as connection:
            judged = judged_at(connection, int(time.time() * 1000))
        if judged != self._judged:
            telemetry.emit(telemetry.LinksJudged(judged.maintenance, judged.retired))
        self._judged, self._judged_at = judged, time.monotonic()

    def _show_figures(self) -> None:
        """Show the figures of today, this month and 30 days, and the outages that are open or recent."""
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


class RecordStage:
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
    """Map the names in use of the topics that the ledger reads to the declared ones."""
    return {
        topics.outages: OUTAGES,
        topics.windows: WINDOWS,
        topics.exclusions: EXCLUSIONS,
        topics.retirements: RETIREMENTS,
    }


def append_to(path: Path) -> Callable[[SignedHead], None]:
    """Return a publisher that appends each head to a file, one JSON object a line."""

    def publish(head: SignedHead) -> None:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(head) + b"\n")

    return publish
