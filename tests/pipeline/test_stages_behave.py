"""How a stage behaves as a process: ports that are taken, a broker that is away, signals, and its log."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from streams.kafka.topics import create_topics
from streams.servers.kafka import EmbeddedKafka
from streams.servers.process import answers_http, free_port

STAGES = ("measure", "detect", "record")
PATIENCE_SECONDS = 120


@contextmanager
def taken() -> Iterator[int]:
    """Hold a port while the context lasts."""
    with socket.socket() as holding:
        holding.bind(("127.0.0.1", 0))
        holding.listen()
        yield holding.getsockname()[1]


class Process:
    """A stage as a process, with its log in a file."""

    def __init__(self, stage: str, servers: str, folder: Path) -> None:
        self.stage, self._file = stage, folder / f"{stage}.log"
        environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": servers, "PORTALLINK_DATA": str(folder)}
        with self._file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streams", "run", stage],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=folder,
            )

    def lines(self) -> list[dict[str, object]]:
        """Return the whole lines of the log; each must be JSON."""
        text = self._file.read_text("utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def events(self) -> list[object]:
        """Return what each line of the log tells."""
        return [line["event"] for line in self.lines()]

    def wait_for(self, event: str) -> None:
        """Return when the log tells something."""
        wait_until(lambda: event in self.events(), f"{self.stage}: no {event} in {self._file}")

    def wait_until_ready(self) -> None:
        """Return when the stage says on its metrics port that it is ready."""
        self.wait_for("address_served")
        served = next(line for line in self.lines() if line["event"] == "address_served")
        ready = str(served["address"]).replace("/metrics", "/readyz")
        wait_until(lambda: answers_http(ready), f"{self.stage}: not ready at {ready}")

    def end(self, by: signal.Signals) -> int:
        """Ask the process to end; return its exit code."""
        self._process.send_signal(by)
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """End the process if it still runs."""
        self._process.kill()
        self._process.wait()


def wait_until(happened: Callable[[], bool], otherwise: str) -> None:
    """Return when something has happened; fail when it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("measure", "--metrics-port"),
        ("detect", "--web-port"),
        ("serve", "--port"),
        ("collect", "--http-port"),
    ],
    ids=" ".join,
)
def test_a_port_in_use_is_one_line(arguments, tmp_path):
    """A stage that cannot listen says which port is in use, in one line, and exits 1."""
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "PORTALLINK_DATA": str(tmp_path)}
    with taken() as port:
        command = [sys.executable, "-m", "streams", "run", *arguments, str(port)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = [line for line in ended.stderr.splitlines() if "a signing key" not in line]
    assert (ended.returncode, said) == (1, [f"error: port {port} is in use"])


@pytest.mark.parametrize(
    ("stage", "by"),
    [
        ("measure", signal.SIGINT),
        ("detect", signal.SIGTERM),
        ("detect", signal.SIGINT),
        ("record", signal.SIGTERM),
    ],
)
def test_a_stage_waits_for_a_broker_that_is_not_there(stage, by, tmp_path):
    """It says so in one line, goes on waiting, and ends in one line when it is told to."""
    process = Process(stage, f"127.0.0.1:{free_port()}", tmp_path)
    try:
        process.wait_for("broker_away")
        assert process.end(by) == 0
    finally:
        process.kill()
    told = [event for event in process.events() if event != "stage_advised"]
    assert told == ["address_served", "stage_started", "broker_away", "stage_stopped"]


@pytest.mark.kafka
@pytest.mark.slow
def test_a_stage_waits_for_a_broker_that_goes_away(tmp_path):
    """Every stage says once that the broker is away, once that it is back, and goes on, in a log of JSON."""
    port = free_port()
    with ExitStack() as running:
        kafka = running.enter_context(EmbeddedKafka(tmp_path / "kafka", port=port))
        servers = kafka.bootstrap_servers
        asyncio.run(create_topics({"bootstrap_servers": servers}))
        processes = [Process(stage, servers, tmp_path) for stage in STAGES]
        for process in processes:
            running.callback(process.kill)
            process.wait_until_ready()
        kafka.__exit__(None, None, None)
        for process in processes:
            process.wait_for("broker_away")
        with EmbeddedKafka(tmp_path / "kafka", port=port) as again:
            assert again.bootstrap_servers == servers
            for process in processes:
                process.wait_for("broker_back")
            assert [process.end(signal.SIGTERM) for process in processes] == [0] * len(processes)
    for process in processes:
        events = process.events()
        assert events.count("broker_away") == events.count("broker_back") == 1, process.stage
        assert events[-1] == "stage_stopped"
        assert not {"stage_failed", "stage_blocked"} & set(events)
