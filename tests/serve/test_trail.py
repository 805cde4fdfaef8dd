"""Who asked what is written down, whatever happens to the ledger and to the process."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from running import running

from streams import telemetry
from streams.ledger.store.database import open_ledger, reading, sqlite_url, writing
from streams.ledger.store.schema import audit_trail
from streams.serve import trail as trail_module
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.serve.trail import Entry, Trail

pytestmark = pytest.mark.slow


def entries(number: int, first: int = 0) -> list[Entry]:
    """Return so many different entries."""
    return [
        Entry(at, "auditor-one", "auditor", "GET /", f"at={at}", 200) for at in range(first, first + number)
    ]


def written(engine: sa.Engine) -> list[int]:
    """Return the times of all entries in the ledger, as they stand in it."""
    with reading(engine) as connection:
        return list(connection.scalars(sa.select(audit_trail.c.at_ms).order_by(audit_trail.c.entry)))


@pytest.fixture
def engine(tmp_path: Path):
    """Return an empty ledger."""
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(trail_module, "WAIT_MS", 100)


def healthz(port: int) -> tuple[int, str]:
    """Return what the supervisor is answered."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_locked_ledger_delays_the_trail_and_health_says_so(engine: sa.Engine) -> None:
    """While another writer holds the ledger entries wait and health says so; afterwards all are in order."""
    telemetry.configure("serve", level="error")
    port = telemetry.start_http(0, "127.0.0.1")
    app = create_app(engine, Access([], "viewer"), limit=RateLimit(10_000, 10_000))
    with running(app) as client:
        assert client.get("/api/v1/health").json()["status"] == "ok"
        with writing(engine):
            for _ in range(5):
                assert client.get("/api/v1/links").status_code == 200
            deadline = time.monotonic() + 20
            while client.get("/api/v1/health").status_code == 200 and time.monotonic() < deadline:
                time.sleep(0.05)
            said = client.get("/api/v1/health")
            assert said.status_code == 503
            assert said.json()["trail_waiting"] >= 5
            assert healthz(port)[0] == 503
            assert "trail" in healthz(port)[1]
        while client.get("/api/v1/health").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/api/v1/health").json()["trail_waiting"] == 0
        assert healthz(port) == (200, "ok\n")
    with reading(engine) as connection:
        asked = list(connection.scalars(sa.select(audit_trail.c.action)))
    assert asked.count("GET /api/v1/links") == 5


def test_what_the_ledger_does_not_take_at_the_end_is_taken_at_the_next_start(engine, tmp_path: Path) -> None:
    """Entries that wait at the end lie in a private file, and go into the ledger once, in order."""
    file = tmp_path / "waiting" / "trail.ndjson"
    first = Trail(engine, file)
    first.start()
    with writing(engine):
        for entry in entries(2_500):
            first.add(entry)
        first.stop()
    assert (len(file.read_bytes().splitlines()), file.stat().st_mode & 0o777) == (2_500, 0o600)
    second = Trail(engine, file)
    second.start()
    for entry in entries(10, 2_500):
        second.add(entry)
    second.stop()
    assert written(engine) == list(range(2_510))
    assert not file.exists()


def test_nobody_is_answered_when_too_many_wait(engine: sa.Engine, monkeypatch) -> None:
    """When the trail can hold no more, requests are refused, rather than answered and forgotten."""
    telemetry.configure("serve", level="error")
    monkeypatch.setattr(trail_module, "MOST_WAITING", 3)
    app = create_app(engine, Access([], "viewer"), limit=RateLimit(10_000, 10_000))
    with running(app) as client, writing(engine):
        answers = [client.get("/api/v1/links").status_code for _ in range(8)]
        assert answers[0] == 200
        assert answers[-1] == 503
    assert len(written(engine)) >= answers.count(200)


def test_a_terminated_process_writes_its_trail(tmp_path: Path) -> None:
    """After SIGTERM, right behind an answer, the question is in the ledger."""
    url = sqlite_url(tmp_path / "ledger.db")
    open_ledger(url, create=True).dispose()
    environment = os.environ | {"PORTALLINK_DATA": str(tmp_path / "data"), "PORTALLINK_LEDGER": url}
    argv = [sys.executable, "-m", "streams", "run", "serve", "--port", "0", "--anonymous", "viewer"]
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(
            line["address"]
            for line in map(json.loads, process.stderr)
            if line.get("event") == "address_served" and line["what"] == "page"
        )
        with httpx.Client(base_url=address) as client:
            for _ in range(3):
                assert client.get("/api/v1/links").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
    engine = open_ledger(url)
    assert len(written(engine)) == 3
    engine.dispose()
