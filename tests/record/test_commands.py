"""The auditors' commands on a real broker: exclude, rebuild, check, sign, verify, from the topics."""

import asyncio
import json

import pytest
import worked_month as month
from typer.testing import CliRunner, Result

from streams import telemetry
from streams.cli.ledger.exclusions import app as exclusions_app
from streams.cli.ledger.ledger import app as ledger_app
from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.ledger.store.database import open_ledger, sqlite_url, writing
from streams.ledger.store.schema import outage_revisions, window_days


@pytest.fixture
def run(kafka: str, suffix: str, tmp_path, monkeypatch):
    """Return how to run a command against topics and a ledger of its own, with the worked month published."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("PORTALLINK_LEDGER", sqlite_url(tmp_path / "ledger.db"))
    monkeypatch.setenv("PORTALLINK_SIGNING_KEY", str(tmp_path / "key.pem"))
    telemetry.configure("record", level="error")
    connection, topics = {"bootstrap_servers": kafka}, Topics().suffixed(suffix)

    async def prepare() -> None:
        await create_topics(connection, topics)
        records = [r for r in month.records(partition=1) if r.logged_at_ms < month.at(10, 0)]
        await publish(records, connection, topic_names=topics.by_declared_name())

    asyncio.run(prepare())

    def invoke(app, *arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == expect, result.output
        return result

    return invoke


def test_exclude_rebuild_check_sign_verify(run, suffix: str, tmp_path) -> None:
    """An exclusion is published, the ledger is made of the topics, equals another rebuild, and verifies."""
    added = run(
        exclusions_app, "add", month.LINK, "--from", "2025-04-03T09:00", "--to", "2025-04-03T09:10",
        "--reason", "Cáp đứt", "--author", "ops", "--suffix", suffix, "--force", "--json",
    )  # fmt: skip
    exclusion_id = json.loads(added.stdout)["exclusion_id"]
    run(ledger_app, "rebuild", "--suffix", suffix)
    run(ledger_app, "rebuild", "--suffix", suffix, expect=2)
    listed = json.loads(run(exclusions_app, "list", "--json").stdout)
    assert exclusion_id in [one["exclusion_id"] for one in listed]
    run(
        exclusions_app,
        "withdraw",
        exclusion_id,
        "--reason",
        "mistaken",
        "--author",
        "ops",
        "--suffix",
        suffix,
    )
    run(exclusions_app, "withdraw", "x-none", "--reason", "mistaken", "--suffix", suffix, expect=2)
    checked = json.loads(run(ledger_app, "rebuild", "--check", "--suffix", suffix, "--json").stdout)
    assert checked["equal"]
    head = run(ledger_app, "head", "--sign").stdout
    (tmp_path / "heads.ndjson").write_text(head)
    (tmp_path / "public.pem").write_text(run(ledger_app, "key").stdout)
    kept = ["--head", str(tmp_path / "heads.ndjson"), "--public-key", str(tmp_path / "public.pem")]
    run(ledger_app, "verify", *kept)
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"))
    with writing(engine) as connection:
        connection.execute(window_days.delete().where(window_days.c.day_ms == month.at(2, 0)))
    engine.dispose()
    differing = run(ledger_app, "rebuild", "--check", "--suffix", suffix, "--json", expect=1)
    assert json.loads(differing.stdout.partition("error:")[0])["differing"] == ["window_days"]
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"))
    with writing(engine) as connection:
        connection.execute(outage_revisions.update().values(detected_at_ms=0))
    engine.dispose()
    found = run(ledger_app, "verify", *kept, "--json", expect=1)
    kinds = {one["kind"] for one in json.loads(found.stdout.partition("error:")[0])["findings"]}
    assert {"revision", "figures"} <= kinds


def test_bad_usage_says_what_is_wrong(run, tmp_path) -> None:
    """An empty period, no reason, a missing log, a wrong key file: exit 2 and the remedy."""
    period = ["--from", "2025-04-03T09:10", "--to", "2025-04-03T09:00"]
    assert "is not after" in run(exclusions_app, "add", "l", *period, "--reason", "x", expect=2).output
    right = ["--from", "2025-04-03T09:00", "--to", "2025-04-03T09:10"]
    assert "reason" in run(exclusions_app, "add", "l", *right, "--reason", "", expect=2).output
    assert (
        "none.ndjson" in run(ledger_app, "rebuild", "--log", str(tmp_path / "none.ndjson"), expect=2).output
    )
    (tmp_path / "key.pem").write_text("no key")
    assert "no private key" in run(ledger_app, "key", expect=2).output
