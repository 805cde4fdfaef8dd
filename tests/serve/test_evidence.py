"""Outages are verified under the rule that judged them, and by an archive once their records are gone."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from running import running
from small_logs import START_MS, Fault, draw_log
from typer.testing import CliRunner, Result

from streams import telemetry
from streams.cli.ledger.outages import app as outages_app
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import GRID_MS, grid_after_ms, next_revision
from streams.kafka.publish import publish
from streams.kafka.topics import create_topics
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.logs.write import log_writer
from streams.model.canonical import encode
from streams.model.events import Heartbeat
from streams.model.record import Record
from streams.model.settings import EVIDENCE_KEPT_MS
from streams.model.times import local_time
from streams.model.topics import LOOKUPS, RULES
from streams.replay.analyze import Analysis, analyze
from streams.replay.verify import compare, held_whole
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.servers.kafka import EmbeddedKafka

pytestmark = pytest.mark.slow

CHANGE_MS = grid_after_ms(START_MS + 900_000)
OTHER_RULE = Rule(min_recovery_ms=9_000)
PERIOD = ["--from", "2023-11-14", "--to", "2023-11-16"]


@pytest.fixture(scope="module")
def log() -> list[Record]:
    """Return a log of one link in which another rule takes effect between two outages."""
    told = draw_log(7, seconds=2_400, faults=[Fault(300, 200), Fault(1_800, 200)], rate=3.0)
    records, offsets = [], {}
    for one in sorted(told, key=lambda one: one.told_ms):
        offset = offsets[one.partition] = offsets.get(one.partition, -1) + 1
        key = None if isinstance(one.event, Heartbeat) else one.event.dossier_id.encode()
        records.append(Record(LOOKUPS, one.partition, offset, one.told_ms, key, encode(one.event)))
    revision = next_revision(
        [],
        "quick",
        OTHER_RULE,
        ["*"],
        effective_from_ms=CHANGE_MS,
        author="ops",
        reason="tried",
        recorded_at_ms=START_MS,
    )
    return [Record(RULES, 0, 0, CHANGE_MS - GRID_MS, revision.key, encode(revision)), *records]


@pytest.fixture(scope="module")
def analysis(log: list[Record]) -> Analysis:
    """Return what the pipeline finds in the log."""
    return analyze(iter(log))


@pytest.fixture(scope="module")
def ledger(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a ledger of what is published of the log."""
    url = sqlite_url(tmp_path_factory.mktemp("evidence") / "ledger.db")
    engine = open_ledger(url, create=True)
    records = [
        Record(topic, 0, offset, one.start_ms, b"", encode(one))
        for topic, values in (("link.outages", analysis.outages), ("link.windows", analysis.windows))
        for offset, one in enumerate(values)
    ]
    apply_records(engine, records)
    engine.dispose()
    return url


def run(*words: str, expect: int = 0) -> Result:
    """Run `portallink outages` and return what came of it."""
    result = CliRunner().invoke(outages_app, list(words))
    assert result.exit_code == expect, result.output
    return result


def test_every_revision_matches_under_the_rule_that_judged_it(log, analysis: Analysis) -> None:
    """Each revision of each outage comes out again of its log, whichever of two rules judged it."""
    assert {one.rule_version for one in analysis.outages} == {Rule().version, "quick@1"}
    for outage in analysis.outages:
        check = compare(outage, analysis)
        assert check.matches
        assert check.rule_known
    without = analyze(record for record in log if record.topic == LOOKUPS)
    last = analysis.outages[-1]
    assert not compare(last, without).rule_known
    alone = analyze(iter(log), msgspec.structs.replace(OTHER_RULE, version="quick@1"))
    assert compare(last, alone, msgspec.structs.replace(OTHER_RULE, version="quick@1")).rule_known


