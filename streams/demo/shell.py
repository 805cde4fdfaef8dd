"""The demo's processes: start broker, stages and monitoring, feed in the morning, stop everything."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer
from rich.console import Console

from streams.demo.board import Board
from streams.kafka.topics import Topics, create_topics
from streams.ledger.proof.heads import load_or_make_key, public_pem
from streams.model.canonical import final_outages
from streams.model.hours.calendar import to_local
from streams.model.outage import Outage, Window
from streams.servers.errors import PartError, PartUnavailableError
from streams.servers.kafka import EmbeddedKafka
from streams.servers.process import LeashedProcess, free_port
from streams.simulate.generate import Run
from streams.simulate.moved import moved
from streams.simulate.shell import load_catalogue, load_scenario, publish_log
from streams.simulate.truth import Truth
from streams.watch.api import PrometheusApi, WatchApiError
from streams.watch.local import LocalWatch

SCENARIO: Final = "monday-morning"
STAGES: Final = ("measure", "detect", "record", "serve")
ALERTS_EVERY_SECONDS: Final = 2.0
PROMETHEUS_PATH: Final = "/api/v1/alerts"
QUIET_SECONDS: Final = 60.0
"""How long to wait for output after the log has been published, before the demo gives up."""


class DemoError(Exception):
    """The demo cannot continue; the message says why."""


class Demo:
    """A pipeline of processes, with its files in one folder."""

    def __init__(self, folder: Path, speed: float | None, console: Console) -> None:
        catalogue = load_catalogue()
        today = to_local(int(time.time() * 1000)).date()
        self._run = Run(catalogue, moved(load_scenario(SCENARIO, catalogue), today))
        self._prometheus: PrometheusApi | None = None
        self.folder = folder
        self._folder, self._speed, self._console = folder, speed, console
        self._stages: dict[str, LeashedProcess] = {}
        self._exit = ExitStack()
        self._servers = ""
        self.board = Board(self._run.start_ms, self._run.end_ms, {})
        self.truth: Truth | None = None

    def __enter__(self) -> Self:
        try:
            broker = EmbeddedKafka(self._folder / "kafka", port=0, console=self._console)
            self._servers = self._exit.enter_context(broker).bootstrap_servers
            self.board.addresses["Kafka"] = self._servers
            asyncio.run(create_topics({"bootstrap_servers": self._servers}))
            ports = {stage: self._start(stage) for stage in STAGES}
            self._watch(ports)
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self, stage: str) -> int:
        """Start a stage; return the port of its metrics."""
        port = free_port()
        options = ["--metrics-port", str(port)]
        if stage in {"record", "serve"}:
            options += ["--ledger", f"sqlite:///{self._folder / 'ledger.db'}"]
        if stage == "record":
            options += ["--key", str(self._folder / "ledger-key.pem")]
        if stage == "serve":
            page = free_port(8080)
            options += ["--port", str(page), "--anonymous", "auditor"]
            options += ["--public-key", str(self._public_key())]
            self.board.addresses["page"] = f"http://127.0.0.1:{page}/"
        process = LeashedProcess(
            [sys.executable, "-m", "streams", "run", stage, *options],
            log=self._folder / f"{stage}.log",
            env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": self._servers},
        )
        self._exit.callback(process.stop)
        self._stages[stage] = process
        self.board.addresses[f"{stage} metrics"] = f"http://127.0.0.1:{port}/metrics"
        return port

    def _public_key(self) -> Path:
        """Create the ledger's key; return the file with its public key, with which the page checks heads."""
        key = load_or_make_key(self._folder / "ledger-key.pem")
        path = self._folder / "ledger-key.public.pem"
        path.write_text(public_pem(key.public_key()))
        return path

    def _watch(self, ports: dict[str, int]) -> None:
        """Start Prometheus and Alertmanager if they are available."""
        targets = {stage: [port] for stage, port in ports.items()}
        watch = LocalWatch(self._folder / "watch", targets, pace=self._speed or 60)
        try:
            self._exit.enter_context(watch)
        except PartUnavailableError as missing:
            self._console.print(f"without Prometheus and Alertmanager: {missing}", style="dim")
        except PartError as error:
            self._console.print(f"Prometheus did not start: {error}", style="yellow")
        else:
            self._prometheus = watch.prometheus
            self.board.alerts = []
            # Debian's Prometheus has no web pages, so show the address of its API.
            self.board.addresses["Prometheus"] = f"{watch.prometheus_url}{PROMETHEUS_PATH}"
            self.board.addresses["Alertmanager"] = watch.alertmanager_url

    def play(self, refresh: Callable[[], None]) -> list[Outage]:
        """Run the simulated morning through the pipeline and return the final outages.

        Raises `DemoError` if a stage ends by itself or the pipeline stops producing output.
        """
        return asyncio.run(self._play(refresh))

    async def _play(self, refresh: Callable[[], None]) -> list[Outage]:
        simulating = asyncio.ensure_future(self._simulate())
        revisions: list[Outage] = []
        topics = Topics()
        last_minute_ms = (self._run.end_ms - 30_000) // 60_000 * 60_000 - 60_000
        consumer = AIOKafkaConsumer(
            topics.windows, topics.outages, bootstrap_servers=self._servers, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            heard_at = asked_at = time.monotonic()
            reached_ms = 0
            while not (simulating.done() and reached_ms >= last_minute_ms and _settled(self.board)):
                batches = await consumer.getmany(timeout_ms=250)
                for partition, records in batches.items():
                    for record in records:
                        if partition.topic == topics.windows:
                            window = msgspec.json.decode(record.value, type=Window)
                            self.board.add_window(window)
                            reached_ms = max(reached_ms, window.start_ms)
                        else:
                            outage = msgspec.json.decode(record.value, type=Outage)
                            self.board.add_outage(outage)
                            revisions.append(outage)
                if time.monotonic() - asked_at >= ALERTS_EVERY_SECONDS:
                    asked_at = time.monotonic()
                    await asyncio.to_thread(self._ask_alerts)
                refresh()
                if batches or not simulating.done():
                    heard_at = time.monotonic()
                self._check(time.monotonic() - heard_at)
                if simulating.done():
                    simulating.result()
        finally:
            simulating.cancel()
            await consumer.stop()
        return final_outages(revisions)

    async def _simulate(self) -> None:
        def reached(logged_at_ms: int) -> None:
            self.board.simulated_ms = logged_at_ms

        self.truth = await publish_log(
            self._run, {"bootstrap_servers": self._servers}, speed=self._speed, progress=reached
        )

    def _ask_alerts(self) -> None:
        """Update the firing alerts; if Prometheus does not answer, try again later."""
        if self._prometheus is None:
            return
        with suppress(WatchApiError):
            self.board.alerts = sorted(
                (one["labels"]["alertname"], one["labels"].get("link", ""))
                for one in self._prometheus.alerts()
                if one["state"] == "firing"
            )

    def _check(self, quiet_seconds: float) -> None:
        for stage, process in self._stages.items():
            if not process.alive():
                tail = process.log.read_text(errors="replace")[-2_000:]
                raise DemoError(f"`portallink run {stage}` ended by itself:\n{tail}")
        if quiet_seconds > QUIET_SECONDS:
            raise DemoError(f"nothing came out of the pipeline for {QUIET_SECONDS:.0f} s; see {self._folder}")


def _settled(board: Board) -> bool:
    """Return whether every link's last window is about as recent as the newest of all."""
    latest = max((window.start_ms for window in board.windows.values()), default=0)
    return all(latest - window.start_ms <= 600_000 for window in board.windows.values())
