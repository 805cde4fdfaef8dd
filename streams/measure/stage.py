"""`measure` as a process: raw batches from Kafka through the meters, measurements back to Kafka.

Order of effects: measurements are acknowledged by the broker before the offsets they cover are committed.
A crash in between sends them again, the same to the byte, and `detect` drops them by their offsets. On
assignment a partition is read again, quietly, from the rebuild offset that travels in the commit's
metadata: no changelog, no local store.
"""

import asyncio
import gc
import time
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from streams import telemetry
from streams.kafka.topics import Topics
from streams.logs.line import original_ms
from streams.measure.meter import Checkpoint, DeadLetter, Meter
from streams.model import events
from streams.model.canonical import encode, split
from streams.model.digest import Entry
from streams.model.measurement import Measurement, RecordCounts
from streams.model.settings import MeasureSettings

GROUP: Final = "portallink-measure"
COMMIT_EVERY_SECONDS: Final = 1.0
ALIGN_MS: Final = 300_000
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
BATCH_BYTES: Final = 256 * 1024
"""Sent at once: with a full batch on its way the next measurement waits, and reading with it."""
FETCH_BYTES: Final = 1024 * 1024
"""Of each partition at once. A greater record comes all the same, alone; more would only fill memory."""
GC_THRESHOLDS: Final = (50_000, 20, 20)
"""Records make many objects and no cycles; by default the collector would look for some twice a poll."""
_metadata: Final = msgspec.json.Decoder(Checkpoint)


class StageStoppedError(Exception):
    """The stage stopped itself: the message says why and what to do."""


class Brake:
    """Stops the stage when too large a share of the last minute's records were dead letters.

    A wrong deploy sends nothing but records that cannot be read; going on would bury the dead-letter topic.
    """

    def __init__(self, share: float, least_records: int = 1_000, minute_seconds: float = 60.0) -> None:
        self.share, self._least, self._minute = share, least_records, minute_seconds
        self._polls: deque[tuple[float, int, int]] = deque()
        self.records = self.dead_letters = 0

    def add(self, now_seconds: float, records: int, dead_letters: int) -> bool:
        """Take in a poll; return True when the stage has to stop."""
        self._polls.append((now_seconds, records, dead_letters))
        self.records += records
        self.dead_letters += dead_letters
        while self._polls[0][0] < now_seconds - self._minute:
            _, old_records, old_dead = self._polls.popleft()
            self.records -= old_records
            self.dead_letters -= old_dead
        return self.records >= self._least and self.dead_letters > self.share * self.records


class _Source:
    """One assigned partition: its meter, what to read next, up to which offset it is only being rebuilt."""

    def __init__(self, meter: Meter, next_offset: int, quiet_until: int) -> None:
        self.meter = meter
        self.next_offset = next_offset
        self.quiet_until = quiet_until
        self.committed = quiet_until
        self.counted = RecordCounts()

    def feed(self, entries: list[Entry]) -> None:
        """Meter a batch. What lies before ``quiet_until`` only rebuilds: it was said and counted before."""
        meter = self.meter
        self.next_offset = entries[-1][0] + 1
        if entries[0][0] < self.quiet_until:
            meter.feed([entry for entry in entries if entry[0] < self.quiet_until])
            meter.measurements.clear()
            meter.dead_letters.clear()
            self.counted = meter.totals()
            entries = [entry for entry in entries if entry[0] >= self.quiet_until]
        if entries:
            meter.feed(entries)

    @property
    def read_until(self) -> int:
        """The offset up to which the partition's records have counted, in this run or before."""
        return max(self.next_offset, self.quiet_until)

    def newly_counted(self) -> RecordCounts:
        """Return how the records since the last call ended."""
        totals = self.meter.totals()
        fresh, self.counted = totals - self.counted, totals
        return fresh


