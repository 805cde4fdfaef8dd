"""Runs the stages as processes against a real broker, and gathers what they publish."""

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
from aiokafka import AIOKafkaConsumer

from streams.kafka.topics import Topics
from streams.model.canonical import encode, join, ordered_outages, ordered_windows
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.servers.process import LeashedProcess


class Stage:
    """One stage as a process, which can be killed and started again."""

    def __init__(self, name: str, servers: str, folder: Path, *options: str) -> None:
        self._name, self._options, self._folder = name, options, folder
        self._environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": servers}
        self.starts = 0
        self._process = self._start()

    def _start(self) -> LeashedProcess:
        self.starts += 1
        log = self._folder / f"{self._name}-{id(self)}-{self.starts}.log"
        argv = [sys.executable, "-m", "streams", "run", self._name, *self._options]
        return LeashedProcess(argv, log=log, env=self._environment, cwd=Path.cwd())

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self._name

    def processes(self) -> list[psutil.Process]:
        """Return the stage's own processes, without the leash that holds them."""
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: int) -> None:
        """Send a signal to the stage's processes."""
        for child in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)

    def kill(self) -> None:
        """Kill the process with SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        self._process.stop()

    def restart(self) -> None:
        """Start the stage's process again; one that runs is asked to end before."""
        self._process.stop()
        self._process = self._start()

    def kill_and_restart(self) -> None:
        """Kill the process with SIGKILL, as a crash would, and start another one."""
        self.kill()
        self._process = self._start()

    def logs(self) -> str:
        """Return what all processes of the stage have logged."""
        files = sorted(self._folder.glob(f"{self._name}-{id(self)}-*.log"))
        return "".join(file.read_text(errors="replace") for file in files)

    def alive(self) -> bool:
        """Say whether the process runs."""
        return self._process.alive()

    def log(self) -> str:
        """Return what the present process has logged."""
        return self._process.log.read_text(errors="replace")

    def stop(self) -> None:
        """End the process in order."""
        self._process.stop()


@dataclass
class Published:
    """What stood in the result topics, message by message."""

    measurements: list[Measurement] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)

    def canonical(self) -> dict[str, list[bytes]]:
        """Return the results as `analyze --out` writes them."""
        return {
            "measurements": [encode(measurement) for measurement in join(self.measurements)],
            "windows": [encode(window) for window in ordered_windows(self.windows)],
            "outages": [encode(outage) for outage in ordered_outages(self.outages)],
        }

    def contradictions(self) -> list[object]:
        """Return what was published twice and not the same both times."""
        said: dict[object, bytes] = {}
        wrong: list[object] = []
        for window in self.windows:
            key = (window.link, window.start_ms, window.revision)
            wrong += [key] if said.setdefault(key, encode(window)) != encode(window) else []
        for outage in self.outages:
            key = (outage.outage_id, outage.revision)
            wrong += [key] if said.setdefault(key, encode(outage)) != encode(outage) else []
        return wrong


async def gather(
    servers: str,
    topics: Topics,
    expected: dict[str, list[bytes]],
    *,
    stages: list[Stage],
    kills: list[tuple[float, Stage]] = (),
    patience_seconds: float = 90.0,
) -> Published:
    """Read the result topics until as much as expected has come; kill stages on the way as asked.

    A kill is due when its share of the expected measurements has been seen. Gives up, returning what came,
    when nothing new comes for ``patience_seconds`` or a stage has ended by itself.
    """
    published, due = Published(), sorted(kills, key=lambda kill: kill[0])
    into = {
        topics.measurements: (published.measurements, msgspec.json.Decoder(Measurement)),
        topics.windows: (published.windows, msgspec.json.Decoder(Window)),
        topics.outages: (published.outages, msgspec.json.Decoder(Outage)),
    }
    seen: dict[str, set[object]] = {"measurements": set(), "windows": set(), "outages": set()}
    async with AIOKafkaConsumer(
        *into, bootstrap_servers=servers, auto_offset_reset="earliest", max_partition_fetch_bytes=8_000_000
    ) as consumer:
        heard_at = time.monotonic()
        while time.monotonic() - heard_at < patience_seconds and all(stage.alive() for stage in stages):
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                heard_at = time.monotonic()
                values, decoder = into[partition.topic]
                for record in records:
                    value = decoder.decode(record.value)
                    values.append(value)
                    seen[_kind(value)].add(_identity(value))
            while due and len(seen["measurements"]) >= due[0][0] * len(expected["measurements"]):
                due.pop(0)[1].kill_and_restart()
            if not due and all(len(seen[kind]) >= len(expected[kind]) for kind in seen):
                break
    return published


def _kind(value: Measurement | Window | Outage) -> str:
    return {Measurement: "measurements", Window: "windows", Outage: "outages"}[type(value)]


def _identity(value: Measurement | Window | Outage) -> object:
    if isinstance(value, Measurement):
        return value.source
    if isinstance(value, Window):
        return value.link, value.start_ms, value.revision
    return value.outage_id, value.revision


def random_kills(seed: int, stages: list[Stage], times: int) -> list[tuple[float, Stage]]:
    """Return at which share of the work which stage is killed: the same for the same seed."""
    chance = random.Random(seed)
    return [(chance.uniform(0.05, 0.95), chance.choice(stages)) for _ in range(times)]


@contextlib.contextmanager
def running(*stages: Stage) -> Iterator[list[Stage]]:
    """Stop the stages at the end, whichever way it comes."""
    try:
        yield list(stages)
    finally:
        for stage in stages:
            stage.stop()
