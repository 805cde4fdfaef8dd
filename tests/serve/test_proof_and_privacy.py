"""From raw events to all that an auditor sees: outages proven by their log, and no person in any of it."""

import asyncio
import csv
import io
import json
import re
import sqlite3

import msgspec
import pytest
from running import running
from small_logs import Fault, draw_log
from typer.testing import CliRunner

from streams import telemetry
from streams.cli.ledger.outages import app as outages_app
from streams.kafka.publish import publish
from streams.kafka.topics import create_topics
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.logs.write import log_writer
from streams.model.canonical import encode
from streams.model.record import Record
from streams.model.topics import LOOKUPS
from streams.replay.analyze import analyze
from streams.replay.verify import compare, verify_outage
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.serve.texts import text, written_figure
from streams.servers.kafka import EmbeddedKafka

pytestmark = pytest.mark.slow

MARK = "MARKED079"


@pytest.fixture(scope="module")
def events() -> list[Record]:
    """Return a log of one link with an outage, every identifier in it marked, and an unknown marked field."""
    offsets: dict[int, int] = {}
    records = []
    told_in_order = sorted(draw_log(7, faults=[Fault(300, 200)], rate=3.0), key=lambda told: told.told_ms)
    for told in told_in_order:
        value = json.loads(msgspec.json.encode(told.event))
        value |= {name: f"{MARK}-{value[name]}" for name in ("dossier_id", "lookup_id") if name in value}
        value |= {"citizen_id": f"{MARK}123456", "citizen_name": f"{MARK} Nguyễn Văn A"}
        offset = offsets.get(told.partition, 0)
        offsets[told.partition] = offset + 1
        key = value["dossier_id"].encode() if "dossier_id" in value else None
        body = json.dumps(value, ensure_ascii=False).encode()
        records.append(Record(LOOKUPS, told.partition, offset, told.told_ms, key, body))
    return records


@pytest.fixture(scope="module")
def ledger_path(events, tmp_path_factory):
    """Return a ledger of what the pipeline publishes of the log, and of records that are no revisions."""
    analysis = analyze(iter(events))
    assert len(analysis.final()) == 1
    published = [("link.outages", one) for one in analysis.outages]
    published += [("link.windows", one) for one in analysis.windows]
    records, offsets = [], {}
    for topic, one in published:
        offset = offsets[topic] = offsets.get(topic, -1) + 1
        records.append(Record(topic, 0, offset, one.start_ms, one.link.encode(), encode(one)))
    mark = MARK.encode()
    bad = [mark + b" no json", encode(analysis.outages[0]).replace(b'"down"', b'"%s"' % mark)]
    records += [Record("link.outages", 1, i, 0, MARK.encode(), value) for i, value in enumerate(bad)]
    path = tmp_path_factory.mktemp("proof") / "ledger.db"
    engine = open_ledger(sqlite_url(path), create=True)
    assert len(apply_records(engine, records).refused) == 2
    engine.dispose()
    return path


def test_an_outage_is_proven_by_its_log(events) -> None:
    """Every revision's evidence and finding come out again; a changed, a lost and an added record show."""
    analysis = analyze(iter(events))
    for outage in analysis.outages:
        assert compare(outage, analysis).matches
    outage = analysis.outages[-1]
    changed = [
        r._replace(value=r.value.replace(b"unreachable", b"not_found  ")) if i % 7 == 0 else r
        for i, r in enumerate(events)
    ]
    assert not verify_outage(outage, changed).matches
    source = outage.evidence[0]
    lost = [r for r in events if (r.partition, r.offset) != (source.partition, source.first_offset + 3)]
    check = verify_outage(outage, lost)
    assert not check.ranges[0].matches
    forged = msgspec.structs.replace(outage, failures=outage.failures - 1)
    assert [one.field for one in compare(forged, analysis).differences] == ["failures"]
    invented = msgspec.structs.replace(outage, outage_id="o-invented")
    assert compare(invented, analysis).recomputed is None


def test_outages_verify_by_command(events, ledger_path, tmp_path) -> None:
    """`portallink outages verify` exits 0 by the true log, and 1 by another, saying where it differs."""
    outage_id = analyze(iter(events)).final()[0].outage_id
    logs = {"true.ndjson": events, "other.ndjson.zst": [r for i, r in enumerate(events) if i != 2_000]}
    outcomes = {}
    for name, records in logs.items():
        with log_writer(tmp_path / name) as writer:
            writer.write(records)
        where = ["--log", str(tmp_path / name), "--ledger", sqlite_url(ledger_path)]
        arguments = ["verify", outage_id, *where, "--json"]
        result = CliRunner().invoke(outages_app, arguments)
        outcomes[name] = (result.exit_code, json.loads(result.stdout)["matches"])
    assert outcomes == {"true.ndjson": (0, True), "other.ndjson.zst": (1, False)}


