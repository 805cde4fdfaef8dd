"""One run of the real pipeline, watched by a real Prometheus and Alertmanager, for the tests beside it."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from real_parts import program_or_skip

import streams
from streams.servers.kafka import EmbeddedKafka
from streams.servers.process import LeashedProcess, free_port
from streams.watch.local import LocalWatch

START_MS = 1_678_669_200_000  # Monday 13 March 2023, 08:00 in Viet Nam

SCENARIO = """
name: watched
title: {vi: Nửa giờ được theo dõi, en: Half an hour under watch}
start: 2023-03-13T08:00
end: 2023-03-13T08:35
links: [hcmc-npd, hcmc-vneid, hcmc-bhyt]
flows:
  - id: residents
    portal: hcmc
    agencies: hcmc-districts
    count: 4000
    services: {dang-ky-tam-tru: 34, dang-ky-khai-sinh: 16, gia-han-the-bhyt: 20}
faults:
  - {id: npd-down, cause: line_cut, links: [hcmc-npd], start: 2023-03-13T08:08, minutes: 10}
"""


@dataclass
class Watched:
    """The pair while it still runs, and what was seen of it: moments in epoch seconds of the wall clock.

    Event time runs ``pace`` times as fast: an hour in a minute.
    """

    pace: ClassVar[int] = 60
    link: ClassVar[str] = "hcmc-npd"
    fault_start_ms: ClassVar[int] = START_MS + 8 * 60_000
    fault_end_ms: ClassVar[int] = START_MS + 18 * 60_000

    watch: LocalWatch
    ports: dict[str, list[int]]
    ledger: str
    started: float
    ended: float = 0.0
    alerts: list[tuple[float, list[dict[str, Any]]]] = field(default_factory=list)
    groups: list[tuple[float, list[dict[str, Any]]]] = field(default_factory=list)

    def event_ms(self, moment: float) -> float:
        """Return the event time that `detect` had reached at a moment."""
        (series,) = self.watch.prometheus.instant(
            'min(time() - portallink_watermark_lag_seconds{stage="detect"})', moment
        )
        return float(series["value"][1]) * 1000


def _portallink(*arguments: str, log: Path, env: dict[str, str]) -> LeashedProcess:
    return LeashedProcess([sys.executable, "-m", "streams", *arguments], log=log, env=env, cwd=log.parent)


@pytest.fixture(scope="session")
def watched(tmp_path_factory) -> Iterator[Watched]:
    """Play half an hour with a ten-minute outage through Kafka and every stage, under watch."""
    folder = tmp_path_factory.mktemp("watched")
    for program in ("prometheus", "alertmanager"):
        program_or_skip(program)
    (folder / "watched.yaml").write_text(SCENARIO, "utf-8")
    with contextlib.ExitStack() as running:
        kafka = running.enter_context(EmbeddedKafka(folder / "kafka"))
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "PYTHONPATH": str(Path(streams.__file__).resolve().parents[1]),
        }
        apply = ["topics", "apply", "--partitions", "npd.lookups=2", "--partitions", "portal.submissions=2"]
        subprocess.run([sys.executable, "-m", "streams", *apply], env=env, check=True, capture_output=True)
        asyncio.run(_send_rubbish(kafka.bootstrap_servers))
        page, ledger = free_port(), f"sqlite:///{folder / 'ledger.db'}"
        options = {
            "record": ["--ledger", ledger, "--key", str(folder / "key.pem")],
            "serve": ["--ledger", ledger, "--port", str(page), "--anonymous", "viewer"],
        }
        ports = {stage: [free_port()] for stage in ("measure", "detect", "record", "serve")}
        ports["measure"].append(free_port())
        for stage, own in ports.items():
            for port in own:
                command = ("run", stage, "--metrics-port", str(port), *options.get(stage, []))
                running.enter_context(_portallink(*command, log=folder / f"{stage}-{port}.log", env=env))
        watch = running.enter_context(LocalWatch(folder / "watch", ports, pace=Watched.pace))
        seen = Watched(watch, ports, ledger, time.time())
        play = ["simulate", str(folder / "watched.yaml"), "--seed", "1", "--speed", str(Watched.pace)]
        play += ["--truth", str(folder / "truth.json")]
        player = running.enter_context(_portallink(*play, log=folder / "simulate.log", env=env))
        _look_on(seen, player, f"http://127.0.0.1:{page}/")
        seen.ended = time.time()
        yield seen


async def _send_rubbish(bootstrap_servers: str) -> None:
    """Write three records that are no events, so that there are dead letters to show."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for number in range(3):
            await producer.send_and_wait("npd.lookups", b"no event", partition=number % 2)


def _look_on(seen: Watched, player: LeashedProcess, page: str) -> None:
    """Note what Prometheus and Alertmanager show, until the play has ended and its alerts are gone.

    Meanwhile an auditor looks at the page now and then, so that there are requests to show.
    """
    deadline = time.monotonic() + 240
    # What is recorded once an hour of event time must have been, with some seconds of rates before it.
    long_enough = seen.started + 3_600 / Watched.pace + 15
    quiet_since = time.monotonic()
    while time.monotonic() < deadline:
        now = time.time()
        with contextlib.suppress(httpx.TransportError):  # the page may not be up yet
            httpx.get(page)
        seen.alerts.append((now, seen.watch.prometheus.alerts()))
        seen.groups.append((now, seen.watch.alertmanager.groups()))
        names = [a["labels"]["alertname"] for group in seen.groups[-1][1] for a in group["alerts"]]
        if player.alive() or "PortallinkLinkDown" in names:
            quiet_since = time.monotonic()
        elif time.monotonic() > quiet_since + 5 and now > long_enough:
            return
        time.sleep(0.2)
