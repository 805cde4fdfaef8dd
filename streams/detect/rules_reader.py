"""`link.rules` as `detect` reads it: whole at the start, and always further than the clock needs.

A revision takes effect no earlier than the lead after the broker took it. So a worker that has read the
topic to its end at one moment knows every rule up to the lead after that moment. It reads again before its
clock goes further.
"""

import asyncio
import time
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams import telemetry
from streams.detect.rule.rules import Rules, decode
from streams.kafka.publish import partitions_of
from streams.model.record import original_ms


class RulesReader:
    """Keeps ``rules`` up to the topic.

    Order of calls: `read` or `read_for`, as often as wanted; then `close`. Both raise aiokafka's KafkaError
    where the broker does not answer, `PublishError` where it lacks the topic.
    """

    def __init__(self, connection: dict[str, Any], topic: str, rules: Rules) -> None:
        self._connection, self._topic, self.rules = connection, topic, rules
        self._consumer: AIOKafkaConsumer | None = None
        self._known_until_ms = -1
        self._turn = asyncio.Lock()

    async def read_for(self, event_ms: int) -> None:
        """Return when every rule is known that takes effect up to a time."""
        if event_ms > self._known_until_ms:
            await self.read()

    async def read(self) -> None:
        """Read what was written to the topic up to now."""
        async with self._turn:
            now_ms = int(time.time() * 1000)
            consumer = self._consumer or await self._open()
            sources = sorted(consumer.assignment())
            ends = await consumer.end_offsets(sources)
            while behind := [source for source in sources if await consumer.position(source) < ends[source]]:
                consumer.resume(*behind)
                for source, records in (await consumer.getmany(timeout_ms=1000)).items():
                    for record in records:
                        self._take(source, record)
            consumer.pause(*sources)  # else a waiting fetch holds up the next question for the ends
            self._known_until_ms = now_ms + self.rules.lead_ms

    async def close(self) -> None:
        """Let go of the broker."""
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

    def _take(self, source: TopicPartition, record: Any) -> None:
        try:
            revision = decode(record.value or b"")
            logged_at_ms = original_ms(record.headers, record.timestamp)
            effective_ms = self.rules.take(revision, logged_at_ms)
        except (msgspec.DecodeError, ValueError) as error:
            where = source.topic, source.partition, record.offset
            telemetry.emit(telemetry.RecordRejected("wrong_shape", *where, str(error)))
            return
        if effective_ms is None:
            telemetry.emit(telemetry.RecordsRead("duplicate", 1))
        else:
            telemetry.emit(telemetry.RuleLearned(revision.values.version, revision.withdrawn, effective_ms))
