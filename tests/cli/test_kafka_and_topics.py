"""`portallink kafka` and `portallink topics` as a person runs them: output, exit codes, what they leave."""

import json
import os
import socket
import subprocess
import sys

import pytest

from streams.kafka.topics import declared_topics

pytestmark = pytest.mark.slow


@pytest.fixture
def portallink(tmp_path):
    """Run the command line in a process of its own, with its data in a temporary folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
        return subprocess.run(
            [sys.executable, "-m", "streams", *arguments],
            env={**inherited, "PORTALLINK_DATA": str(tmp_path), "COLUMNS": "120", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.usefixtures("kafka")
def test_a_broker_by_hand_from_start_to_stop(portallink, tmp_path):
    """Start, status, topics, stop: each does what it says and exits 0, and repeating one does no harm."""
    try:
        started = portallink("kafka", "start", "--json")
        assert started.returncode == 0, started.stderr
        status = json.loads(started.stdout)
        assert status["running"]
        assert status["data_dir"] == str(tmp_path / "kafka")
        assert json.loads(portallink("kafka", "start", "--json").stdout) == status
        assert status["bootstrap_servers"] in portallink("kafka", "status").stdout
        applied = portallink("topics", "apply")
        assert applied.returncode == 0, applied.stderr
        assert applied.stdout.count("created") == len(declared_topics())
        again = json.loads(portallink("topics", "apply", "--json").stdout)
        assert (again["created"], again["differences"]) == ([], [])
        assert len(again["unchanged"]) == len(declared_topics())
        differs = portallink("topics", "apply", "--partitions", "npd.lookups=7")
        assert differs.returncode == 1
        assert "partitions is 4, declared 7" in differs.stdout
    finally:
        stopped = portallink("kafka", "stop", "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout)["running"] is False
    assert portallink("kafka", "stop").stderr.strip() == "it was not running"
    assert "stopped" in portallink("kafka", "status").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("kafka", "start", "--port", "0"), "--port"),
        (("kafka", "restart"), "restart"),
        (("topics", "apply", "--partitions", "npd.lookups"), "TOPIC=COUNT"),
        (("topics", "apply", "--partitions", "npd.lookups=0"), "TOPIC=COUNT"),
        (("topics", "apply"), "portallink kafka start"),
        (("topics", "asyncapi", "--out", "/nowhere/file.yaml"), "/nowhere/file.yaml"),
    ],
)
def test_bad_usage_exits_2_and_says_why(portallink, arguments, told):
    """Wrong or missing input exits 2; the reason is on stderr and nothing on stdout."""
    done = portallink(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_broker_that_does_not_answer_exits_1_with_its_address(portallink):
    """With nobody at the address the command fails, names the address and shows no traceback."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = portallink("topics", "apply", KAFKA_BOOTSTRAP_SERVERS=address)
    assert done.returncode == 1
    assert address in done.stderr
    assert "Traceback" not in done.stderr


def test_without_network_and_cache_start_exits_1(portallink, tmp_path):
    """A first start without network fails and says what to do."""
    done = portallink(
        "kafka", "start", PORTALLINK_CACHE=str(tmp_path / "c"), PORTALLINK_MAVEN_URL="http://127.0.0.1:9"
    )
    assert done.returncode == 1
    assert "could not be downloaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_asyncapi_is_printed(portallink):
    """Without a file the document goes to stdout."""
    done = portallink("topics", "asyncapi")
    assert done.returncode == 0
    assert "asyncapi: 3.0.0" in done.stdout
