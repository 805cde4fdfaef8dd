"""TLS and SASL on a real broker: five ways in, and what is said to those who are not let in."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from real_parts import needed_part
from secured_kafka import KINDS, MECHANISMS, Secured, secured_kafka

from streams.kafka.clients import refusal
from streams.kafka.connection import kafka_connection
from streams.kafka.publish import publish
from streams.kafka.read import topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.model.record import Record

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Return a broker that asks who comes."""
    with needed_part(), secured_kafka(tmp_path_factory.mktemp("secured")) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
async def test_each_way_in_makes_topics_writes_and_reads(secured: Secured, kind: str, suffix: str):
    """With its settings in the environment a client makes topics, publishes and reads what it published."""
    connection, topics = kafka_connection(environment=secured.environments[kind]), Topics().suffixed(suffix)
    await create_topics(connection, topics)
    records = [Record("npd.lookups", 0, n, 1_700_000_000_000, b"k", b"%d" % n) for n in range(5)]
    await publish(records, connection, topic_names=topics.by_declared_name())
    found = [r.value async for batch in topic_batches(connection, [topics.lookups]) for r in batch]
    assert found == [record.value for record in records]
    assert await refusal(connection) is None


@pytest.mark.parametrize("kind", [*MECHANISMS, "MUTUAL"])
async def test_who_is_not_let_in_is_told_why(secured: Secured, kind: str):
    """With a wrong password, or without the certificate asked for, the reason is told, never the password."""
    environment = dict(secured.environments[kind])
    if kind == "MUTUAL":
        del environment["KAFKA_SSL_CERTFILE"], environment["KAFKA_SSL_KEYFILE"]
        why = await refusal(kafka_connection(environment=environment))
        assert why is None or "certificate" in why.lower()  # TLS 1.3 tells the client with the first read
        return
    environment["KAFKA_SASL_PASSWORD"] = "wrong and secret"  # noqa: S105 - made up
    why = await refusal(kafka_connection(environment=environment))
    assert why is not None
    assert "Authentication" in why
    assert "wrong and secret" not in why


def open_files() -> set[str]:
    """Return the numbers of this process's open files and sockets."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208  # numbers, not paths


@pytest.mark.parametrize("kind", KINDS)
async def test_asking_why_leaves_no_socket_open(secured: Secured, kind: str):
    """When `refusal` returns, its connection is closed, although closing TLS takes a round trip."""
    connection = kafka_connection(environment=secured.environments[kind])
    before = open_files()
    assert await refusal(connection) is None
    assert open_files() <= before


def test_a_stage_with_wrong_credentials_says_so_and_ends(secured: Secured, tmp_path):
    """`run measure` exits 1 and says that the broker refuses it; it does not wait for the broker."""
    environment = os.environ | secured.environments["SCRAM512"] | {"KAFKA_SASL_PASSWORD": "wrong"}
    done = subprocess.run(
        [sys.executable, "-m", "streams", "run", "measure"],
        env=environment | {"PORTALLINK_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr[-2_000:]
    assert "the broker refuses this client" in done.stderr.replace("\n", " ")
