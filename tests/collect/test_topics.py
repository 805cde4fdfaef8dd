"""Spans from Kafka, as a Collector writes them."""

import asyncio
import signal
import time
from base64 import b64decode

import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from collecting import read_values
from spans import as_json, as_protobuf, span


async def write(servers, topic, values, *, create=True):
    """Write values to a topic of two partitions, one after the other in turn."""
    if create:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 2, 1)])
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for n, value in enumerate(values):
            await producer.send_and_wait(topic, value, partition=n % 2)


def wait_for(what, seconds=60):
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_each_span_of_a_topic_arrives_though_the_process_is_killed(collect, kafka, suffix):
    """Every span in either form becomes its events, over a kill before a commit; no export is one letter."""
    topic = f"otlp_spans.{suffix}"
    start_ns = time.time_ns() - 5_000_000_000
    exports = [
        (as_protobuf, as_json)[n // 2 % 2]([span(10 * n + k, start_ns=start_ns + n) for k in range(10)])
        for n in range(1, 40)
    ]
    asyncio.run(write(kafka, topic, [*exports[:20], b"\xff\xff no export", *exports[20:30]]))
    options = "--from-topic", topic, "--group"

    def arrived(running):
        return {one["dossier_id"] for one in running.events() if one["type"] == "lookup.completed"}

    def letters(running):
        return asyncio.run(read_values(kafka, running.topics.dead_letters, 1))

    with collect(*options, f"a-{suffix}") as running:
        wait_for(lambda: len(arrived(running)) >= 100 and letters(running))
        (child,) = psutil.Process(running.process.pid).children()
        child.send_signal(signal.SIGKILL)
    asyncio.run(write(kafka, topic, exports[30:], create=False))
    with collect(*options, f"b-{suffix}") as running:  # a group without a commit
        wait_for(lambda: len(arrived(running)) >= 390)
        assert arrived(running) == {f"{10 * n + k:032x}" for n in range(1, 40) for k in range(10)}
        ids = {one["event_id"] for one in running.events()}
        assert len(ids) == 2 * 390
        wait_for(lambda: any(one.get("links") for one in running.records()))
        (letter,) = letters(running)
    assert (letter["reason"], b64decode(letter["value_base64"])) == ("wrong_shape", b"\xff\xff no export")
