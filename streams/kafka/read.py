"""Reading the broker without joining a group: whole topics for a rebuild, ranges for evidence."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.topics import Topics
from streams.model.record import Record
from streams.record.stage import FETCH_BYTES, declared_names, record_of

SILENCE_SECONDS: Final = 30.0
POLL_RECORDS: Final = 20_000


class RereadError(RuntimeError):
    """Records that cannot be read again; the message says which and why."""


async def ledger_batches(
    connection: Mapping[str, Any],
    topics: Topics | None = None,
    until: Mapping[tuple[str, int], int] | None = None,
) -> AsyncIterator[list[Record]]:
    """Yield everything on the ledger's topics, each partition's in order, under the declared names.

    ``until`` names the offsets to stop before, by declared topic and partition; else the present ends do.
    """
    declared = declared_names(topics or Topics())
    async with _consumer(connection) as consumer:
        sources = await _partitions(connection, sorted(declared))
        ends = await consumer.end_offsets(sources)
        begins = await consumer.beginning_offsets(sources)
        for source in sources:
            name = (declared[source.topic], source.partition)
            end = ends[source] if until is None else until.get(name, 0)
            if begins[source] > 0:
                raise RereadError(
                    f"{source.topic}/{source.partition} begins at offset {begins[source]}: "
                    "what came before is gone, so the ledger cannot be made from it"
                )
            if end > ends[source]:
                raise RereadError(f"{source.topic}/{source.partition} ends at {ends[source]}, before {end}")
            async for messages in _range(consumer, source, 0, end):
                yield [record_of(message, declared[source.topic]) for message in messages]


async def topic_batches(connection: Mapping[str, Any], topics: list[str]) -> AsyncIterator[list[Record]]:
    """Yield all records of topics from their first offset to their present ends, partition by partition."""
    async with _consumer(connection) as consumer:
        sources = await _partitions(connection, topics)
        ends = await consumer.end_offsets(sources)
        begins = await consumer.beginning_offsets(sources)
        for source in sources:
            async for messages in _range(consumer, source, begins[source], ends[source]):
                yield [record_of(message, source.topic) for message in messages]


@asynccontextmanager
async def _consumer(connection: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    """Hold a started consumer of no group."""
    consumer = AIOKafkaConsumer(enable_auto_commit=False, max_partition_fetch_bytes=FETCH_BYTES, **connection)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _partitions(connection: Mapping[str, Any], topics: list[str]) -> list[TopicPartition]:
    """Return the partitions of topics; raise RereadError naming those that the broker lacks."""
    admin = AIOKafkaAdminClient(**connection)
    try:
        await admin.start()
        present = await admin.list_topics()
        if missing := sorted(set(topics) - set(present)):
            raise RereadError(f"not on the broker: {', '.join(missing)}; see `portallink topics apply`")
        described = await admin.describe_topics(topics)
    finally:
        await admin.close()
    return sorted(
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    )


async def _range(
    consumer: AIOKafkaConsumer, source: TopicPartition, first: int, end: int
) -> AsyncIterator[list[Any]]:
    if first >= end:
        return
    consumer.assign([source])
    consumer.seek(source, first)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SILENCE_SECONDS
    while await consumer.position(source) < end:
        got = await consumer.getmany(source, timeout_ms=500, max_records=POLL_RECORDS)
        messages = [message for message in got.get(source, ()) if message.offset < end]
        if got:
            deadline = loop.time() + SILENCE_SECONDS
        elif loop.time() > deadline:
            raise RereadError(f"{source.topic}/{source.partition}: nothing came for {SILENCE_SECONDS:g} s")
        if messages:
            yield messages
