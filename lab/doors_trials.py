"""The cost of each import, compared with `analyze` of the same lookups: `python -m lab.doors_trials 200000`.

The same calls are made as an access log in JSON, as spans in protobuf, and as a log file of lookups. Each
command runs in a process of its own, one after the other: `analyze` of the log file, `ingest http` and
`ingest otlp` into a log file, and `run collect` onto an embedded Kafka, to which the spans are posted in
exports of 512 over one connection. What is printed is CPU time (user and system, all threads and child
processes) a call. The time of a run over a hundredth of the calls is taken off, for start and imports;
`collect` is measured from the first export, after some that warm it up, to the last answer.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from rich.console import Console
from rich.table import Table

from streams.kafka.topics import Topics, create_topics
from streams.servers.kafka import EmbeddedKafka
from streams.servers.process import LeashedProcess, answers_http, free_port

START_NS: Final = 1_795_741_200_000_000_000
EVERY_NS: Final = 20_000_000
SPANS: Final = 512
"""What the SDKs send at once."""
WARM_UP_EXPORTS: Final = 20
ROUNDS: Final = 3
HOSTS: Final = ("npd.example", "bhxh.example", "tax.example")
SDK: Final[dict[str, Any]] = {
    "service.name": "portal",
    "service.instance.id": "portal-1",
    "host.name": "app-1",
    "process.pid": 4711,
    "telemetry.sdk.language": "java",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.0",
}
PROTOBUF: Final = {"Content-Type": "application/x-protobuf"}
PORTALLINK: Final = (sys.executable, "-m", "streams")


class Call(Struct, frozen=True):
    """One call of a portal, as its gateway and its instrumentation saw it."""

    trace_id: bytes
    span_id: bytes
    host: str
    path: str
    status: int
    start_ns: int
    end_ns: int


def calls(count: int) -> Iterator[Call]:
    """Make a number of calls, fifty a second; one in fifty is not found."""
    rng = Random(1)  # noqa: S311 - made-up calls
    for number in range(count):
        start_ns = START_NS + number * EVERY_NS
        yield Call(
            rng.randbytes(16),
            rng.randbytes(8),
            rng.choice(HOSTS),
            f"/v2/citizens/{rng.randrange(10**12):012d}",
            404 if rng.random() < 0.02 else 200,
            start_ns,
            start_ns + round(rng.lognormvariate(4.4, 0.4) * 1e6),
        )


def exports(made: Iterator[Call]) -> Iterator[bytes]:
    """Make exports in protobuf of calls, as an SDK sends them: a batch of spans of one process."""
    request = _export()
    spans = request.resource_spans[0].scope_spans[0].spans
    for call in made:
        spans.append(_span(call))
        if len(spans) == SPANS:
            yield request.SerializeToString()
            request = _export()
            spans = request.resource_spans[0].scope_spans[0].spans
    if spans:
        yield request.SerializeToString()


def _export() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(_attributes(SDK))
    of_resource.scope_spans.add().scope.name = "io.opentelemetry.java-http-client"
    return request


def _span(call: Call) -> Span:
    return Span(
        trace_id=call.trace_id,
        span_id=call.span_id,
        name="GET",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=call.start_ns,
        end_time_unix_nano=call.end_ns,
        attributes=_attributes(
            {
                "http.request.method": "GET",
                "http.response.status_code": call.status,
                "network.protocol.version": "1.1",
                "server.address": call.host,
                "server.port": 8443,
                "thread.id": 31,
                "thread.name": "http-nio-8080-exec-4",
                "url.full": f"https://{call.host}:8443{call.path}",
            }
        ),
    )


def _attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    made = []
    for key, value in values.items():
        one = KeyValue(key=key)
        if isinstance(value, int):
            one.value.int_value = value
        else:
            one.value.string_value = value
        made.append(one)
    return made


def access_line(call: Call) -> str:
    """Return a call as a line of nginx, by the `log_format` of docs/gateways.md."""
    took = f"{(call.end_ns - call.start_ns) / 1e9:.3f}"
    return json.dumps(
        {
            "msec": f"{call.end_ns / 1e9:.3f}",
            "request_id": call.trace_id.hex(),
            "host": "gateway.example",
            "uri": call.path,
            "status": str(call.status),
            "proxy_host": call.host,
            "upstream_addr": "10.1.4.20:8080",
            "upstream_status": str(call.status),
            "upstream_connect_time": "0.001",
            "upstream_header_time": took,
            "upstream_response_time": took,
        },
        separators=(",", ":"),
    )


class Cost(Struct):
    """What a command took: CPU seconds, and the most memory that it held."""

    cpu_seconds: float
    peak_bytes: int


class Files(Struct, frozen=True):
    """The same calls in each form."""

    access: Path
    spans: Path
    lookups: Path


def write_files(folder: Path, count: int) -> Files:
    """Write a number of calls in each form."""
    files = Files(*(folder / f"{name}-{count}" for name in ("access", "spans", "lookups")))
    with files.access.open("w", encoding="utf-8") as access:
        access.writelines(access_line(call) + "\n" for call in calls(count))
    with files.spans.open("wb") as spans:
        for export in exports(calls(count)):
            spans.write(len(export).to_bytes(4) + export)
    run("ingest", "otlp", files.spans, "--out", files.lookups)
    return files


def run(*arguments: str | Path) -> Cost:
    """Run a command to its end and return what it took, its child processes included."""
    argv = [*PORTALLINK, *arguments]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peak_bytes = pid = 0
        while not pid:
            peak_bytes = max(peak_bytes, _peak_bytes(process.pid))
            time.sleep(0.05)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Cost(usage.ru_utime + usage.ru_stime, peak_bytes)


def _peak_bytes(pid: int) -> int:
    """Return the most memory that a process has held; what `wait4` tells begins with that of its parent."""
    told = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()
    return int(told[0]) * 1024 if told else 0


def commands(files: Files, out: Path) -> dict[str, tuple[str | Path, ...]]:
    """Return the measurements by their names in the table."""
    return {
        "analyze": ("analyze", files.lookups),
        "ingest http": ("ingest", "http", files.access, "--map", "nginx-json", "--out", out),
        "ingest otlp": ("ingest", "otlp", files.spans, "--out", out),
    }


def collect_cost(folder: Path, bootstrap_servers: str, count: int, number: int) -> Cost:
    """Post calls to a `run collect`, and return what it took from the first export to the last answer."""
    suffix = f"doors{number}"
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers}
    topics = Topics().suffixed(suffix)
    asyncio.run(create_topics({"bootstrap_servers": bootstrap_servers}, topics))
    http, grpc, metrics = free_port(), free_port(), free_port()
    options = ["--suffix", suffix, "--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics]
    argv = [*PORTALLINK, "run", "collect", *map(str, options)]
    with LeashedProcess(argv, log=folder / f"{suffix}.log", env=environment) as process:
        ready = f"http://127.0.0.1:{metrics}/readyz"
        process.wait_until_ready(lambda: answers_http(ready), what="collect", timeout_seconds=60)
        (collecting,) = psutil.Process(process.pid).children()
        connection = HTTPConnection("127.0.0.1", http)
        bodies = list(exports(calls(count)))
        for body in bodies[:WARM_UP_EXPORTS]:
            _post(connection, body)
        before = collecting.cpu_times()
        for body in bodies:
            _post(connection, body)
        after = collecting.cpu_times()
        connection.close()
        peak_bytes = _peak_bytes(collecting.pid)
    return Cost(after.user + after.system - before.user - before.system, peak_bytes)


def _post(connection: HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/v1/traces", body, PROTOBUF)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"collect answered {answer.status}")


def trial(count: int, rounds: int = ROUNDS) -> dict[str, list[Cost]]:
    """Measure each import in turn, several times; CPU time excludes that of the start."""
    costs: dict[str, list[Cost]] = {}
    with TemporaryDirectory() as made, EmbeddedKafka(Path(made) / "kafka") as kafka:
        folder = Path(made)
        few, all_ = write_files(folder, count // 100), write_files(folder, count)
        starts = {name: run(*argv) for name, argv in commands(few, folder / "few.ndjson").items()}
        for number in range(rounds):
            for name, argv in commands(all_, folder / "all.ndjson").items():
                cost = run(*argv)
                cost.cpu_seconds -= starts[name].cpu_seconds
                costs.setdefault(name, []).append(cost)
            cost = collect_cost(folder, kafka.bootstrap_servers, count, number)
            costs.setdefault("run collect", []).append(cost)
    return costs


def main(arguments: list[str]) -> None:
    """Print the table."""
    count = int(arguments[0]) if arguments else 200_000
    costs = trial(count, int(arguments[1]) if len(arguments) > 1 else ROUNDS)
    table = Table("way in", "µs a call", "ratio to analyze", "peak MB")
    base = [cost.cpu_seconds for cost in costs["analyze"]]
    for name, found in costs.items():
        taken = sorted(cost.cpu_seconds for cost in found)
        ratios = sorted(one / cost.cpu_seconds for one, cost in zip(base, found, strict=True))
        table.add_row(
            name,
            " ".join(f"{seconds / count * 1e6:.1f}" for seconds in taken),
            " ".join(f"{ratio:.2f}" for ratio in ratios),
            f"{max(cost.peak_bytes for cost in found) / 1e6:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
