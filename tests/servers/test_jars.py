"""The pinned jars are what Kafka needs, and nothing else is ever run."""

import hashlib

import pytest
from rich.console import Console

from streams.servers import jars
from streams.servers.errors import PartUnavailableError


def test_list_names_each_jar_once_with_kafka_first():
    """The list is whole: Kafka first, no artifact twice, each with a SHA-256."""
    pinned = jars.pinned_jars()
    assert pinned[0].artifact == "kafka_2.13"
    assert len({(jar.group, jar.artifact) for jar in pinned}) == len(pinned)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in pinned)
    assert tuple(int(part) for part in jars.kafka_version().split(".")) >= (4, 1)


@pytest.mark.usefixtures("kafka")
def test_cached_jars_are_the_pinned_ones():
    """What the broker of this session runs has the pinned digests."""
    from streams.servers.paths import cache_dir

    paths = jars.fetch_jars(cache_dir() / "jars")
    for jar, path in zip(jars.pinned_jars(), paths, strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256, path.name


def test_without_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    """With nothing cached and no way out, the error names Kafka and the three ways on; nothing is left."""
    monkeypatch.setenv("PORTALLINK_MAVEN_URL", "http://127.0.0.1:9")
    with pytest.raises(PartUnavailableError) as refused:
        jars.fetch_jars(tmp_path, console=Console(quiet=True))
    for word in ("Apache Kafka", "network", "PORTALLINK_MAVEN_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        assert word in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    """A mirror that serves another file than the pinned one is caught by its digest."""
    import http.server
    import threading

    class Mirror(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"wrong")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as mirror:
        threading.Thread(target=mirror.serve_forever).start()
        monkeypatch.setenv("PORTALLINK_MAVEN_URL", f"http://127.0.0.1:{mirror.server_port}")
        try:
            with pytest.raises(PartUnavailableError, match="not the pinned file"):
                jars.fetch_jars(tmp_path, console=Console(quiet=True))
        finally:
            mirror.shutdown()
    assert list(tmp_path.iterdir()) == []
