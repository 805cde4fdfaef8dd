"""A portal that is told one variable, a running pipeline, and a backend that stops."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from stages import Stage, running

PORTAL = Path(__file__).parents[1] / "kit" / "python_portal.py"
PATIENCE_SECONDS = 180


class _Backend(BaseHTTPRequestHandler):
    def do_GET(self):
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Keep quiet."""


async def first_outage(servers, topic):
    """Return the first outage that is published."""
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as reader:
        record = await asyncio.wait_for(reader.getone(), PATIENCE_SECONDS)
        return json.loads(record.value)


@pytest.mark.slow
def test_a_stopped_backend_is_an_outage(collect, kafka, suffix, tmp_path):
    """It opens at the first call that failed, by the portal's spans alone, and nothing was down before."""
    stages = [
        Stage(name, kafka, tmp_path, "--suffix", suffix, "--group", f"{name}-{suffix}")
        for name in ("measure", "detect")
    ]
    with running(*stages), collect() as receiver, ThreadingHTTPServer(("127.0.0.1", 0), _Backend) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        address = f"http://localhost:{server.server_port}"
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http, "OTEL_SERVICE_NAME": "portal"}
        portal = subprocess.Popen(
            [sys.executable, PORTAL, "http", address, "100000", "0.2"], env=os.environ | told
        )
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while sum(receiver.counts().values()) < 60:
                assert time.monotonic() < deadline
                time.sleep(1)
            server.shutdown()
            server.server_close()
            serving.join()
            stopped_ms = time.time() * 1000
            outage = asyncio.run(first_outage(kafka, receiver.topics.outages))
        finally:
            portal.kill()
            portal.wait()
    assert (outage["link"], outage["kind"], outage["status"]) == ("portal > localhost", "down", "open")
    assert abs(outage["start_ms"] - stopped_ms) < 2_000
    assert outage["detected_at_ms"] - outage["start_ms"] <= 25_000
