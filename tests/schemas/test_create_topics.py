"""Applying the declared topics to a real broker creates what is missing and tells what differs."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka.connection import kafka_connection
from streams.kafka.topics import (
    Difference,
    TopicCreationError,
    TopicDataError,
    Topics,
    create_topics,
    declared_topics,
)


async def test_applying_twice_creates_once(kafka, suffix):
    """The first time creates every topic with its settings, the second time finds them as declared."""
    topics, connection = Topics().suffixed(suffix), kafka_connection(kafka)
    names = tuple(sorted(topics.by_declared_name().values()))
    first = await create_topics(connection, topics, partitions={"npd.lookups": 12})
    again = await create_topics(connection, topics, partitions={"npd.lookups": 12})
    assert (first.created, first.unchanged, first.differences) == (names, (), ())
    assert (again.created, again.unchanged, again.differences) == ((), names, ())


async def test_differences_are_told_and_left_alone(kafka, suffix):
    """A topic with another partition count than declared is reported, not changed; the others are fine."""
    topics, connection = Topics().suffixed(suffix), kafka_connection(kafka)
    await create_topics(connection, topics, partitions={"npd.lookups": 3})
    for _ in range(2):
        report = await create_topics(connection, topics)
        declared = str(declared_topics()["npd.lookups"].partitions)
        assert report.differences == (Difference(topics.lookups, "partitions", declared, "3"),)
        assert topics.lookups not in report.unchanged


async def test_differing_settings_are_told(kafka, suffix):
    """A topic made by someone else with another setting is reported with both values."""
    topics, connection = Topics().suffixed(suffix), kafka_connection(kafka)
    declared = declared_topics()["link.exclusions"]
    config = {**declared.config, "retention.ms": "1000"}
    admin = AIOKafkaAdminClient(**connection)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topics.exclusions, declared.partitions, 1, topic_configs=config)])
    finally:
        await admin.close()
    report = await create_topics(connection, topics)
    assert report.differences == (Difference(topics.exclusions, "retention.ms", "-1", "1000"),)
    assert topics.exclusions not in report.created


async def test_impossible_wishes_are_refused_by_name(kafka, suffix):
    """An unknown topic, and more copies than brokers, are refused with the name of the topic."""
    topics, connection = Topics().suffixed(suffix), kafka_connection(kafka)
    with pytest.raises(TopicDataError, match=r"npd\.lookup$"):
        await create_topics(connection, topics, partitions={"npd.lookup": 1})
    with pytest.raises(TopicCreationError, match=rf"-{suffix}: .*eplication"):
        await create_topics(connection, topics, replication_factor=3)
