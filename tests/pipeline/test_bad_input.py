"""Bad records among good ones: each set aside with its reason and place, nothing lost, the sums reconcile."""

import asyncio
import base64
import json
import time
import urllib.request
import uuid
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from malformed import KINDS, spoilt_among
from stages import Stage, running

from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.model.topics import LOOKUPS
from streams.replay.analyze import analyze
from streams.servers.process import free_port
from streams.simulate.generate import Run
from streams.simulate.shell import load_catalogue, load_scenario

pytestmark = pytest.mark.slow

GOOD, BAD = 100_000, 1_000


@pytest.fixture(scope="module")
def mixed():
    """Return 100,000 good records with 1,000 spoilt ones among them, each with its reason or None."""
    catalogue = load_catalogue()
    run = Run(catalogue, load_scenario("monday-morning", catalogue), seed=3, partitions=2)
    return list(spoilt_among(islice(run.records(), GOOD), BAD, seed=5))


def test_analyze_accounts_for_every_record(mixed):
    """Every record ends as applied, duplicate, late, dead letter or after the last cut, and none twice."""
    analysis = analyze(record for record, _ in mixed)
    records = analysis.records
    counted = records.applied + records.duplicate + records.late + records.dead_letter + analysis.pending
    assert counted == GOOD + BAD
    expected = {(r.topic, r.partition, r.offset): reason for r, reason in mixed if reason is not None}
    found = {(topic, at, letter.offset): letter.reason for topic, at, letter in analysis.dead_letters}
    assert found == expected
    assert len(KINDS) >= 10


def _metric_sums(port: int, name: str, label: str) -> Counter[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    sums: Counter[str] = Counter()
    for line in lines:
        if line.startswith(name + "{"):
            labels, _, value = line.removeprefix(name).rpartition(" ")
            sums[labels.split(f'{label}="')[1].split('"')[0]] += int(float(value))
    return sums


async def _dead_letters(servers: str, topic: str, count: int) -> list[dict[str, object]]:
    letters: list[dict[str, object]] = []
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    async with consumer:
        give_up_at = time.monotonic() + 120
        while len(letters) < count and time.monotonic() < give_up_at:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                letters += [json.loads(record.value) for record in records]
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            letters += [json.loads(record.value) for record in records]
    return letters


@pytest.mark.timeout(300)
def test_a_thousand_bad_records_among_a_hundred_thousand(kafka: str, mixed, tmp_path: Path):
    """1,000 spoilt records give 1,000 dead letters with reason, place and bytes; the metrics add up."""
    suffix = f"bad-{uuid.uuid4().hex[:6]}"
    topics = Topics().suffixed(suffix)
    connection = {"bootstrap_servers": kafka}

    async def load() -> None:
        await create_topics(connection, topics, partitions={LOOKUPS: 2, "portal.submissions": 2})
        options = connection | {"max_request_size": 4_000_000}
        await publish((r for r, _ in mixed), options, topic_names=topics.by_declared_name())

    asyncio.run(load())
    port = free_port()
    with running(Stage("measure", kafka, tmp_path, "--suffix", suffix, "--metrics-port", str(port))):
        letters = asyncio.run(_dead_letters(kafka, topics.dead_letters, BAD))
        results = Counter()
        give_up_at = time.monotonic() + 60
        while results.total() < GOOD + BAD and time.monotonic() < give_up_at:
            time.sleep(0.5)
            results = _metric_sums(port, "portallink_records_total", "result")
        reasons = _metric_sums(port, "portallink_dead_letters_total", "reason")
    expected = {(r.partition, r.offset): (reason, r) for r, reason in mixed if reason is not None}
    assert len(letters) == BAD
    for letter in letters:
        source = letter["source"]
        assert source["topic"] == topics.lookups
        reason, record = expected.pop((source["partition"], source["offset"]))
        assert letter["reason"] == reason
        assert base64.b64decode(letter["value_base64"]) == record.value
    assert expected == {}
    assert results["dead_letter"] == BAD
    assert results.total() == GOOD + BAD
    assert reasons == Counter(reason for _, reason in mixed if reason is not None)
