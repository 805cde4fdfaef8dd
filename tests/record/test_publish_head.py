"""Heads published elsewhere: each once, in order, and never over a history that was rewritten."""

import asyncio
import http.server
import threading

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from streams.cli.ledger.ledger import app
from streams.kafka.read import topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.ledger.proof.heads import SignedHead, sign_head, stored_heads
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url, writing
from streams.ledger.store.schema import tree_heads

KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Return a ledger with two signed heads, which the commands find."""
    url = sqlite_url(tmp_path / "ledger.db")
    monkeypatch.setenv("PORTALLINK_LEDGER", url)
    engine = open_ledger(url, create=True)
    apply_records(engine, month.records()[:300])
    sign(engine, 1_000)
    sign(engine, 2_000)
    yield engine
    engine.dispose()


def sign(engine: sa.Engine, at_ms: int) -> None:
    """Sign a head."""
    with writing(engine) as connection:
        sign_head(connection, KEY, at_ms)


def stored(engine: sa.Engine) -> list[SignedHead]:
    """Return the ledger's heads."""
    with reading(engine) as connection:
        return stored_heads(connection)


def publish(*arguments: str, expect: int = 0) -> str:
    """Run the command; return what it says."""
    result = CliRunner().invoke(app, ["publish-head", *arguments])
    assert result.exit_code == expect, result.output
    return result.output


def test_a_file_gets_every_head_once(engine, tmp_path) -> None:
    """The newest first, then each further one, and nothing where there is nothing new."""
    file = tmp_path / "heads.ndjson"
    for grown in (False, True, False):
        if grown:
            sign(engine, 3_000)
            sign(engine, 4_000)
        publish(str(file))
    heads = [msgspec.json.decode(line, type=SignedHead) for line in file.read_bytes().splitlines()]
    assert heads == stored(engine)[1:]


def test_a_history_written_anew_is_not_published_over(engine, tmp_path) -> None:
    """Where the ledger holds another head under a number that was published, the command says so and ends."""
    file = tmp_path / "heads.ndjson"
    publish(str(file))
    with writing(engine) as connection:
        connection.execute(tree_heads.delete().where(tree_heads.c.number == 2))
    sign(engine, 9_000)
    before = file.read_bytes()
    assert "head 2 as it was published" in publish(str(file), "--every", "60", expect=1).replace("\n", " ")
    assert file.read_bytes() == before


def test_a_webhook_gets_heads_and_its_refusal_is_told(engine) -> None:
    """Each head is a POST; an answer that is not 2xx is an error that names it."""
    got: list[SignedHead] = []
    status = [200]

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take a head."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(msgspec.json.decode(body, type=SignedHead))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/heads"
        publish(address)
        status[0] = 503
        assert "answers 503" in publish(address, expect=1)
        server.shutdown()
    assert got == [stored(engine)[-1]] * 2


def test_a_topic_gets_heads(engine, kafka: str, suffix: str, monkeypatch) -> None:
    """A topic's last record says how far it is, so a second run sends what is new alone."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    connection, topics = {"bootstrap_servers": kafka}, Topics().suffixed(suffix)
    asyncio.run(create_topics(connection, topics))
    topic = topics.dead_letters  # any topic of one partition

    async def values() -> list[bytes]:
        return [r.value async for batch in topic_batches(connection, [topic]) for r in batch]

    publish(f"topic:{topic}")
    sign(engine, 3_000)
    publish(f"topic:{topic}")
    publish(f"topic:{topic}")
    found = [msgspec.json.decode(value, type=SignedHead) for value in asyncio.run(values())]
    assert found == stored(engine)[1:]