def test_verify_reads_the_rules_beside_the_events(log, analysis, ledger: str, tmp_path: Path) -> None:
    """The command matches every revision by a log with its rules, and without them says what is missing."""
    for name, records in (("whole", log), ("bare", [one for one in log if one.topic == LOOKUPS])):
        with log_writer(tmp_path / f"{name}.ndjson") as writer:
            writer.write(records)
    for one in analysis.outages:
        words = ["verify", one.outage_id, "--revision", str(one.revision), "--ledger", ledger]
        assert "finding: match" in run(*words, "--log", str(tmp_path / "whole.ndjson")).stdout
    last = analysis.outages[-1]
    words = ["verify", last.outage_id, "--ledger", ledger, "--log", str(tmp_path / "bare.ndjson")]
    said = run(*words, expect=1).stdout
    assert "it was judged by 'quick@1', which the log does not hold" in said
    assert f"until {local_time(last.start_ms - 60_000 + EVIDENCE_KEPT_MS)[:16]}" in said


def test_every_form_says_until_when_evidence_is_kept(analysis: Analysis, ledger: str) -> None:
    """Page, reports and interface name the day until which the broker keeps an outage's records."""
    telemetry.configure("serve", level="error")
    first = analysis.final()[0]
    until_ms = first.start_ms - 60_000 + EVIDENCE_KEPT_MS
    day = local_time(until_ms)[:10]
    engine = open_ledger(ledger)
    with running(create_app(engine, Access([], "operator"), limit=RateLimit(10_000, 10_000))) as client:
        client.headers["Accept-Language"] = "en"
        for path in (f"/outages/{first.outage_id}", "/report?month=2023-11", "/report.csv?month=2023-11"):
            assert day in client.get(path).text, path
        for rest in ("", "/evidence"):
            answer = client.get(f"/api/v1/outages/{first.outage_id}{rest}").json()
            assert answer["evidence_until"].startswith(day)
    engine.dispose()


@pytest.mark.kafka
def test_an_archive_verifies_what_the_broker_has_dropped(
    log, analysis: Analysis, ledger: str, tmp_path: Path, monkeypatch
) -> None:
    """An archive made in time verifies what the broker has dropped; one made too late names what it lacks."""
    first = min(analysis.final(), key=lambda one: one.start_ms)
    archive = str(tmp_path / "archive")
    with EmbeddedKafka(tmp_path / "kafka", port=0) as broker:
        connection = {"bootstrap_servers": broker.bootstrap_servers}
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        asyncio.run(create_topics(connection))
        asyncio.run(publish(iter(log), connection))
        for one in analysis.final():
            run("verify", one.outage_id, "--ledger", ledger)
        half = run("archive", archive, *PERIOD, "--ledger", ledger, "--json")
        assert json.loads(half.stdout)["lacking"] == []
        asyncio.run(drop(connection, {one.partition: one.next_offset for one in first.evidence}))
        run("archive", archive, "--ledger", ledger)
        gone = run("verify", first.outage_id, "--ledger", ledger, expect=1).stdout
        assert "are not in the log, which begins at offset" in gone
        late = run("archive", str(tmp_path / "late"), *PERIOD, "--ledger", ledger, expect=1)
        assert f"lacking {first.outage_id[:10]}" in late.stdout
    for one in analysis.outages:
        words = ["verify", one.outage_id, "--revision", str(one.revision)]
        run(*words, "--ledger", ledger, "--log", archive)


async def drop(connection: dict[str, str], before: dict[int, int]) -> None:
    """Let the broker forget a partition's records before an offset, as retention does."""
    admin = AIOKafkaAdminClient(**connection)
    await admin.start()
    try:
        await admin.delete_records(
            {
                TopicPartition(LOOKUPS, at): RecordsToDelete(before_offset=offset)
                for at, offset in before.items()
            }
        )
    finally:
        await admin.close()


def test_what_is_held_whole(analysis: Analysis) -> None:
    """Evidence is held by a range that spans it, and not by one that begins later or ends earlier."""
    outage = analysis.outages[-1]
    assert held_whole(outage, outage.evidence)
    for name, by in (("first_offset", 1), ("next_offset", -1)):
        held = [msgspec.structs.replace(one, **{name: getattr(one, name) + by}) for one in outage.evidence]
        assert not held_whole(outage, held)
