"""`measure` as a process: raw batches from Kafka through the meters, measurements back to Kafka.

The loop (`streams.kafka.loop`) keeps the order of effects: measurements are acknowledged by the broker before
the offsets they cover are committed. After a crash in between they are sent again, identical to the byte, and
`detect` drops them by their offsets. On assignment a partition is read again, quietly, from the rebuild
offset that travels in the commit's metadata: there is no changelog and no local store.

Records that are gone from a source are reported by a log line, by a metric, and by a range that does not
begin where the previous one ended, which tells `detect` what time is unknown.
"""

import gc
from asyncio import Future, get_running_loop
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from aiokafka import TopicPartition
from msgspec.structs import replace

from streams import telemetry
from streams.kafka.clients import KafkaConsumer, KafkaProducer, refusal
from streams.kafka.identity import first_new, latest_ms
from streams.kafka.limit import DeadLetterLimit
from streams.kafka.loop import StageLoop
from streams.kafka.ports import Batches, Bounds, Commit
from streams.kafka.session import LoopSettings, Session
from streams.kafka.topics import Topics
from streams.kafka.worker import Place, StageStoppedError
from streams.measure.letters import encode_letter, letter_key, told_records
from streams.measure.source import Progress, SourceChangedError, SourcePartition, progress_in
from streams.model.canonical import encode, split
from streams.model.digest import Entry
from streams.model.measurement import Measurement, RecordCounts
from streams.model.record import original_ms
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS

GROUP: Final = "portallink-measure"
ALIGN_MS: Final = 300_000
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
MOST_MEASUREMENT_BYTES: Final = MAX_REQUEST_BYTES - 64 * 1024
"""A larger measurement is reduced to its range and its counts: see `Measurement.incomplete`."""
BATCH_BYTES: Final = 256 * 1024
"""The producer's batch size. While a full batch is in flight, the next measurement and reading wait."""
FETCH_BYTES: Final = 1024 * 1024
"""Bytes fetched per partition and request. A larger record still arrives, alone."""
GC_THRESHOLDS: Final = (50_000, 20, 20)
"""Records create many objects and no cycles; by default the collector would run twice per poll."""


