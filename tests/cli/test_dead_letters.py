"""`portallink dead-letters` on a real broker."""

import json
import os
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaProducer

from streams.kafka.read import open_reader, partitions_on, read_range
from streams.kafka.topics import Topics, create_topics
from streams.measure.letters import encode_letter, letter_key
from streams.measure.refused import DeadLetter
from streams.model.record import LOGGED_AT_HEADER

VALUES = {3: b'{"type":"lookup.forgotten"}', 5: b"\x00\xff\x1b[31m", 9: b""}


@pytest.fixture
async def letters(kafka: str, suffix: str) -> Topics:
    """Return topics with three dead letters, one of them told twice."""
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics)
    async with AIOKafkaProducer(**connection) as producer:
        for offset in (3, 5, 9, 5):
            letter = DeadLetter(
                offset, 1_700_000_000_000 + offset, "wrong_shape", "why", b"k", VALUES[offset]
            )
            value = encode_letter(topics.lookups, 0, letter)
            await producer.send_and_wait(topics.dead_letters, value, key=letter_key(topics.lookups, 0))
    return topics


def run(kafka: str, suffix: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    argv = [sys.executable, "-m", "streams", "dead-letters", *words, "--suffix", suffix]
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka, "NO_COLOR": "1"}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_letters_are_listed_shown_retried_and_forgotten(kafka: str, suffix: str, letters: Topics):
    """Each is listed once; a retry sends its bytes and its time again; what is settled is listed no more."""

    def listed() -> list[str]:
        done = run(kafka, suffix, "list", "--json")
        assert done.returncode == 0, done.stderr
        return sorted(one["record"] for one in json.loads(done.stdout))

    names = {offset: f"{letters.lookups}/0@{offset}" for offset in VALUES}
    assert listed() == sorted(names.values())
    shown = run(kafka, suffix, "show", names[5])
    assert "\x1b" not in shown.stdout
    assert json.loads(shown.stdout)["reason"] == "wrong_shape"
    assert run(kafka, suffix, "retry", names[3], names[5]).returncode == 0
    assert listed() == [names[9]]
    connection = {"bootstrap_servers": kafka}
    async with open_reader(connection) as reader:
        (source, *_) = await partitions_on(connection, [letters.lookups])
        end = (await reader.end_offsets([source]))[source]
        sent = [one async for batch in read_range(reader, source, 0, end) for one in batch]
    assert [(one.key, one.value) for one in sent] == [(b"k", VALUES[3]), (b"k", VALUES[5])]
    assert dict(sent[0].headers)[LOGGED_AT_HEADER] == b"1700000000003"
    assert run(kafka, suffix, "forget", "--reason", "wrong_shape").returncode == 0
    assert listed() == []
    unknown = run(kafka, suffix, "retry", names[3])
    assert (unknown.returncode, names[3] in unknown.stderr.replace("\n", "")) == (2, True)
    assert run(kafka, suffix, "forget").returncode == 2
