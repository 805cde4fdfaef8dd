"""`collect` as a process, for the tests that talk to it."""

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.kafka.topics import Topics
from streams.servers.process import LeashedProcess, answers_http

TOKEN = "a-token-of-the-test"  # noqa: S105 - it guards nothing


@dataclass
class Collect:
    """A running `collect`, its ports, and the topics that it writes."""

    process: LeashedProcess
    http: str
    grpc: str
    topics: Topics
    servers: str

    def events(self, topic: str | None = None) -> list[dict]:
        """Return the events that lie on a topic now, heartbeats left out."""
        return [event for event in self.records(topic) if event["type"] != "observer.heartbeat"]

    def records(self, topic: str | None = None) -> list[dict]:
        """Return all values that lie on a topic now."""
        return asyncio.run(read_values(self.servers, topic or self.topics.lookups))

    def counts(self) -> Counter:
        """Return how often each outcome of each link lies on the lookups' topic."""
        done = [event for event in self.events() if event["type"] == "lookup.completed"]
        return Counter((event["link"], event["outcome"]) for event in done)


async def read_values(servers: str, topic: str, partitions: int = 4) -> list[dict]:
    """Return the values of a topic's records, up to where it ends now."""
    async with AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest") as reader:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        reader.assign(places)
        found = []
        for place, end in (await reader.end_offsets(places)).items():
            while await reader.position(place) < end:
                messages = (await reader.getmany(place, timeout_ms=500)).get(place, [])
                found += [json.loads(message.value) for message in messages]
        return found


@contextlib.contextmanager
def collecting(
    servers: str, topics: Topics, suffix: str, folder: Path, *options: str, ready: bool = True
) -> Iterator[Collect]:
    """Run `collect`, and give it once it listens, and once it has its producer if it is to be ready."""
    log = folder / f"collect-{time.monotonic_ns()}.log"
    argv = [sys.executable, "-m", "streams", "run", "collect", "--suffix", suffix, *options]
    if "--http-port" not in options:
        argv += ["--http-port", "0", "--grpc-port", "0"]
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": servers}
    with LeashedProcess(argv, log=log, env=environment) as process:

        def addresses() -> list[str]:
            return re.findall(
                r'"(?:otlp http|otlp grpc|metrics)","address":"http://([^"/]+)', log.read_text()
            )

        process.wait_until_ready(lambda: len(addresses()) == 3, what="collect", timeout_seconds=60)
        metrics, http, grpc = addresses()
        if ready:
            url = f"http://{metrics}/readyz"
            process.wait_until_ready(lambda: answers_http(url), what="collect", timeout_seconds=60)
        yield Collect(process, f"http://{http}", grpc, topics, servers)
