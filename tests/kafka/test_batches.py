"""Reading by whole batches returns what aiokafka's public path returns, on a real broker."""

import asyncio
import uuid
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka import batches

Read = tuple[int, int, int, bytes | None, bytes | None, tuple[Any, ...]]


async def _write(bootstrap: str, topic: str) -> None:
    """Write batches of every compression, records without value or key, headers, and two transactions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    for compression in (None, "gzip", "zstd"):
        plain = AIOKafkaProducer(bootstrap_servers=bootstrap, compression_type=compression, linger_ms=20)
        async with plain:
            sent = [
                await plain.send(
                    topic, None if n % 7 == 0 else b"v%d" % n, key=b"k", headers=[("h", b"1")] * (n % 2)
                )
                for n in range(200)
            ]
            await asyncio.gather(*sent)
    transactional = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=uuid.uuid4().hex)
    async with transactional:
        for commits in (True, False, True):
            await transactional.begin_transaction()
            for n in range(5):
                await transactional.send(topic, b"%d" % n)
            await (transactional.commit_transaction() if commits else transactional.abort_transaction())


async def _read(
    bootstrap: str, topic: str, first: int, most: int, isolation: str, *, whole: bool
) -> list[Any]:
    """Return each poll's records, and after it the position."""
    source = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level=isolation,
        auto_offset_reset="none",
    )
    async with consumer:
        if whole:
            assert batches.read_by_batches(consumer)
        consumer.assign([source])
        consumer.seek(source, first)
        end = (await consumer.end_offsets([source]))[source]
        read: list[Read] = []
        positions = []
        while await consumer.position(source) < end:
            for got in (await consumer.getmany(timeout_ms=500, max_records=most)).values():
                assert len(got) <= most
                read += [
                    (one.offset, one.timestamp, one.timestamp_type, one.key, one.value, tuple(one.headers))
                    for one in got
                ]
                positions.append(await consumer.position(source))
        return [read, positions[-1]]


@pytest.fixture(scope="module")
def topic(kafka: str) -> str:
    """Return a topic that holds records of every kind."""
    name = f"batches-{uuid.uuid4().hex[:8]}"
    asyncio.run(_write(kafka, name))
    return name


@pytest.mark.parametrize("isolation", ["read_uncommitted", "read_committed"])
@pytest.mark.parametrize("first", [0, 37, 608])
@pytest.mark.parametrize("most", [3, 10_000])
def test_batches_hold_what_single_records_hold(
    kafka: str, topic: str, isolation: str, first: int, most: int
) -> None:
    """From any offset, at any size of poll, the same records in the same order, to the same position."""
    single, whole = (
        asyncio.run(_read(kafka, topic, first, most, isolation, whole=way)) for way in (False, True)
    )
    assert whole == single
    assert single[0][0][0] == first or isolation == "read_committed"


def test_a_seek_in_the_middle_of_a_fetch_reads_on_from_there(kafka: str, topic: str) -> None:
    """A position moved between two polls of one fetch is where the next poll begins."""

    async def run() -> list[int]:
        source = TopicPartition(topic, 0)
        async with AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="none") as consumer:
            assert batches.read_by_batches(consumer)
            consumer.assign([source])
            consumer.seek(source, 0)
            offsets = []
            for place in (None, 5, None):
                if place is not None:
                    consumer.seek(source, place)
                got: list[Any] = []
                while not got:
                    polled = await consumer.getmany(timeout_ms=500, max_records=10)
                    got = [one for records in polled.values() for one in records]
                offsets.append(got[0].offset)
            return offsets

    assert asyncio.run(run()) == [0, 5, 15]


def test_the_installed_aiokafka_is_one_that_was_tested() -> None:
    """The locked version is read by batches; another one falls back to the public path."""
    assert version("aiokafka") in batches.TESTED
