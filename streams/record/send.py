"""Publish people's decisions to the topics that the ledger reads: exclusions, retirements of links."""

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.kafka.topics import Topics
from streams.model.canonical import encode
from streams.model.exclusion import Exclusion
from streams.model.retirement import Retirement


async def send_decision(
    connection: Mapping[str, Any], decision: Exclusion | Retirement, topics: Topics | None = None
) -> None:
    """Publish one revision and wait for the acknowledgement; raise aiokafka's KafkaError if none comes."""
    names = topics or Topics()
    topic = names.exclusions if isinstance(decision, Exclusion) else names.retirements
    producer = AIOKafkaProducer(enable_idempotence=True, **connection)
    try:
        await producer.start()
        await producer.send_and_wait(topic, encode(decision), key=decision.link.encode())
    finally:
        await producer.stop()
