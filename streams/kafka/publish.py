"""Publish records to Kafka: partition, key and value unchanged, the order within each partition kept.

The original broker time travels in a header (`LOGGED_AT_HEADER`), not as the record's own timestamp:
with an old timestamp Kafka's retention would delete the record within minutes. The producer is
idempotent, so a retry neither duplicates nor reorders. It is given whole batches, which costs a third of
sending record by record.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.model.record import LOGGED_AT_HEADER, Record
from streams.model.topics import RULES

BATCH_BYTES: Final = 256 * 1024
METADATA_TIMEOUT_SECONDS: Final = 15.0
BREATH_RECORDS: Final = 2_000
"""Yield to the event loop at least once per this many records, so that the sender can run."""
SHORTEST_SLEEP_SECONDS: Final = 0.01


class PublishError(RuntimeError):
    """Records that could not be published; the message says which topic or broker and what to do."""


class NoBrokerError(PublishError):
    """No broker answers, or those that do refuse us."""


class Pace:
    """When a record is due: `speed` times faster than it was logged, at once if `speed` is None.

    `pause` and `resume` may be called from the same event loop at any time; a pause moves everything after
    it by its length.
    """

    def __init__(self, speed: float | None = None) -> None:
        if speed is not None and not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self._running = asyncio.Event()
        self._running.set()
        self._first_ms: int | None = None
        self._started = 0.0
        self._paused_at: float | None = None
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether publishing was stopped early."""
        return self._stopped

    def stop(self) -> None:
        """Stop publishing after the current record; records already sent are still confirmed."""
        self._stopped = True
        self.resume()

    @property
    def paused(self) -> bool:
        """Whether publishing is paused."""
        return not self._running.is_set()

    def pause(self) -> None:
        """Send no further records until `resume`."""
        if self._running.is_set():
            self._running.clear()
            self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Continue after a pause."""
        if self._paused_at is not None:
            self._started += time.monotonic() - self._paused_at
            self._paused_at = None
        self._running.set()

    def wait_seconds(self, logged_at_ms: int) -> float:
        """Return how long to wait before sending the record logged at that time; negative if overdue."""
        if self.speed is None:
            return 0.0
        if self._first_ms is None:
            self._first_ms, self._started = logged_at_ms, time.monotonic()
        due = self._started + (logged_at_ms - self._first_ms) / 1000 / self.speed
        return due - time.monotonic()

    async def wait(self, logged_at_ms: int) -> None:
        """Return when the record logged at that time is due and nothing is paused."""
        while True:
            await self._running.wait()
            seconds = self.wait_seconds(logged_at_ms)
            if seconds <= 0 or self._stopped:
                return
            await asyncio.sleep(min(seconds, 0.25))


class _Outgoing:
    """Batches being filled, one per partition, and batches sent but not yet confirmed."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int], Any] = {}
        self.sent: deque[tuple[asyncio.Future[Any], int]] = deque()


