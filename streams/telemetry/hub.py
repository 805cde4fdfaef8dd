"""One process's telemetry: emitting an occurrence writes its log line and updates its metrics."""

import contextlib
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal, Protocol, TextIO, runtime_checkable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from streams import __version__
from streams.telemetry.contract import BUILD_INFO, OCCURRENCES, RECORDS, RECORDS_REREAD
from streams.telemetry.health import Health
from streams.telemetry.labels import LABEL_LIMITS, RESULTS
from streams.telemetry.logs import LEVELS, LogFormat, make_logger
from streams.telemetry.ports import port_error
from streams.telemetry.store import Store

Level = Literal["debug", "info", "warning", "error"]
READER_STAGES = ("measure", "detect", "record")


class Occurrence(Protocol):
    """Something that happened, as one object; ``name`` is the event of its log line."""

    name: ClassVar[str]

    @property
    def level(self) -> Level:
        """The level of the log line."""

    def fields(self) -> Mapping[str, object]:
        """Return the fields of the log line; never a dossier, never a person."""

    def move(self, store: Store, stage: str, /) -> None:
        """Update its metrics."""


@runtime_checkable
class Once(Protocol):
    """An occurrence that several parts of a stage may notice, but that is reported once."""

    def is_news(self, store: Store, /) -> bool:
        """Return whether it was not reported yet, and remember it."""


class Telemetry:
    """The log and the metrics of one stage in one process."""

    def __init__(
        self,
        stage: str,
        log_format: LogFormat = "auto",
        level: str = "info",
        *,
        stream: TextIO | None = None,
        clock_ms: Callable[[], float] = lambda: time.time() * 1000,
        label_limits: Mapping[str, int] = LABEL_LIMITS,
    ) -> None:
        self.stage = stage
        self.store = Store(clock_ms, label_limits)
        self._log: Any = make_logger(stage, log_format, level, stream or sys.stderr)
        self._threshold = LEVELS[level]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._server: ThreadingHTTPServer | None = None
        self.store.set(BUILD_INFO, (stage, __version__, platform.python_version()), 1)
        if stage in READER_STAGES:
            for result in RESULTS:
                self.store.add(RECORDS, (stage, result), 0)
        if stage == "measure":
            self.store.add(RECORDS_REREAD, (stage,), 0)

    def emit(self, occurrence: Occurrence) -> None:
        """Write the occurrence's log line and update its metrics, unless it was reported before (`Once`)."""
        with self.store.lock:
            if isinstance(occurrence, Once) and not occurrence.is_news(self.store):
                return
            occurrence.move(self.store, self.stage)
            self.store.add(OCCURRENCES, (self.stage, occurrence.name))
        # Occurrences of the hot path are mostly below the level; then their fields are not computed either.
        if LEVELS[occurrence.level] >= self._threshold:
            getattr(self._log, occurrence.level)(occurrence.name, **occurrence.fields())

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics page and its content type, negotiated by an HTTP ``Accept`` header."""
        encode, content_type = choose_encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        own = self.store.expose(openmetrics=openmetrics).encode()
        return own + encode(self._registry), content_type

    def start_http(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Serve ``/metrics``, ``/healthz`` and ``/readyz`` from a thread; return the port.

        Port 0 picks a free one. Raises PortError if the port cannot be used, RuntimeError if this process
        already serves.
        """
        if self._server is not None:
            raise RuntimeError(f"{self.stage} already serves its metrics on port {self._server.server_port}")
        telemetry = self

        class Handler(_Handler):
            owner = telemetry

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise port_error(error, port, host) from error
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self._server.server_port

    def stop_http(self) -> None:
        """Stop serving; harmless if nothing is served."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[Telemetry]
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answer the metrics page or the health check."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            body, content_type = self.owner.render(self.headers.get("Accept", ""))
            self._answer(200, content_type, body)
        elif path in {"/healthz", "/readyz"}:
            health = self.owner.store.ledger(Health)
            fault = health.stalled() if path == "/healthz" else health.unready()
            text = f"{fault or 'ok'}\n".encode()
            self._answer(503 if fault else 200, "text/plain; charset=utf-8", text)
        else:
            text = b"only /metrics, /healthz and /readyz are served here\n"
            self._answer(404, "text/plain; charset=utf-8", text)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        # Ignore a scraper that has disconnected; Prometheus itself counts the failed scrape.
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep scrapes out of the log; Prometheus itself counts them."""


class _Current:
    """Holds the process's telemetry, the only process-wide state."""

    telemetry: Telemetry | None = None


def configure(
    stage: str, log_format: LogFormat = "auto", level: str = "info", *, stream: TextIO | None = None
) -> Telemetry:
    """Create this process's telemetry, replacing an earlier one, and return it.

    Raises ValueError for an unknown level.
    """
    if _Current.telemetry is not None:
        _Current.telemetry.stop_http()
    _Current.telemetry = Telemetry(stage, log_format, level, stream=stream)
    return _Current.telemetry


def current() -> Telemetry:
    """Return this process's telemetry; raise RuntimeError before `configure`."""
    if _Current.telemetry is None:
        raise RuntimeError("telemetry.configure(stage) comes before the first occurrence")
    return _Current.telemetry


def emit(occurrence: Occurrence) -> None:
    """Emit through this process's telemetry, see `Telemetry.emit`."""
    current().emit(occurrence)


def start_http(port: int = 0, host: str = "127.0.0.1") -> int:
    """Serve this process's metrics, see `Telemetry.start_http`."""
    return current().start_http(port, host)
