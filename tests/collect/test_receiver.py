"""What `collect` answers to exports, good and bad, over HTTP and gRPC."""

import gzip
import os
import signal
import threading
import time
import zlib

import grpc
import httpx
import psutil
import pytest
import zstandard
from collecting import TOKEN, collecting
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from spans import as_json, as_protobuf, span
from typer.testing import CliRunner

from streams.cli import app
from streams.kafka.topics import Topics

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def fresh(n, **own):
    """Return a span of this moment."""
    return span(n, start_ns=time.time_ns() - 100_000_000, **own)


def packed_bomb():
    """Return 128 MiB of zeros, packed."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packing.compress(bytes(1 << 20)) for _ in range(128)), packing.flush()])


def post(collect, body, headers, path="/v1/traces"):
    """Send an export and return the answer."""
    return httpx.post(f"{collect.http}{path}", content=body, headers=headers, timeout=60)


def call(collect, body, metadata=(), method=METHOD):
    """Send an export by gRPC and return the answer; raise what it is refused by."""
    with grpc.insecure_channel(collect.grpc) as channel:
        return channel.unary_unary(method)(body, timeout=60, metadata=metadata)


def test_what_is_sent_and_what_is_answered(collect):
    """Each kind of export has OTLP's own answer; spans that cannot be used are told as partial success."""
    one, bad = fresh(1), fresh(2, trace_id=b"")
    bomb = packed_bomb()
    with collect() as running:
        asked = [
            (as_protobuf([one]), PROTOBUF, 200),
            (as_json([fresh(3)]), JSON, 200),
            (gzip.compress(as_protobuf([fresh(4)])), PROTOBUF | {"Content-Encoding": "gzip"}, 200),
            (zlib.compress(as_protobuf([fresh(5)])), PROTOBUF | {"Content-Encoding": "deflate"}, 200),
            (zstandard.compress(as_protobuf([fresh(6)])), PROTOBUF | {"Content-Encoding": "zstd"}, 200),
            (b"", PROTOBUF, 200),
            (b"{}", JSON, 400),
            (b"\xff\xff", PROTOBUF, 400),
            (b'{"resourceSpans":' + b"[" * 1_000_000, JSON, 400),
            (b"not packed", PROTOBUF | {"Content-Encoding": "gzip"}, 400),
            (gzip.compress(b"x" * 1000)[:-9], PROTOBUF | {"Content-Encoding": "gzip"}, 400),
            (bomb, PROTOBUF | {"Content-Encoding": "gzip"}, 413),
            (zstandard.compress(bytes(1 << 28)), PROTOBUF | {"Content-Encoding": "zstd"}, 413),
            (bytes(17 * 1024 * 1024), PROTOBUF, 413),
            (b"\x0a\x80\x80\x80\x80\x10", PROTOBUF, 400),
            (as_protobuf([one]), {"Content-Type": "text/plain"}, 415),
            (as_protobuf([one]), PROTOBUF | {"Content-Encoding": "br"}, 415),
        ]
        memory = psutil.Process(running.process.pid).children()[0]
        before = memory.memory_info().rss
        for body, headers, status in asked:
            answer = post(running, body, headers)
            assert answer.status_code == status, (headers, answer.text)
            if status == 200:
                assert answer.content in (b"", b"{}")
            elif headers is JSON:
                assert answer.json()["message"]
            elif headers["Content-Type"] == PROTOBUF["Content-Type"]:
                assert Status.FromString(answer.content).message
        assert memory.memory_info().rss - before < 150_000_000
        content = post(running, as_protobuf([one, bad]), PROTOBUF).content
        told = ExportTraceServiceResponse.FromString(content)
        assert told.partial_success.rejected_spans == 1
        assert told.partial_success.error_message == "1 x the span has no valid trace id and span id"
        told = post(running, as_json([one, bad]), JSON).json()["partialSuccess"]
        assert told == {
            "rejectedSpans": "1",
            "errorMessage": "1 x the span has no valid trace id and span id",
        }
        assert post(running, b"anything", PROTOBUF, "/v1/metrics").status_code == 200
        assert post(running, b"anything", JSON, "/v1/logs").content == b"{}"
        assert post(running, b"", PROTOBUF, "/v1/other").status_code == 404
        assert httpx.get(f"{running.http}/v1/traces").status_code == 405
        assert call(running, as_protobuf([fresh(7)])) == b""
        assert call(running, b"", method=METHOD.replace("trace.v1.Trace", "metrics.v1.Metrics")) == b""
        with pytest.raises(grpc.RpcError) as refused:
            call(running, b"\xff\xff")
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as refused:
            call(running, bytes(17 * 1024 * 1024))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert {one["dossier_id"][-1] for one in running.events()} == set("134567")
        beats = [one for one in running.records() if one["type"] == "observer.heartbeat"]
        assert ["portal > npd.example"] in [one["links"] for one in beats]


