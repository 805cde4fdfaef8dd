"""How long it takes until the page shows a stopped backend: `python -m lab.delay_trials 4 [SETTINGS]`.

An embedded Kafka, every stage as a process of its own, a page that is kept open, and a portal under the SDK
of OpenTelemetry that asks its backend five times a second. Then the backend stops; so many times, each with a
new pipeline. The table says, in seconds since the first call that failed: when its span lay on the topic,
when the outage was decided in event time, when it lay on its topic, and when the page showed it. With
SETTINGS, a settings file of the stages, the portal exports every second instead of every five.
"""

import asyncio
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from streams.kafka.topics import Topics, create_topics
from streams.servers.kafka import EmbeddedKafka
from streams.servers.process import LeashedProcess, accepts_connections, answers_http, free_port

UP_SECONDS: Final = 45.0
PATIENCE_SECONDS: Final = 120.0
PORTAL: Final = """
import sys, time
from contextlib import suppress
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
RequestsInstrumentor().instrument(tracer_provider=provider)
while True:
    with suppress(requests.RequestException):
        requests.get(sys.argv[1], timeout=5)
    time.sleep(0.2)
"""
PARTITIONS: Final = 4


class _Backend(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def backend(port: int) -> Iterator[None]:
    """Run a backend that answers at a port, until stopped."""
    with ThreadingHTTPServer(("127.0.0.1", port), _Backend) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class Page(threading.Thread):
    """An open page: follows `/live`, and notes when its headline changes."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.seen: list[tuple[float, str]] = []
        """The states that the page showed, with the time of each in seconds since 1970."""

    def run(self) -> None:
        """Follow until the server ends."""
        while not accepts_connections(self._port):
            time.sleep(0.1)
        connection = HTTPConnection("127.0.0.1", self._port)
        connection.request("GET", "/live")
        for line in connection.getresponse():
            headline = re.search(rb'class="headline (\w+)"', line)
            if headline and (not self.seen or self.seen[-1][1] != headline[1].decode()):
                self.seen.append((time.time(), headline[1].decode()))


async def records(servers: str, topic: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the records of a topic: the broker's time in epoch milliseconds, and the value."""
    async with AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest") as reader:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        reader.assign(places)
        found: list[tuple[int, dict[str, Any]]] = []
        for place, end in (await reader.end_offsets(places)).items():
            while await reader.position(place) < end:
                messages = (await reader.getmany(place, timeout_ms=500)).get(place, [])
                found += [(message.timestamp, json.loads(message.value)) for message in messages]
        return found


def start_all(stack: ExitStack, folder: Path, servers: str, settings: str | None) -> tuple[Page, int]:
    """Start every stage, a page and a portal; return the page, and the port of the backend."""
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": servers, "PORTALLINK_DATA": str(folder / "data")}
    if settings is not None:
        environment |= {
            "PORTALLINK_SETTINGS": str(Path(settings).resolve()),
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
        }
    otlp, grpc, pages, asked = (free_port() for _ in range(4))
    more: dict[str, list[str]] = {
        "collect": ["--http-port", str(otlp), "--grpc-port", str(grpc)],
        "serve": ["--port", str(pages), "--anonymous", "auditor"],
    }
    for name in ("record", "detect", "measure", "collect", "serve"):
        metrics = free_port()
        argv = [
            sys.executable,
            "-m",
            "streams",
            "run",
            name,
            "--metrics-port",
            str(metrics),
            *more.get(name, ()),
        ]
        stage = LeashedProcess(argv, log=folder / f"{name}.log", env=environment)
        stack.enter_context(stage)
        url = f"http://127.0.0.1:{metrics}/readyz"
        stage.wait_until_ready(partial(answers_http, url), what=name, timeout_seconds=120)
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{otlp}", "OTEL_SERVICE_NAME": "portal"}
    argv = [sys.executable, "-c", PORTAL, f"http://localhost:{asked}"]
    stack.enter_context(LeashedProcess(argv, log=folder / "portal.log", env=environment | told))
    page = Page(pages)
    page.start()
    return page, asked


def delays(
    page: Page, lookups: list[tuple[int, dict[str, Any]]], outages: list[tuple[int, dict[str, Any]]]
) -> list[float]:
    """Return how long after the first call that failed each thing happened, in seconds."""
    failed = [
        (event["occurred_at_ms"], at_ms) for at_ms, event in lookups if event.get("outcome") == "unreachable"
    ]
    start_ms, first_ms = min(failed)
    logged_ms, outage = min(outages, key=itemgetter(0))
    shown_ms = next(1000 * at for at, state in page.seen if state == "down")
    return [(at_ms - start_ms) / 1000 for at_ms in (first_ms, outage["detected_at_ms"], logged_ms, shown_ms)]


def trial(settings: str | None = None) -> list[float]:
    """Stop a backend, and return the delays."""
    with TemporaryDirectory() as made, EmbeddedKafka(Path(made) / "kafka") as kafka, ExitStack() as stack:
        servers = kafka.bootstrap_servers
        asyncio.run(create_topics({"bootstrap_servers": servers}, Topics()))
        page, port = start_all(stack, Path(made), servers, settings)
        with backend(port):
            time.sleep(UP_SECONDS)
        until = time.monotonic() + PATIENCE_SECONDS
        while "down" not in (state for _, state in page.seen) and time.monotonic() < until:
            time.sleep(1)
        lookups = asyncio.run(records(servers, Topics().lookups))
        outages = asyncio.run(records(servers, Topics().outages))
        return delays(page, lookups, outages)


def main(arguments: list[str]) -> None:
    """Print the table."""
    settings = arguments[1] if len(arguments) > 1 else None
    table = Table("first span on its topic", "decided, event time", "outage on its topic", "on the page")
    for _ in range(int(arguments[0]) if arguments else 4):
        table.add_row(*(f"{seconds:.1f}" for seconds in trial(settings)))
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