class Measure(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The stage. `run` works until cancelled or until the brake stops it.

    The consumer revokes partitions while a poll is being metered or a commit is on its way. So that no
    offset is committed whose measurements are not acknowledged, one of them at a time has its hands on the
    sources (``_hands``).
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        settings: MeasureSettings,
        *,
        topics: Topics | None = None,
        group: str = GROUP,
        max_records: int = 500,
        dead_letter_share: float = 0.5,
    ) -> None:
        self._connection, self._settings = dict(connection), settings
        self._topics = topics or Topics()
        self._group, self._max_records = group, max_records
        self._declared = {self._topics.lookups: events.LOOKUPS, self._topics.submissions: events.SUBMISSIONS}
        self._sources: dict[TopicPartition, _Source] = {}
        self._sent: list[asyncio.Future[Any]] = []
        self._brake = Brake(dead_letter_share)
        self._partitions = 1
        self._hands = asyncio.Lock()
        self._assignments = 0
        self._consumer: Any = None
        self._producer: Any = None

    async def run(self) -> None:
        """Read, meter, publish, commit; raise `StageStoppedError` when the brake is applied."""
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._producer = AIOKafkaProducer(
            enable_idempotence=True,
            compression_type="zstd",
            linger_ms=20,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            **self._connection,
        )
        self._consumer = AIOKafkaConsumer(
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            **self._connection,
        )
        await self._producer.start()
        try:
            self._partitions = len(await self._producer.partitions_for(self._topics.measurements))
            await self._consumer.start()
            self._consumer.subscribe(list(self._declared), listener=self)
            await self._work()
        finally:
            await self._stop()

    async def _work(self) -> None:
        commit_at = time.monotonic() + COMMIT_EVERY_SECONDS
        while True:
            assignment = self._assignments
            batches = await self._consumer.getmany(timeout_ms=200, max_records=self._max_records)
            async with self._hands:
                if assignment == self._assignments:
                    for partition, records in batches.items():
                        source = self._sources.get(partition)
                        if source is not None:  # else it is being assigned, and will be sought
                            source.feed(_entries(records))
                            await self._publish(partition, source)
                    self._align()
                else:
                    self._fetch_again(batches)
                if time.monotonic() >= commit_at:
                    await self._commit()
                    commit_at = time.monotonic() + COMMIT_EVERY_SECONDS
            await asyncio.sleep(0)  # polls of what is fetched already never pause; the sender needs its turns

    def _fetch_again(self, batches: Iterable[TopicPartition]) -> None:
        """Read a poll again that straddled a change of assignment: no telling from which offset it came."""
        for partition in batches:
            if partition in self._sources:
                self._consumer.seek(partition, self._sources[partition].next_offset)

    def _align(self) -> None:
        """Hold back partitions that have run ahead in event time, while others still have records to read.

        In catch-up partitions drain unevenly, and all that runs ahead has to wait, in memory, in `detect`.
        """
        behind = [
            source.meter.watermark_ms
            for partition, source in self._sources.items()
            if (self._consumer.highwater(partition) or 0) > source.read_until
        ]
        limit_ms = min(behind, default=1 << 62) + ALIGN_MS
        ahead = {tp for tp, source in self._sources.items() if source.meter.watermark_ms > limit_ms}
        paused = set(self._consumer.paused())
        if ahead - paused:
            self._consumer.pause(*(ahead - paused))
        if paused - ahead:
            self._consumer.resume(*(paused - ahead))

    async def _stop(self) -> None:
        try:
            await self._commit()
        except KafkaError as error:
            telemetry.emit(
                telemetry.StageFailed(f"the last commit failed, its records will be read again: {error!r}")
            )
        finally:
            await self._consumer.stop()
            await self._producer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit what is done and forget the partitions: their next reader rebuilds."""
        async with self._hands:
            await self._commit()
            gone = sorted(set(revoked) & set(self._sources))
            for partition in gone:
                del self._sources[partition]
            self._assignments += 1
        telemetry.emit(telemetry.PartitionsRevoked(tuple(gone), len(self._sources)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start a meter for each partition at the rebuild offset that its last commit names.

        Every partition is sought by offset, even to where it stands: while the commits are asked for, the
        consumer already fetches, and what such a poll brings has to come again.
        """
        new = sorted(set(assigned) - set(self._sources))
        commits = await self._commits()
        uncommitted = [partition for partition in new if _committed(commits.get(partition)) is None]
        beginnings = await self._consumer.beginning_offsets(uncommitted) if uncommitted else {}
        async with self._hands:
            for partition in new:
                self._begin(partition, commits.get(partition), beginnings.get(partition, 0))
            self._assignments += 1
        telemetry.emit(telemetry.PartitionsAssigned(tuple(new), len(self._sources)))

    def _begin(self, partition: TopicPartition, commit: OffsetAndMetadata | None, beginning: int) -> None:
        """Start a partition's meter, and read from where it needs to."""
        checkpoint, committed = _checkpoint(commit), _committed(commit)
        next_offset = beginning if committed is None else committed
        if checkpoint is not None:
            next_offset = checkpoint.rebuild_offset
        meter = Meter(self._declared[partition.topic], partition.partition, self._settings, checkpoint)
        self._sources[partition] = _Source(meter, next_offset, quiet_until=committed or 0)
        self._consumer.seek(partition, next_offset)
        if checkpoint is not None:
            telemetry.emit(
                telemetry.PartitionRebuilt(partition.topic, partition.partition, next_offset, committed or 0)
            )

    async def _commits(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return the group's commits with their metadata, which the consumer itself does not give."""
        admin = AIOKafkaAdminClient(**self._connection)
        await admin.start()
        try:
            commits: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
                self._group
            )
            return commits
        finally:
            await admin.close()

    async def _publish(self, partition: TopicPartition, source: _Source) -> None:
        """Send what the meter has to say."""
        meter, topics = source.meter, self._topics
        for measurement in meter.measurements:
            await self._send_measurement(measurement)
        for letter in meter.dead_letters:
            await self._send(topics.dead_letters, None, partition, _dead_letter(partition, letter))
            telemetry.emit(
                telemetry.DeadLettered(letter.reason, partition.topic, partition.partition, letter.offset)
            )
        meter.measurements.clear()
        meter.dead_letters.clear()
        self._count(partition, source)

    async def _send_measurement(self, measurement: Measurement) -> None:
        source = TopicPartition(measurement.source.topic, measurement.source.partition)
        for target, piece in split(measurement, self._partitions).items():
            await self._send(self._topics.measurements, target, source, encode(piece))
        telemetry.emit(telemetry.MeasurementCut(measurement))

    async def _send(self, topic: str, target: int | None, source: TopicPartition, value: bytes) -> None:
        key = f"{source.topic}/{source.partition}".encode()
        self._sent.append(await self._producer.send(topic, value, key=key, partition=target))

    def _count(self, partition: TopicPartition, source: _Source) -> None:
        """Count the poll's records in the metrics and for the brake."""
        fresh = source.newly_counted()
        telemetry.emit(telemetry.RecordsMetered(partition.topic, partition.partition, fresh))
        records = fresh.applied + fresh.duplicate + fresh.late + fresh.dead_letter
        if self._brake.add(time.monotonic(), records, fresh.dead_letter):
            brake = self._brake
            telemetry.emit(telemetry.BrakeApplied(brake.records, brake.dead_letters, brake.share))
            raise StageStoppedError(
                f"{brake.dead_letters} of the last minute's {brake.records} records could not be used: this "
                f"looks like a wrong deploy. See the reasons in {self._topics.dead_letters}"
            )

    async def _commit(self) -> None:
        """Wait until all that was sent is acknowledged, then commit the offsets it covers."""
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        for partition, source in self._sources.items():
            next_offset = source.meter.next_offset
            if next_offset is not None and next_offset > source.committed:
                metadata = encode(source.meter.checkpoint).decode()
                offsets[partition] = OffsetAndMetadata(next_offset, metadata)
        self._tell_lag()
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            return  # the partitions have moved on: their new reader rebuilds and sends the same again
        for partition, commit in offsets.items():
            source = self._sources[partition]
            source.committed = commit.offset
            rebuild_offset = source.meter.checkpoint.rebuild_offset
            telemetry.emit(
                telemetry.CommitDone(partition.topic, partition.partition, commit.offset, rebuild_offset)
            )

    def _tell_lag(self) -> None:
        lags = {}
        for partition, source in self._sources.items():
            end_offset = self._consumer.highwater(partition)
            if end_offset is not None:
                lags[tuple(partition)] = max(end_offset - source.read_until, 0)
        telemetry.emit(telemetry.ConsumerLag(lags))


