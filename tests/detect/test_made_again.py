"""Topics made again while `detect` knows positions of the ones before: on a real broker."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streams import telemetry
from streams.detect.app import make_app
from streams.detect.decisions import DecisionsReader
from streams.detect.link.snapshot import Place
from streams.detect.reading import Reading
from streams.kafka.topics import Topics, create_topics

pytestmark = pytest.mark.kafka

BEFORE, GREW_TO = 5, (2, 5, 9)


@pytest.fixture
def topics() -> Topics:
    """Return topics of the test's own."""
    return Topics().suffixed(f"again-{uuid.uuid4().hex[:6]}")


async def write(connection, topic: str, count: int, name: str) -> list[int]:
    """Write some records; return the broker's times."""
    times = []
    async with AIOKafkaProducer(**connection) as producer:
        for number in range(count):
            value = f"{name} {number}".encode()
            sent = await producer.send_and_wait(topic, value, key=value, partition=0)
            times.append(sent.timestamp)
    return times


async def make_again(connection, topics: Topics, topic: str) -> None:
    """Delete a topic and make it again under its name."""
    admin = AIOKafkaAdminClient(**connection)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await create_topics(connection, topics)


@pytest.mark.parametrize("grew_to", GREW_TO)
async def test_another_log_is_noticed_however_far_it_has_grown(kafka: str, topics: Topics, grew_to: int):
    """The log that was followed is the same while it grows; one made again is another at any length."""
    connection = {"bootstrap_servers": kafka}
    await create_topics(connection, topics)
    app = make_app(connection, partitions=1, topics=topics)
    reading = Reading(app, connection, topics.measurements)
    try:
        place = Place(BEFORE, max(await write(connection, topics.measurements, BEFORE, "old")))
        assert await reading.other_log(0, place, BEFORE) is None
        await asyncio.sleep(0.01)  # so that the next record has a later time
        await write(connection, topics.measurements, 2, "newer")
        assert await reading.other_log(0, place, BEFORE) is None
        await make_again(connection, topics, topics.measurements)
        await write(connection, topics.measurements, grew_to, "new")
        assert await reading.other_log(0, place, BEFORE) == (0, grew_to)
    finally:
        await reading.close()


@pytest.mark.parametrize("grew_to", GREW_TO)
async def test_decisions_are_learned_of_a_topic_that_was_made_again(
    kafka: str, topics: Topics, grew_to: int, monkeypatch
):
    """What is written to a topic of decisions after it was made again is learned, however much that is."""
    connection, learned, told = {"bootstrap_servers": kafka}, [], []
    monkeypatch.setattr(telemetry, "emit", told.append)
    await create_topics(connection, topics)
    reader = DecisionsReader(connection, topics.rules, 0, lambda value, _: learned.append(value))
    try:
        await write(connection, topics.rules, BEFORE, "old")
        await reader.read()
        await make_again(connection, topics, topics.rules)
        await write(connection, topics.rules, grew_to, "new")
        await reader.read()
        await reader.read()
    finally:
        await reader.close()
    old = [b"old %d" % number for number in range(BEFORE)]
    assert [type(one) for one in told].count(telemetry.LogBeganAgain) == 1
    assert learned == old + [b"new %d" % number for number in range(grew_to)]
