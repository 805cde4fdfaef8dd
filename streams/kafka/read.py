"""Read a range of a partition, from one offset to another, without joining a group."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError

from streams.model.record import Record, original_ms

SILENCE_SECONDS: Final = 30.0
"""How long to wait for a broker that delivers nothing although there are records to read."""
POLL_RECORDS: Final = 20_000
FETCH_BYTES: Final = 8 * 1024 * 1024


class RereadError(RuntimeError):
    """Records that cannot be read again; the message says which and why."""


@asynccontextmanager
async def open_reader(connection: Mapping[str, Any], **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a started consumer that belongs to no group."""
    consumer = AIOKafkaConsumer(
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
        **options,
        **connection,
    )
    try:
        await consumer.start()
        await asyncio.sleep(
            0
        )  # let its tasks begin: stopped before that, aiokafka's consumer raises CancelledError
        yield consumer
    finally:
        await consumer.stop()


async def read_range(
    reader: AIOKafkaConsumer,
    source: TopicPartition,
    first: int,
    end: int,
    *,
    silence_seconds: float = SILENCE_SECONDS,
) -> AsyncIterator[list[Any]]:
    """Yield the records at the offsets ``[first, end)`` of one partition, in order, poll by poll.

    Offsets without a record (transaction markers, or compacted away) are skipped. Raises `RereadError` if the
    range is gone or nothing arrives for ``silence_seconds``, aiokafka's `KafkaError` if the broker refuses.
    """
    if first >= end:
        return
    name = f"{source.topic}/{source.partition}"
    reader.assign([source])
    reader.seek(source, first)
    now = asyncio.get_running_loop().time
    deadline, position = now() + silence_seconds, first
    while position < end:
        try:
            got = await reader.getmany(source, timeout_ms=500, max_records=POLL_RECORDS)
        except OffsetOutOfRangeError as error:
            raise RereadError(f"{name}: offset {position} is no longer available") from error
        reached = await reader.position(source)
        if reached > position:
            position, deadline = reached, now() + silence_seconds
        elif now() > deadline:
            raise RereadError(
                f"{name}: the broker gave nothing from offset {position} on for {silence_seconds:g} s"
            )
        if messages := [message for message in got.get(source, ()) if message.offset < end]:
            yield messages


async def partitions_on(connection: Mapping[str, Any], topics: list[str]) -> list[TopicPartition]:
    """Return the partitions of topics; raise `RereadError` naming missing topics."""
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


async def topics_present(connection: Mapping[str, Any], topics: list[str]) -> list[str]:
    """Return those of the topics that are on the broker; the first one must be.

    Raises `RereadError` if it is not.
    """
    admin = AIOKafkaAdminClient(**connection)
    try:
        await admin.start()
        present = set(await admin.list_topics())
    finally:
        await admin.close()
    if topics[0] not in present:
        raise RereadError(f"not on the broker: {topics[0]}; see `portallink topics apply`")
    return [topic for topic in topics if topic in present]


async def topic_batches(connection: Mapping[str, Any], topics: list[str]) -> AsyncIterator[list[Record]]:
    """Yield all records of topics from their first offset to their current ends, partition by partition."""
    async with open_reader(connection) as reader:
        sources = await partitions_on(connection, topics)
        ends = await reader.end_offsets(sources)
        begins = await reader.beginning_offsets(sources)
        for source in sources:
            async for messages in read_range(reader, source, begins[source], ends[source]):
                yield [record_of(message, source.topic) for message in messages]


def record_of(message: Any, topic: str) -> Record:
    """Return a consumer's record under its topic's declared name."""
    logged_at_ms = original_ms(message.headers, message.timestamp)
    return Record(topic, message.partition, message.offset, logged_at_ms, message.key, message.value or b"")
