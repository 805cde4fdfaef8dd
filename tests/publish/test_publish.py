"""Publishing onto a real broker."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka.publish import Pace, PublishError, publish
from streams.model.record import LOGGED_AT_HEADER, Record

T0 = 1_700_000_000_000


async def create(bootstrap, topic, partitions):
    """Create a topic of that many partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()


async def read_back(bootstrap, topic, partitions, count):
    """Read `count` messages of a topic from its beginning."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
    found = []
    try:
        while len(found) < count:
            found.append(await asyncio.wait_for(consumer.getone(), 15))
    finally:
        await consumer.stop()
    return found


async def test_bytes_and_order_survive(kafka, suffix):
    """Keys, values and partitions arrive as they were, in order, each with its original broker time."""
    topic = f"publish.{suffix}"
    await create(kafka, topic, 3)
    values = [b'{"a": 1}', b"\xff\x00", b"", b"x" * 600_000, "Thủ Đức".encode()]
    records = [
        Record("asked", n % 3, n // 3, T0 + n, None if n % 7 == 0 else b"k%d" % n, values[n % 5])
        for n in range(300)
    ]
    counts = []
    sent = await publish(
        records, {"bootstrap_servers": kafka}, topic_names={"asked": topic}, progress=counts.append
    )
    assert sent == 300
    assert counts[-1] == 300
    assert counts == sorted(counts)
    found = await read_back(kafka, topic, 3, 300)
    for partition in range(3):
        expected = [record for record in records if record.partition == partition]
        got = [message for message in found if message.partition == partition]
        assert [(m.key, m.value) for m in got] == [(r.key, r.value) for r in expected]
        assert [m.headers for m in got] == [((LOGGED_AT_HEADER, b"%d" % r.logged_at_ms),) for r in expected]


async def test_speed_follows_the_logged_time(kafka, suffix):
    """At speed 10, two seconds of log take a fifth of a second, and nothing goes out before it is due."""
    topic = f"publish.{suffix}"
    await create(kafka, topic, 1)
    records = [Record(topic, 0, n, T0 + n * 200, b"k", b"{}") for n in range(11)]
    started = time.monotonic()
    await publish(records, {"bootstrap_servers": kafka}, speed=10)
    assert 0.19 <= time.monotonic() - started < 5
    times = [message.timestamp for message in await read_back(kafka, topic, 1, 11)]
    assert times[-1] - times[0] >= 150


async def test_pause_holds_and_resume_goes_on(kafka, suffix):
    """While paused nothing more is confirmed; after resuming everything arrives once."""
    topic = f"publish.{suffix}"
    await create(kafka, topic, 1)
    pace, counts, paused = Pace(20.0), [], asyncio.Event()

    def progress(count):
        counts.append(count)
        if len(counts) == 3:
            pace.pause()
            paused.set()

    records = [Record(topic, 0, n, T0 + n * 1000, b"k", b"%d" % n) for n in range(12)]
    task = asyncio.create_task(publish(records, {"bootstrap_servers": kafka}, pace=pace, progress=progress))
    await paused.wait()
    held = counts[-1]
    await asyncio.sleep(0.4)
    assert counts[-1] == held
    pace.resume()
    assert await task == 12
    assert [m.value for m in await read_back(kafka, topic, 1, 12)] == [b"%d" % n for n in range(12)]


async def test_missing_partition_is_named(kafka, suffix):
    """A record for a partition that the topic has not is refused with topic and partition."""
    topic = f"publish.{suffix}"
    await create(kafka, topic, 2)
    with pytest.raises(PublishError, match=f"{topic} has 2 partitions, the records need partition 5"):
        await publish([Record(topic, 5, 0, T0, None, b"{}")], {"bootstrap_servers": kafka})


async def test_no_broker_is_told(unused_tcp_port):
    """Without a broker the error says so."""
    with pytest.raises(PublishError, match="no connection to the broker"):
        await publish([], {"bootstrap_servers": f"127.0.0.1:{unused_tcp_port}"})


async def test_failing_source_leaves_the_earlier_records(kafka, suffix):
    """Records before a broken line are on the topic when the error comes out."""
    topic = f"publish.{suffix}"
    await create(kafka, topic, 1)

    def broken():
        for n in range(5):
            yield Record(topic, 0, n, T0, b"k", b"%d" % n)
        raise ValueError("line 6")

    with pytest.raises(ValueError, match="line 6"):
        await publish(broken(), {"bootstrap_servers": kafka})
    assert len(await read_back(kafka, topic, 1, 5)) == 5


def test_speed_must_be_positive():
    """A speed of zero or below is refused."""
    for speed in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="speed"):
            Pace(speed)
