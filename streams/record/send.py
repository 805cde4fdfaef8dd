"""Exclusions onto their topic, where the ledger reads them."""

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.kafka.topics import Topics
from streams.model.canonical import encode
from streams.model.exclusion import Exclusion


async def send_exclusion(
    connection: Mapping[str, Any], exclusion: Exclusion, topics: Topics | None = None
) -> None:
    """Publish one revision and wait for the broker's word; raise aiokafka's KafkaError if it has none."""
    producer = AIOKafkaProducer(enable_idempotence=True, **connection)
    try:
        await producer.start()
        topic = (topics or Topics()).exclusions
        await producer.send_and_wait(topic, encode(exclusion), key=exclusion.link.encode())
    finally:
        await producer.stop()