def _entries(records: Iterable[Any]) -> list[Entry]:
    """Return consumer records as the meter takes them."""
    return [
        (
            record.offset,
            original_ms(headers, record.timestamp) if (headers := record.headers) else record.timestamp,
            record.key,
            record.value or b"",
        )
        for record in records
    ]


def _committed(commit: OffsetAndMetadata | None) -> int | None:
    """Return the committed offset, None where the group has none."""
    return commit.offset if commit is not None and commit.offset >= 0 else None


def _checkpoint(commit: OffsetAndMetadata | None) -> Checkpoint | None:
    """Return the checkpoint in a commit's metadata; None where there is none, or not one of ours."""
    if commit is None or _committed(commit) is None or not commit.metadata:
        return None
    try:
        return _metadata.decode(commit.metadata)
    except msgspec.DecodeError:
        return Checkpoint(0)


def _dead_letter(partition: TopicPartition, letter: DeadLetter) -> bytes:
    return encode(
        {
            "source": {"topic": partition.topic, "partition": partition.partition, "offset": letter.offset},
            "reason": letter.reason,
            "detail": letter.detail,
            "logged_at_ms": letter.logged_at_ms,
            "key_base64": None if letter.key is None else b64encode(letter.key).decode(),
            "value_base64": b64encode(letter.value).decode(),
        }
    )