class Publisher:
    """An open producer that accepts records one by one and sends them in whole batches.

    `acknowledged` counts the records that the broker has confirmed, in order within each partition.
    Without ``original_times`` records carry no header, so their broker time is their time of arrival.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        topic_names: Mapping[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
        original_times: bool = True,
    ) -> None:
        options = {"max_batch_size": BATCH_BYTES, "compression_type": "zstd", **connection}
        self._producer = AIOKafkaProducer(enable_idempotence=True, **options)
        self._topic_names = topic_names or {}
        self._progress = progress
        self._original_times = original_times
        self._partitions: dict[str, int] = {}
        self._outgoing = _Outgoing()
        self.acknowledged = 0

    async def __aenter__(self) -> Self:
        try:
            await self._producer.start()
        except KafkaError as error:
            # The producer holds sockets even if it could not start.
            await self._producer.stop()
            raise NoBrokerError(f"no connection to the broker: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def append(self, record: Record) -> None:
        """Put a record into its partition's batch; send the batch when it is full."""
        await self._put(self._outgoing, record)

    async def flush(self) -> None:
        """Send everything held; return when the broker has confirmed it."""
        await self._finish(self._outgoing)

    async def deliver(self, records: Iterable[Record]) -> None:
        """Send records in separate batches; return when the broker has confirmed all of them.

        May be called while other calls wait. If it raises PublishError, some of the records may be on the
        topics already; send all of them again.
        """
        outgoing = _Outgoing()
        filling, names = outgoing.open, self._topic_names
        for record in records:
            batch = filling.get((names.get(record.topic, record.topic), record.partition))
            headers = self._headers(record)
            if (
                batch is None
                or batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is None
            ):
                await self._put(outgoing, record)
        await self._finish(outgoing)

    def _headers(self, record: Record) -> list[tuple[str, bytes]]:
        return [(LOGGED_AT_HEADER, b"%d" % record.logged_at_ms)] if self._original_times else []

    async def _put(self, outgoing: _Outgoing, record: Record) -> None:
        topic = self._topic_names.get(record.topic, record.topic)
        target = topic, record.partition
        headers = self._headers(record)
        batch = outgoing.open.get(target)
        if batch is None:
            await self._check(target)
            batch = outgoing.open[target] = self._producer.create_batch()
        if batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is None:
            del outgoing.open[target]
            await self._send(outgoing, target, batch)
            batch = outgoing.open[target] = self._producer.create_batch()
            if batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is None:
                raise PublishError(f"{topic}/{record.partition}: offset {record.offset} fits into no batch")

    async def _finish(self, outgoing: _Outgoing) -> None:
        for target, batch in list(outgoing.open.items()):
            del outgoing.open[target]
            await self._send(outgoing, target, batch)
        while outgoing.sent:
            await self._confirm(*outgoing.sent.popleft())

    async def _send(self, outgoing: _Outgoing, target: tuple[str, int], batch: Any) -> None:
        topic, partition = target
        batch.close()
        count = batch.record_count()
        try:
            future = await self._producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            raise PublishError(f"{topic}/{partition}: {error!r}") from error
        outgoing.sent.append((future, count))
        while outgoing.sent and outgoing.sent[0][0].done():
            await self._confirm(*outgoing.sent.popleft())

    async def _confirm(self, sent: "asyncio.Future[Any]", count: int) -> None:
        try:
            await sent
        except KafkaError as error:
            raise PublishError(f"the broker refused a batch: {error!r}") from error
        self.acknowledged += count
        if self._progress is not None:
            self._progress(self.acknowledged)

    async def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has; raise PublishError if it is not on the broker."""
        if topic not in self._partitions:
            try:
                found = await asyncio.wait_for(self._producer.partitions_for(topic), METADATA_TIMEOUT_SECONDS)
            except (KafkaError, TimeoutError) as error:
                raise PublishError(
                    f"topic {topic} is not on the broker; `portallink topics apply` creates the topics"
                ) from error
            self._partitions[topic] = len(found)
        return self._partitions[topic]

    async def _check(self, target: tuple[str, int]) -> None:
        topic, partition = target
        count = await self.partitions_of(topic)
        if partition >= count:
            raise PublishError(
                f"topic {topic} has {count} partitions, the records need partition {partition}"
            )


async def partitions_of(connection: Mapping[str, Any], topic: str) -> int:
    """Return how many partitions a topic has; raise PublishError if it is not on the broker."""
    async with Publisher(connection) as publisher:
        return await publisher.partitions_of(topic)


async def publish(
    records: Iterable[Record],
    connection: Mapping[str, Any],
    *,
    topic_names: Mapping[str, str] | None = None,
    speed: float | None = None,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
) -> int:
    """Publish records as they are and return how many the broker has confirmed.

    `connection` holds the client options of aiokafka (`bootstrap_servers` and the rest). `topic_names`
    renames topics. At `speed` the records leave that many times faster than they were logged
    (`logged_at_ms`), without a limit if it is None; `pace` has its own speed and can pause and stop
    publishing. Rules are sent at once, because they may be months older than the events they judge.
    `progress` is called with the count confirmed so far. Raises PublishError, and whatever `records` raises;
    in that case everything before the failing record is confirmed first.
    """
    pace = pace or Pace(speed)
    async with Publisher(connection, topic_names=topic_names, progress=progress) as publisher:
        try:
            for number, record in enumerate(records):
                early_seconds = 0.0 if record.topic == RULES else pace.wait_seconds(record.logged_at_ms)
                if pace.paused or early_seconds > SHORTEST_SLEEP_SECONDS:
                    await publisher.flush()
                    await pace.wait(record.logged_at_ms)
                elif number % BREATH_RECORDS == 0:
                    await asyncio.sleep(0)
                if pace.stopped:
                    break
                await publisher.append(record)
        except PublishError:
            raise
        except Exception:
            await publisher.flush()
            raise
        await publisher.flush()
        return publisher.acknowledged