def test_only_who_shows_the_token_may_send(collect):
    """With a token set, an export without it or with another one is refused by either way, unread."""
    environment = os.environ.get("PORTALLINK_COLLECT_TOKEN")
    os.environ["PORTALLINK_COLLECT_TOKEN"] = TOKEN
    try:
        with collect() as running:
            for shown in ({}, {"Authorization": "Bearer other"}, {"Authorization": TOKEN}):
                answer = post(running, bytes(1 << 20), PROTOBUF | shown)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                with pytest.raises(grpc.RpcError) as refused:
                    call(running, b"", [(name.lower(), value) for name, value in shown.items()])
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            right = f"Bearer {TOKEN}"
            assert post(running, b"", PROTOBUF | {"Authorization": right}).status_code == 200
            assert call(running, b"", [("authorization", right)]) == b""
    finally:
        del os.environ["PORTALLINK_COLLECT_TOKEN"]
        if environment is not None:
            os.environ["PORTALLINK_COLLECT_TOKEN"] = environment


def test_without_a_broker_senders_are_told_to_come_back(nobody, tmp_path):
    """While no broker answers nothing is acknowledged: 503 with Retry-After, UNAVAILABLE with RetryInfo."""
    with collecting(nobody, Topics(), "", tmp_path, ready=False) as running:
        answer = post(running, as_protobuf([fresh(1)]), PROTOBUF)
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        with pytest.raises(grpc.RpcError) as refused:
            call(running, as_protobuf([fresh(1)]))
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
        retry = RetryInfo()
        assert Status.FromString(details).details[0].Unpack(retry)
        assert retry.retry_delay.seconds > 0


def test_a_kill_loses_no_acknowledged_span(collect):
    """Senders send, `kill -9` ends the process: every span that was acknowledged is on the topic."""
    acknowledged: set[str] = set()
    with collect() as running:

        def send(sender):
            n = sender * 1_000_000
            with httpx.Client(timeout=10) as client:
                while True:
                    n += 20
                    body = as_protobuf([fresh(n + k) for k in range(20)])
                    try:
                        answer = client.post(f"{running.http}/v1/traces", content=body, headers=PROTOBUF)
                    except httpx.HTTPError:
                        return
                    if answer.status_code == 200:
                        acknowledged.update(f"{n + k:032x}" for k in range(20))

        threads = [threading.Thread(target=send, args=[sender]) for sender in range(1, 4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(acknowledged) < 400 and time.monotonic() < deadline:
            time.sleep(0.01)
        (child,) = psutil.Process(running.process.pid).children()
        child.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        done = {one["dossier_id"] for one in running.events() if one["type"] == "lookup.completed"}
    assert len(acknowledged) >= 400
    assert acknowledged <= done


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "PORTALLINK_COLLECT_TOKEN"),  # noqa: S104 - it is refused
        (["--map", "nginx-json"], "a map of spans has no `format`"),
        (["--map", "nowhere.yaml"], "nowhere.yaml:1: cannot be read"),
    ],
)
def test_what_cannot_run_is_refused(options, told):
    """An open port without a token, a map of lines and a map that is not there: exit 2 and a sentence."""
    ended = CliRunner().invoke(app, ["run", "collect", *options])
    assert ended.exit_code == 2
    assert told in ended.stderr
