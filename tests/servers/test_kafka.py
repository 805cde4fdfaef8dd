"""The embedded broker is a real one, starts and stops in order, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.kafka.connection import kafka_connection
from streams.kafka.topics import Topics, create_topics
from streams.servers.errors import PartError
from streams.servers.kafka import EmbeddedKafka


async def produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    """Write one value to the first partition."""
    async with AIOKafkaProducer(
        **kafka_connection(bootstrap_servers), max_request_size=4 * 1024 * 1024
    ) as producer:
        await producer.send_and_wait(topic, value, partition=0)


async def consume_first(bootstrap_servers: str, topic: str) -> bytes:
    """Read the first value of the first partition."""
    async with AIOKafkaConsumer(**kafka_connection(bootstrap_servers)) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        return (await consumer.getone()).value


async def test_values_above_one_megabyte_pass(kafka, suffix):
    """An oversized input value arrives whole, so that it can become a dead letter rather than an error."""
    topics = Topics().suffixed(suffix)
    await create_topics(kafka_connection(kafka), topics)
    value = os.urandom(1_500_000)
    await produce(kafka, topics.lookups, value)
    assert await consume_first(kafka, topics.lookups) == value


@pytest.mark.usefixtures("kafka")
async def test_detached_broker_survives_its_starter_and_keeps_its_data(tmp_path, suffix):
    """Records written before a stop are read after the next start; start and stop may be repeated."""
    broker = EmbeddedKafka(tmp_path / "data with space")
    started = broker.start()
    try:
        assert broker.start() == started == EmbeddedKafka(broker.data_dir).status()
        assert psutil.Process(started.pid).ppid() != os.getpid(), "it is nobody's child here"
        topics = Topics().suffixed(suffix)
        await create_topics(kafka_connection(broker.bootstrap_servers), topics)
        await produce(broker.bootstrap_servers, topics.lookups, b"kept")
        assert broker.stop()
        assert not psutil.pid_exists(started.pid) or psutil.Process(started.pid).status() == "zombie"
        assert not broker.stop()
        broker.start()
        assert await consume_first(broker.bootstrap_servers, topics.lookups) == b"kept"
    finally:
        broker.stop()


@pytest.mark.usefixtures("kafka")
def test_taken_port_is_left_to_who_has_it(tmp_path):
    """With the usual port taken the broker comes up on another one, on the loopback interface only."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with EmbeddedKafka(tmp_path, port=port) as broker:
            assert broker.bootstrap_servers != f"127.0.0.1:{port}"
            java = psutil.Process(broker.status().pid).children()[0]
            listening = {c.laddr.ip for c in java.net_connections("tcp") if c.status == "LISTEN"}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


@pytest.mark.usefixtures("kafka")
def test_broker_ends_when_its_owner_is_killed(tmp_path):
    """A broker held by a process ends even if that process is killed with SIGKILL."""
    script = (
        "import time, pathlib, sys\n"
        "from streams.servers.kafka import EmbeddedKafka\n"
        "with EmbeddedKafka(pathlib.Path(sys.argv[1])) as broker:\n"
        "    print(broker.status().pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        leash = psutil.Process(int(owner.stdout.readline()))
        held = [leash, *leash.children(recursive=True)]
        owner.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(held, timeout=30)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_process_id_of_another_process_is_not_taken_for_the_broker(tmp_path):
    """A state file left over from before a reboot never makes `stop` end somebody else's process."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        recorded = {"pid": stranger.pid, "created": time.time() - 1e6, "port": 9092}
        (tmp_path / "broker.json").write_text(json.dumps(recorded))
        broker = EmbeddedKafka(tmp_path)
        assert not broker.status().running
        assert not broker.stop()
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_damaged_state_file_means_stopped(tmp_path, content):
    """A state file that cannot be read is no error: the broker counts as stopped."""
    (tmp_path / "broker.json").write_text(content)
    assert not EmbeddedKafka(tmp_path).status().running


@pytest.mark.usefixtures("kafka")
def test_failed_start_shows_the_end_of_the_log(tmp_path):
    """When the broker cannot start, the error holds what it said last."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\nnode.id=77\ncluster.id=x\n")
    with pytest.raises(PartError, match="ended while starting") as failure, EmbeddedKafka(tmp_path):
        pass
    assert "node" in str(failure.value)


@pytest.mark.usefixtures("kafka")
def test_start_that_takes_too_long_is_given_up(tmp_path):
    """After the start timeout the error says so, and no process is left."""
    broker = EmbeddedKafka(tmp_path, start_timeout_seconds=0.2)
    with pytest.raises(PartError, match=r"did not answer within 0\.2 s"):
        broker.start()
    assert not broker.status().running
    java = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert java == []


@pytest.mark.usefixtures("kafka")
def test_same_data_cannot_be_served_twice(tmp_path):
    """A second broker over data that are in use is refused before it starts."""
    broker = EmbeddedKafka(tmp_path)
    broker.start()
    try:
        with pytest.raises(PartError, match="already running"), EmbeddedKafka(tmp_path):
            pass
    finally:
        broker.stop()
