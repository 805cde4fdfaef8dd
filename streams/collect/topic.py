"""Reads spans from Kafka as a Collector's exporter writes them: one export per record.

The loop of the stages (`streams.kafka.loop`) reads; the events of a poll are confirmed before the loop may
commit it. A record that is not an export becomes exactly one dead letter: after a crash those already sent
are found on their topic. While there are records still to read, heartbeats do not go beyond the time up to
which records were read, so a backlog does not count as silence.
"""

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

from aiokafka import TopicPartition

from streams import telemetry
from streams.collect.delivery import Delivery, KafkaAwayError
from streams.collect.receiver import oldest_ms, taken
from streams.collect.watching import Watching
from streams.ingest.otlp.export import NotOtlpError, SpanMapper, Tally, form_in
from streams.kafka.ports import Batches, Bounds, Commit
from streams.kafka.session import Session
from streams.kafka.worker import Place, RetryLaterError
from streams.measure.letters import encode_letter, letter_key, told_records
from streams.measure.refused import DeadLetter
from streams.model.wire import Event

GROUP: Final = "portallink-collect"
FETCH_BYTES: Final = 4 * 1024 * 1024
MOST_RECORDS: Final = 100
"""Records per poll; each contains a whole batch of spans."""


class Progress:
    """How far the topics have been read, across sessions; heartbeats depend on it."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics
        self.read_ms: dict[TopicPartition, int] = {}
        """The broker time of the last record read, by assigned partition."""
        self.waiting: set[TopicPartition] = set()
        """Partitions with records left to read, as far as known."""

    def behind_ms(self) -> int | None:
        """Return the time up to which everything was read, None if nothing waits."""
        if not self._topics:
            return None
        if not self.read_ms:
            return 0  # not connected yet, or another process reads them
        return min((self.read_ms[one] for one in self.waiting & self.read_ms.keys()), default=None)


class _Letters:
    """The dead letters of one source partition that were already sent, and where others may be.

    ``told`` holds ``(offset, logged_at_ms)`` of the records after the commit whose letters are between
    ``first`` and ``end`` of ``place``.
    """

    def __init__(self, place: TopicPartition, told: frozenset[tuple[int, int]], first: int, end: int) -> None:
        self.place, self.told = place, told
        self._first, self._end = first, end
        self._last = max((offset for offset, _ in told), default=-1)

    def noted(self, sent: "Future[int]") -> None:
        """Note where a letter lies."""
        if not sent.cancelled() and sent.exception() is None:
            self._end = max(self._end, sent.result() + 1)

    def begin(self, next_offset: int) -> int:
        """Return from where on the letters of records from an offset on can lie."""
        return self._end if next_offset > self._last else self._first


class SpanWorker:
    """How `collect` handles the records of its topics."""

    def __init__(
        self,
        session: Session,
        topics: Sequence[str],
        mapper: SpanMapper,
        watching: Watching,
        delivery: Delivery,
        progress: Progress,
        dead_letters: str,
    ) -> None:
        self._consumer, self._producer, self._outbox = session.consumer, session.producer, session.outbox
        self._mapper, self._watching, self._delivery = mapper, watching, delivery
        self._progress, self._dead_letters = progress, dead_letters
        self.topics = topics
        self.commit_first = False
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._letters: dict[TopicPartition, _Letters] = {}

    async def assign(
        self, places: Mapping[TopicPartition, Place], commits: Mapping[TopicPartition, Commit]
    ) -> None:
        """Start at the group's commits, or at the first available record."""
        del commits
        for partition, place in places.items():
            self._next[partition] = place.bounds.beginning if place.commit is None else place.commit.offset
            self._letters[partition] = await self._letters_of(partition, place.commit)
            self._progress.read_ms[partition] = 0
            if place.bounds.end > self._next[partition]:
                self._progress.waiting.add(partition)

    async def _letters_of(self, partition: TopicPartition, commit: Commit | None) -> _Letters:
        """Find the letters that a process sent before it died without a commit."""
        key = letter_key(partition.topic, partition.partition)
        count = await self._producer.partitions_of(self._dead_letters)
        place = TopicPartition(self._dead_letters, crc32(key) % count)
        bounds = (await self._consumer.bounds([place]))[place]
        known = commit.metadata if commit is not None else ""
        first = max(int(known) if known.isdecimal() else 0, bounds.beginning)
        found = await self._consumer.read(place, first, bounds.end)
        values = [one.value or b"" for one in found if one.key == key]
        told = told_records(partition.topic, partition.partition, values)
        begun = 0 if commit is None else commit.offset
        return _Letters(place, frozenset(one for one in told if one[0] >= begun), first, bounds.end)

    async def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget partitions."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._committed.pop(partition, None)
            self._letters.pop(partition, None)
            self._progress.read_ms.pop(partition, None)
            self._progress.waiting.discard(partition)

    async def work(self, batches: Batches) -> None:
        """Map the exports of a poll, and return once their events are published."""
        for partition, records in batches.items():
            tally = Tally()
            events: list[Event] = []
            letters: list[DeadLetter] = []
            for record in records:
                value = record.value or b""
                try:
                    events += self._mapper.events(value, form_in(value), tally)
                except NotOtlpError as error:
                    detail = f"this is no export of spans: {error}"
                    at = record.offset, record.timestamp
                    letters.append(DeadLetter(*at, "wrong_shape", detail, record.key, value))
            await self._deliver(events, tally, records[-1].timestamp)
            await self._set_aside(partition, letters)
            self._next[partition] = records[-1].offset + 1
            self._progress.read_ms[partition] = records[-1].timestamp

    async def _set_aside(self, partition: TopicPartition, letters: Sequence[DeadLetter]) -> None:
        topic, number = partition.topic, partition.partition
        own, key = self._letters[partition], letter_key(topic, number)
        for letter in letters:
            if (letter.offset, letter.logged_at_ms) in own.told:
                continue
            telemetry.emit(telemetry.DeadLettered(letter.reason, topic, number, letter.offset))
            value = encode_letter(topic, number, letter)
            sent = await self._outbox.send(self._dead_letters, value, key=key, partition=own.place.partition)
            sent.add_done_callback(own.noted)

    async def _deliver(self, events: list[Event], tally: Tally, read_ms: int) -> None:
        sent: dict[str, int] = {}
        if events:
            try:
                sent = await self._delivery.send(events, None)
            except KafkaAwayError as error:
                raise RetryLaterError(str(error)) from error
        self._watching.saw(tally.sources, read_ms)
        age_seconds = (read_ms - oldest_ms(events)) / 1000 if events else None
        telemetry.emit(taken(tally, sent, age_seconds))

    async def head_gone(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Skip past records that were deleted before they could be read."""
        telemetry.emit(
            telemetry.RecordsLost(
                partition.topic, partition.partition, self._next[partition], bounds.beginning
            )
        )
        self._next[partition] = bounds.beginning

    async def began_again(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Continue with the first record of a log that replaced the one read before."""
        told = partition.topic, partition.partition, self._next[partition], bounds.beginning
        telemetry.emit(telemetry.LogBeganAgain(*told))
        self._next[partition] = bounds.beginning

    async def rest(self) -> None:
        """Note which partitions have records left to read."""
        for partition, offset in self._next.items():
            end = self._consumer.end_seen(partition)
            if end is not None and end <= offset:
                self._progress.waiting.discard(partition)
            elif end is not None:
                self._progress.waiting.add(partition)

    def next_offset(self, partition: TopicPartition) -> int:
        """Return the offset of the next record to process."""
        return self._next[partition]

    def logged_ms(self, partition: TopicPartition) -> int:
        """Return the broker time of the last record read, -1 if there was none."""
        return self._progress.read_ms.get(partition, 0) or -1

    def held(self) -> set[TopicPartition]:
        """Return the partitions to pause: none."""
        return set()

    def progress(self) -> Mapping[TopicPartition, Commit]:
        """Return what to commit."""
        return {
            one: Commit(at, str(self._letters[one].begin(at)))
            for one, at in self._next.items()
            if self._committed.get(one) != at
        }

    def committed(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Note what was committed."""
        self._committed.update({one: commit.offset for one, commit in offsets.items()})