class MeasureWorker:
    """How `measure` handles records, with one `SourcePartition` per assigned partition."""

    def __init__(
        self,
        session: Session,
        settings: MeasureSettings,
        topics: Topics,
        *,
        dead_letter_share: float = 0.5,
    ) -> None:
        self._consumer, self._producer, self._outbox = session.consumer, session.producer, session.outbox
        self._settings, self._names, self._share = settings, topics, dead_letter_share
        self._declared = {topics.lookups: LOOKUPS, topics.submissions: SUBMISSIONS}
        self.topics: Sequence[str] = list(self._declared)
        self._sources: dict[TopicPartition, SourcePartition] = {}
        self._limits: dict[TopicPartition, DeadLetterLimit] = {}
        self._letters_from: dict[TopicPartition, int] = {}
        self._letters_end: dict[TopicPartition, int] = {}
        self._partitions = self._letter_partitions = 0
        self.commit_first = False

    async def assign(
        self, places: Mapping[TopicPartition, Place], commits: Mapping[TopicPartition, Commit]
    ) -> None:
        """Begin each partition at the rebuild offset that its last commit names."""
        self._partitions = await self._spread(commits)
        self._letter_partitions = await self._producer.partitions_of(self._names.dead_letters)
        for partition, place in places.items():
            await self._begin(partition, place)

    async def _spread(self, commits: Mapping[TopicPartition, Commit]) -> int:
        """Return the number of partitions of `link.measurements` over which links are spread.

        It stays as it was when the group began, even if partitions are added: a link's measurements must not
        move away from the state that `detect` keeps for it.
        """
        present = await self._producer.partitions_of(self._names.measurements)
        known = max((progress_in(commit.metadata).partitions for commit in commits.values()), default=0)
        if known > present:
            raise StageStoppedError(
                f"{self._names.measurements} has {present} partitions, and links are spread over {known}: "
                "the topic was recreated with fewer. Recreate it with as many as before, or give `--group` a "
                "new name to measure everything again"
            )
        if 0 < known < present and not self._partitions:
            telemetry.emit(telemetry.PartitionsNotUsed(self._names.measurements, known, present))
        return known or present

    async def _begin(self, partition: TopicPartition, place: Place) -> None:
        commit, bounds = place.commit, place.bounds
        progress = None if commit is None else progress_in(commit.metadata)
        told = await self._told(partition, progress)
        first = bounds.end
        if progress is not None:
            if progress.logged_ms >= 0:
                first = await first_new(self._consumer, partition, progress.logged_ms, bounds)
            # What was logged since is new, even at an offset seen before: the log's end was cut off there.
            progress = replace(progress, told_until=min(progress.told_until, first))
        source = SourcePartition(
            self._declared[partition.topic],
            partition.partition,
            self._settings,
            progress=progress,
            committed=None if commit is None else commit.offset,
            beginning=bounds.beginning,
            told=told,
        )
        self._sources[partition] = source
        self._limits[partition] = DeadLetterLimit(self._share)
        if commit is None:
            return
        if commit.offset > bounds.end or first < commit.offset:
            await self.began_again(partition, bounds)
            return
        if source.lost is not None:
            telemetry.emit(telemetry.RecordsLost(partition.topic, partition.partition, *source.lost))
        elif source.partial:
            telemetry.emit(telemetry.PartiallyRebuilt(partition.topic, partition.partition, bounds.beginning))
        if source.rebuilt_from is not None:
            rebuilt = partition.topic, partition.partition, source.next_offset, source.quiet_until
            telemetry.emit(telemetry.PartitionRebuilt(*rebuilt))

    async def _told(self, partition: TopicPartition, progress: Progress | None) -> frozenset[tuple[int, int]]:
        """Return the records that have a dead letter although the commit does not cover them.

        A process may have died before it committed. The last offset alone is not enough, because the first of
        two letters sent may have been refused.
        """
        key = letter_key(partition.topic, partition.partition)
        at = TopicPartition(self._names.dead_letters, crc32(key) % self._letter_partitions)
        bounds = (await self._consumer.bounds([at]))[at]
        first = max(progress.letters_from if progress else 0, bounds.beginning)
        self._letters_from[partition], self._letters_end[partition] = first, bounds.end
        letters = await self._consumer.read(at, first, bounds.end)
        values = [one.value or b"" for one in letters if one.key == key]
        return told_records(partition.topic, partition.partition, values)

    async def began_again(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Continue in a log that was recreated, or whose end was cut off.

        Its new records are those that the broker logged after everything read before.
        """
        source = self._sources[partition]
        before, logged_ms = source.next_offset, source.progress.logged_ms
        source.begin_again(await first_new(self._consumer, partition, logged_ms, bounds))
        self.commit_first = True
        telemetry.emit(
            telemetry.LogBeganAgain(partition.topic, partition.partition, before, source.next_offset)
        )

    async def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget partitions."""
        for partition in partitions:
            self._sources.pop(partition, None)

    async def work(self, batches: Batches) -> None:
        """Meter the records of each partition and send what that gives."""
        for partition, records in batches.items():
            source = self._sources[partition]
            try:
                _check_times(source, records)
                source.feed(_entries(records))
            except SourceChangedError:
                bounds = (await self._consumer.bounds([partition]))[partition]
                await self.began_again(partition, bounds)
                self._consumer.seek(partition, source.next_offset)
                continue
            await self._publish(partition, source, records)

    async def head_gone(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Skip past records that were deleted before they could be read."""
        source = self._sources[partition]
        gone = source.next_offset, bounds.beginning
        source.skip_to(bounds.beginning)
        telemetry.emit(telemetry.RecordsLost(partition.topic, partition.partition, *gone))
        await self._publish(partition, source, ())

    async def rest(self) -> None:
        """Do nothing: no work of this stage is due by time alone."""

    def next_offset(self, partition: TopicPartition) -> int:
        """Return the next offset to meter."""
        return self._sources[partition].next_offset

    def logged_ms(self, partition: TopicPartition) -> int:
        """Return the latest broker time read."""
        return self._sources[partition].progress.logged_ms

    def held(self) -> set[TopicPartition]:
        """Return the partitions to pause: those ahead in event time of others with records left to read.

        During catch-up partitions drain unevenly, and `detect` must keep in memory whatever runs ahead.
        """
        behind = [
            source.meter.watermark_ms
            for partition, source in self._sources.items()
            if (self._consumer.end_seen(partition) or 0) > max(source.next_offset, source.quiet_until)
        ]
        limit_ms = min(behind, default=1 << 62) + ALIGN_MS
        return {one for one, source in self._sources.items() if source.meter.watermark_ms > limit_ms}

    def progress(self) -> Mapping[TopicPartition, Commit]:
        """Return the offsets up to which measurements were sent, with what a restart needs to know."""
        offered = {one: source.to_commit for one, source in self._sources.items()}
        return {one: Commit(*commit) for one, commit in offered.items() if commit is not None}

    def committed(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Note what was committed."""
        self.commit_first = False
        for partition, commit in offsets.items():
            source = self._sources[partition]
            source.note_committed()
            if source.past_told:  # then the letters found at the assignment need not be read again
                end = self._letters_end[partition]
                self._letters_from[partition] = max(self._letters_from[partition], end)
            rebuild_offset = source.progress.rebuild_offset
            telemetry.emit(
                telemetry.CommitDone(partition.topic, partition.partition, commit.offset, rebuild_offset)
            )

    async def _publish(
        self, partition: TopicPartition, source: SourcePartition, records: Sequence[Any]
    ) -> None:
        """Send a source's measurements and dead letters, and record that they were sent."""
        conflicts = source.meter.conflicts
        measurements, letters, counts = source.take()
        for measurement in measurements:
            await self._send_measurement(measurement)
        topic, number = partition
        key = letter_key(topic, number)
        for letter in letters:
            target = crc32(key) % self._letter_partitions
            value = encode_letter(topic, number, letter)
            sent = await self._outbox.send(self._names.dead_letters, value, key=key, partition=target)
            sent.add_done_callback(lambda done: self._note_letter(partition, done))
            telemetry.emit(telemetry.DeadLettered(letter.reason, topic, number, letter.offset))
        last = measurements[-1] if measurements else None
        logged_ms = latest_ms(records, source.progress.logged_ms)  # records read again do not raise it
        source.published(last, logged_ms, self._letters_from[partition], self._partitions)
        if conflicts:
            source.meter.conflicts = 0
            telemetry.emit(telemetry.EventIdsConflict(topic, number, conflicts))
        self._count(partition, counts)

    async def _send_measurement(self, measurement: Measurement) -> None:
        key = letter_key(measurement.source.topic, measurement.source.partition)
        for target, piece in split(measurement, self._partitions).items():
            value = encode(piece)
            if len(value) > MOST_MEASUREMENT_BYTES:
                telemetry.emit(telemetry.MeasurementTooLarge(measurement.source, len(value)))
                value = encode(replace(piece, links=[], portals=[], alive=[], incomplete="too_large"))
            await self._outbox.send(self._names.measurements, value, key=key, partition=target)
        telemetry.emit(telemetry.MeasurementCut(measurement))

    def _note_letter(self, partition: TopicPartition, done: "Future[int]") -> None:
        if not done.cancelled() and done.exception() is None:
            self._letters_from[partition] = max(self._letters_from.get(partition, 0), done.result() + 1)

    def _count(self, partition: TopicPartition, counts: RecordCounts) -> None:
        """Count the poll's records in the metrics and against the dead-letter limit."""
        topic, number = partition
        telemetry.emit(telemetry.RecordsMetered(topic, number, counts))
        records = counts.applied + counts.duplicate + counts.late + counts.dead_letter
        limit = self._limits[partition]
        if limit.add(get_running_loop().time(), records, counts.dead_letter):
            telemetry.emit(
                telemetry.DeadLetterLimitReached(
                    topic, number, limit.records, limit.dead_letters, limit.share
                )
            )
            raise StageStoppedError(
                f"{limit.dead_letters} of the last minute's {limit.records} records of {topic}-{number} "
                "could not be used: this looks like a wrong deploy. Their reasons are in "
                f"{self._names.dead_letters}, see `portallink dead-letters list`. A restart continues after "
                "them; with `--dead-letter-limit 1` the stage never stops for them"
            )


class Measure:
    """The stage. `run` works until cancelled, or until it stops itself with a `StageStoppedError`."""

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
        self._connection, self._settings = connection, settings
        self._topics, self._group = topics or Topics(), group
        self._max_records, self._share = max_records, dead_letter_share

    async def run(self) -> None:
        """Read, meter, publish, commit."""
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await StageLoop(
            self._connect,
            lambda session: MeasureWorker(
                session, self._settings, self._topics, dead_letter_share=self._share
            ),
            LoopSettings(max_records=self._max_records),
            refusal=lambda: refusal(self._connection),
        ).run()

    def _connect(self) -> Session:
        producer = KafkaProducer(
            self._connection,
            compression_type="zstd",
            linger_ms=20,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
        )
        return Session(KafkaConsumer(self._connection, self._group, fetch_bytes=FETCH_BYTES), producer)


def _check_times(source: SourcePartition, records: Sequence[Any]) -> None:
    """Raise `SourceChangedError` if a record read again has a later broker time than any read before."""
    known_ms, told_until = source.progress.logged_ms, source.told_until
    if known_ms < 0 or records[0].offset >= told_until:
        return
    if latest_ms([record for record in records if record.offset < told_until]) > known_ms:
        raise SourceChangedError


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
