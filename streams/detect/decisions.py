"""Reads people's decisions for `detect`: rules and retirements, in full at the start, and always ahead.

A decision takes effect no earlier than a fixed lead after the broker accepted it. So a worker that has read
the topic to its end at some moment knows every decision that takes effect up to that moment plus the lead.
It reads again before its clock goes further.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams import telemetry
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules, decode
from streams.kafka.identity import UNKNOWN_MS, latest_ms
from streams.kafka.publish import partitions_of
from streams.kafka.topics import Topics
from streams.model.border import UNREADABLE
from streams.model.record import original_ms
from streams.model.retirement import Retirement, Service

_decode_retirement: Final = msgspec.json.Decoder(Retirement).decode

Take = Callable[[bytes, int], telemetry.Occurrence | None]
"""Handles a value with the broker's time; returns what was learned, None if it was known already.

Raises `msgspec.DecodeError` or ValueError if the value is not such a decision.
"""


def taking_rules(rules: Rules) -> Take:
    """Return the handler for revisions of rules."""

    def take(value: bytes, logged_at_ms: int) -> telemetry.Occurrence | None:
        revision = decode(value)
        effective_ms = rules.take(revision, logged_at_ms)
        if effective_ms is None:
            return None
        return telemetry.RuleLearned(revision.values.version, revision.withdrawn, effective_ms)

    return take


def taking_retirements(service: Service) -> Take:
    """Return the handler for revisions of retirements."""

    def take(value: bytes, logged_at_ms: int) -> telemetry.Occurrence | None:
        one = _decode_retirement(value)
        if not service.take(one, logged_at_ms):
            return None
        return telemetry.RetirementLearned(one.link, one.withdrawn, one.from_ms)

    return take


class Decisions:
    """All of people's decisions that `detect` needs: which rule judges a link, and when it was retired.

    Order of calls and exceptions are those of `DecisionsReader`.
    """

    def __init__(self, connection: dict[str, Any], topics: Topics, lead_ms: int) -> None:
        self.rules, self.service = Rules(Rule(), lead_ms), Service(lead_ms)
        self._readers = (
            DecisionsReader(connection, topics.rules, lead_ms, taking_rules(self.rules)),
            DecisionsReader(connection, topics.retirements, lead_ms, taking_retirements(self.service)),
        )

    async def read_for(self, event_ms: int) -> None:
        """Make sure that every decision taking effect up to ``event_ms`` is known."""
        for reader in self._readers:
            await reader.read_for(event_ms)

    async def read(self) -> None:
        """Read everything written up to now."""
        for reader in self._readers:
            await reader.read()

    async def close(self) -> None:
        """Close the connection to the broker."""
        for reader in self._readers:
            await reader.close()


class DecisionsReader:
    """Follows one topic of decisions, which take effect at least ``lead_ms`` after the broker accepted them.

    Order of calls: `read` or `read_for`, as often as wanted; then `close`. Both raise aiokafka's KafkaError
    if the broker does not answer, `PublishError` if it lacks the topic.
    """

    def __init__(self, connection: dict[str, Any], topic: str, lead_ms: int, take: Take) -> None:
        self._connection, self._topic, self._lead_ms, self._take = connection, topic, lead_ms, take
        self._consumer: AIOKafkaConsumer | None = None
        self._known_until_ms = -1
        self._logged_ms: dict[TopicPartition, int] = {}
        self._turn = asyncio.Lock()

    async def read_for(self, event_ms: int) -> None:
        """Make sure that every decision taking effect up to ``event_ms`` is known."""
        if event_ms > self._known_until_ms:
            await self.read()

    async def read(self) -> None:
        """Read everything written to the topic up to now."""
        async with self._turn:
            now_ms = int(time.time() * 1000)
            consumer = self._consumer or await self._open()
            sources = sorted(consumer.assignment())
            ends = await consumer.end_offsets(sources)
            for source in sources:
                await self._look(consumer, source, ends[source])
            while behind := [source for source in sources if await consumer.position(source) < ends[source]]:
                consumer.resume(*behind)
                for source, records in (await consumer.getmany(timeout_ms=1000)).items():
                    for record in records:
                        self._learn(source, record)
                    self._logged_ms[source] = latest_ms(records, self._logged_ms.get(source, UNKNOWN_MS))
            consumer.pause(*sources)  # else a waiting fetch delays the next request for the end offsets
            self._known_until_ms = now_ms + self._lead_ms

    async def _look(self, consumer: AIOKafkaConsumer, source: TopicPartition, end: int) -> None:
        """Read a partition again from its beginning if it is no longer the log that was read."""
        logged_ms, position = self._logged_ms.get(source, UNKNOWN_MS), await consumer.position(source)
        later = (
            (await consumer.offsets_for_times({source: logged_ms + 1}))[source] if logged_ms >= 0 else None
        )
        if position <= end and (later is None or later.offset >= position):
            return
        self._logged_ms.pop(source, None)
        await consumer.seek_to_beginning(source)
        began = await consumer.position(source)
        telemetry.emit(telemetry.LogBeganAgain(source.topic, source.partition, position, began))

    async def close(self) -> None:
        """Close the connection to the broker."""
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def _open(self) -> AIOKafkaConsumer:
        count = await partitions_of(self._connection, self._topic)
        consumer = AIOKafkaConsumer(enable_auto_commit=False, **self._connection)
        await consumer.start()
        consumer.assign([TopicPartition(self._topic, partition) for partition in range(count)])
        await consumer.seek_to_beginning()
        self._consumer = consumer
        return consumer

    def _learn(self, source: TopicPartition, record: Any) -> None:
        try:
            learned = self._take(record.value or b"", original_ms(record.headers, record.timestamp))
        except (*UNREADABLE, ValueError) as error:
            where = source.topic, source.partition, record.offset
            telemetry.emit(telemetry.RecordRejected("wrong_shape", *where, str(error)))
            return
        telemetry.emit(telemetry.RecordsRead("duplicate", 1) if learned is None else learned)
