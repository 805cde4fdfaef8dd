"""Topics that are made while `record` runs."""

import asyncio
import contextlib
from pathlib import Path

import sqlalchemy as sa
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams import telemetry
from streams.kafka.topics import Topics, create_topics
from streams.ledger.store.database import open_ledger, reading, sqlite_url
from streams.ledger.store.schema import positions
from streams.record.stage import RecordStage


async def test_a_topic_that_appears_later_is_recorded(kafka: str, suffix: str, tmp_path: Path) -> None:
    """Records of a topic that was not there when `record` started reach the ledger without a restart."""
    connection, topics = {"bootstrap_servers": kafka}, Topics().suffixed(suffix)
    telemetry.configure("record", level="error")
    await create_topics(connection, topics)
    async with contextlib.AsyncExitStack() as held:
        admin = AIOKafkaAdminClient(**connection)
        await admin.start()
        held.push_async_callback(admin.close)
        await admin.delete_topics([topics.retirements])
        ledger = open_ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
        held.callback(ledger.dispose)
        key = Ed25519PrivateKey.generate()
        running = asyncio.create_task(RecordStage(connection, ledger, key, topics=topics, group=suffix).run())
        held.push_async_callback(ended, running)
        await write(connection, topics.outages)
        await until_read(ledger, "link.outages")
        while topics.retirements in await admin.list_topics():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
        await create_topics(connection, topics)
        await write(connection, topics.retirements)
        await until_read(ledger, "link.retirements")


async def ended(task: asyncio.Task) -> None:
    """End a stage."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def write(connection, topic: str) -> None:
    """Write a record: it need not be usable to be read."""
    async with AIOKafkaProducer(**connection) as producer:
        await producer.send_and_wait(topic, b"{}", key=b"k")


async def until_read(ledger: sa.Engine, topic: str) -> None:
    """Return when the ledger has read something of a topic."""
    asked = sa.select(sa.func.sum(positions.c.next_offset)).where(positions.c.topic == topic)
    async with asyncio.timeout(90):
        while True:
            with reading(ledger) as connection:
                if connection.scalar(asked):
                    return
            await asyncio.sleep(0.1)