@pytest.mark.kafka
def test_outages_verify_by_a_broker(events, ledger_path, tmp_path) -> None:
    """`portallink outages verify ID` reads the evidence from Kafka; where a record is another it exits 1."""
    outage_id = analyze(iter(events)).final()[0].outage_id
    lost = [record for i, record in enumerate(events) if i != 2_000]
    outcomes = {}
    for name, records in {"true": events, "other": lost}.items():
        with EmbeddedKafka(tmp_path / name, port=0) as broker:
            connection = {"bootstrap_servers": broker.bootstrap_servers}
            asyncio.run(create_topics(connection))
            asyncio.run(publish(records, connection))
            where = ["--bootstrap-servers", broker.bootstrap_servers, "--ledger", sqlite_url(ledger_path)]
            result = CliRunner().invoke(outages_app, ["verify", outage_id, *where, "--json"])
            answer = json.loads(result.stdout.partition("error:")[0])
            plain = CliRunner().invoke(outages_app, ["verify", outage_id, *where])
        assert plain.exit_code == result.exit_code
        outcomes[name] = (result.exit_code, answer["matches"])
    assert outcomes == {"true": (0, True), "other": (1, False)}


def test_no_person_in_anything(events, ledger_path) -> None:
    """What is marked in events, keys and broken records is in no table, answer, page, report or log line."""
    log = io.StringIO()
    telemetry.configure("serve", log_format="json", level="debug", stream=log)
    engine = open_ledger(sqlite_url(ledger_path))
    app = create_app(engine, Access([], "operator"), limit=RateLimit(10_000, 10_000))
    outage_id = analyze(iter(events)).final()[0].outage_id
    month = "2023-11"
    seen = {}
    with running(app) as client:
        paths = [
            f"/history?month={month}",
            f"/link?link=npd&month={month}",
            f"/outages/{outage_id}",
            "/proof",
        ]
        paths += [f"/report.{kind}?month={month}" for kind in ("html", "csv", "json", "pdf")]
        names = "health links summary coverage outages incidents exclusions heads trail"
        paths += [f"/api/v1/{name}" for name in names.split()]
        paths += [f"/api/v1/outages/{outage_id}{rest}" for rest in ("", "/revisions", "/evidence")]
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 200, path
            seen[path] = answer.content
        wrong = client.get("/api/v1/outages", params={"as_of": MARK, MARK: "x"})
        assert wrong.status_code == 422
        seen["wrong"] = wrong.content
    seen["metrics"] = telemetry.current().render()[0]
    seen["log"] = log.getvalue().encode()
    engine.dispose()
    connection = sqlite3.connect(ledger_path)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own names
        seen[table] = repr(rows).encode()
    assert connection.execute("SELECT count(*) FROM refusals").fetchone() == (2,)
    connection.close()
    for command in ("list", "summary"):
        arguments = [command, "--month", month, "--ledger", sqlite_url(ledger_path), "--json"]
        seen[command] = CliRunner().invoke(outages_app, arguments).output.encode()
    assert outage_id.encode() in seen["list"]
    assert [where for where, content in seen.items() if MARK.encode() in content] == []


def test_the_month_by_command(month_ledger, tmp_path) -> None:
    """The command line gives the hand-worked month, and the same ledger the same report bytes every time."""
    import worked_month as worked

    url = str(month_ledger.url)
    for calendar, expected in worked.HAND_WORKED.items():
        arguments = ["--month", worked.MONTH, "--calendar", calendar, "--ledger", url]
        answer = json.loads(CliRunner().invoke(outages_app, ["summary", *arguments, "--json"]).stdout)
        assert {name: answer["total"][name] for name in expected} == expected
        for kind in ("html", "pdf", "csv", "json"):
            made = []
            for _ in range(2):
                out = tmp_path / f"report.{kind}"
                written = ["report", *arguments, "--format", kind, "--out", str(out)]
                result = CliRunner().invoke(outages_app, written)
                assert result.exit_code == 0
                made.append(out.read_bytes())
            assert made[0] == made[1]
        total = json.loads(_report(arguments, "json"))["total"]
        assert {name: total[name] for name in expected} == expected
        table = _report(arguments, "csv").decode("utf-8-sig").splitlines()
        total = next(csv.DictReader(table[table.index("availability") + 1 :]))
        assert total["link"] == "*"
        assert {name: total[name] for name in expected} == {
            name: "" if value is None else str(value) for name, value in expected.items()
        }
        html = _report([*arguments, "--language", "en"], "html").decode()
        rows = dict(re.findall(r'<th scope="row">([^<]*)</th><td class="n">([^<]*)</td>', html))
        for name, value in expected.items():
            assert rows[text(name, "en")] == written_figure(name, value, "en")


def _report(arguments: list[str], kind: str) -> bytes:
    return CliRunner().invoke(outages_app, ["report", *arguments, "--format", kind]).stdout_bytes
