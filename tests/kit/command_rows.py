"""A cheap command line for every command, as its manners are tested: what it needs, prints and writes."""

import asyncio
import json
from pathlib import Path
from typing import NamedTuple

import msgspec
import worked_month as month
from aiokafka import AIOKafkaProducer
from gateway_lines import LoggedCall, nginx_json
from source_tree import ROOT
from spans import as_json, span
from xroad_samples import client, producer

from streams.detect.rule.definition import Rule
from streams.kafka.topics import Topics, create_topics
from streams.ledger.proof.heads import load_or_make_key, public_pem, sign_head
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url, writing
from streams.measure.letters import encode_letter, letter_key
from streams.measure.refused import DeadLetter

LINK = "hcmc-npd"
GOLDEN = ROOT / "tests" / "golden" / "nothing-gets-through"
SCENARIO = """
name: two-minutes
title: {vi: Hai phút, en: Two minutes}
start: 2023-03-13T08:00
end: 2023-03-13T08:02
seed: 2
links: [hcmc-npd, hcmc-vneid, hcmc-bhyt, hcmc-justice]
flows:
  - id: residents
    portal: hcmc
    agencies: hcmc-districts
    count: 40
    services: {dang-ky-tam-tru: 1}
faults:
  - id: npd-down
    cause: line_cut
    links: [hcmc-npd]
    start: 2023-03-13T08:00:20
    minutes: 1
    about: the line is cut
"""


class Row(NamedTuple):
    """A command line, its exit code, and what it does; ``writes`` names what it leaves, in its own folder.

    A command that is ``silent`` has nothing to say on standard output. ``atomic`` is false where what is
    written grows by transactions or lines of its own: it is whole after each of them.
    """

    line: str
    code: int = 0
    writes: tuple[str, ...] = ()
    kafka: bool = False
    silent: bool = False
    atomic: bool = True


MONTH = "--month 2025-04 --ledger {ledger}"
BROKER = "--suffix {suffix}"
HELP = Row("--help")
"""For what runs until it is stopped, or takes minutes: its help is what it prints at once."""

ROWS = {
    "demo": HELP,
    "kafka start": HELP,
    "kafka stop": Row("--data-dir {empty}"),
    "kafka status": Row("--data-dir {empty}"),
    "dead-letters list": Row(BROKER, kafka=True),
    "dead-letters show": Row("npd.lookups-{suffix}/0@3 " + BROKER, kafka=True),
    "dead-letters retry": Row("--reason none " + BROKER, kafka=True, silent=True),
    "dead-letters forget": Row("--reason none " + BROKER, kafka=True, silent=True),
    "topics apply": Row("", kafka=True),
    "topics asyncapi": Row("--out topics.yaml", writes=("topics.yaml",), silent=True),
    "topics acls": Row(""),
    "run measure": HELP,
    "run detect": HELP,
    "run record": HELP,
    "run serve": HELP,
    "run collect": HELP,
    "rules apply": Row("{rule} --reason try --id tried " + BROKER, kafka=True),
    "rules withdraw": Row("none --reason try " + BROKER, code=2, kafka=True, silent=True),
    "rules list": Row(BROKER, kafka=True),
    "rules show": Row("shown " + BROKER, kafka=True),
    "watch rules": Row("--out deploy --json", writes=("deploy/alertmanager/alertmanager.yml",)),
    "watch export": Row("exported --json", writes=("exported",)),
    "simulate": Row("{scenario} --out log.ndjson", writes=("log.ndjson", "log.ndjson.truth.json")),
    "ingest http": Row(
        "{access} --map nginx-json --out log.ndjson --rejects bad.ndjson", writes=("log.ndjson",)
    ),
    "ingest otlp": Row("{spans} --out log.ndjson", writes=("log.ndjson",)),
    "ingest maps": Row("nginx-json"),
    "ingest xroad": Row("{xroad} --out log.ndjson --rejects bad.ndjson", writes=("log.ndjson",)),
    "emit": Row("{events} --out log.ndjson", writes=("log.ndjson",)),
    "outages list": Row(MONTH),
    "outages summary": Row(MONTH),
    "outages show": Row("hcmc-npd-o1 --ledger {ledger}"),
    "outages report": Row("--format html --out report.html " + MONTH, writes=("report.html",), silent=True),
    "outages verify": Row("hcmc-npd-o1 --ledger {ledger} --log {log} --rule {rule}", code=1),
    "outages archive": Row(
        "archive --ledger {ledger}", code=1, kafka=True, writes=("archive/manifest.json",)
    ),
    "exclusions add": Row(
        LINK + " --from 2099-01-01 --to 2099-01-02 --reason try --json --ledger {ledger} " + BROKER,
        kafka=True,
    ),
    "exclusions withdraw": Row("{exclusion} --reason try --json --ledger {ledger} " + BROKER, kafka=True),
    "exclusions approve": Row(
        "{exclusion} --reason try --json --ledger {ledger} " + BROKER, code=2, kafka=True, silent=True
    ),
    "exclusions show": Row("{exclusion} --ledger {ledger}"),
    "exclusions list": Row("--ledger {ledger}"),
    "links list": Row("--ledger {ledger}"),
    "links retire": Row(
        LINK + " --from 2099-01-01 --reason try --json --ledger {ledger} " + BROKER, kafka=True
    ),
    "links restore": Row(LINK + " --reason try --ledger {ledger} " + BROKER, code=2, kafka=True, silent=True),
    "links show": Row(LINK + " --ledger {ledger}"),
    "ledger migrate": Row("--ledger sqlite:///new.db", writes=("new.db",), silent=True, atomic=False),
    "ledger calendars": Row("--ledger {ledger}"),
    "ledger rebuild": Row(
        "--log {ledger_log} --ledger sqlite:///new.db --json", writes=("new.db",), atomic=False
    ),
    "ledger token": Row("an-auditor"),
    "ledger verify": Row("--ledger {ledger} --key {key} --history-only --json"),
    "ledger head": Row("--ledger {ledger} --key {key}"),
    "ledger consistency": Row(
        "{heads} --ledger {ledger} --public-key {public} --out proofs.ndjson --json",
        writes=("proofs.ndjson",),
    ),
    "ledger publish-head": Row(
        "heads.ndjson --ledger {ledger}", writes=("heads.ndjson",), silent=True, atomic=False
    ),
    "ledger key": Row("--key new.pem", writes=("new.pem",)),
    "analyze": Row(
        "{log} --out results",
        writes=("results/measurements.ndjson", "results/windows.ndjson", "results/outages.ndjson"),
    ),
    "explain": Row("{outage} --log {log} --svg plot.svg", writes=("plot.svg",)),
    "capture": Row("captured --topic link.rules " + BROKER, kafka=True, writes=("captured/manifest.json",)),
    "replay": Row("{log} --limit 1 " + BROKER, kafka=True),
    "diff": Row("{results} {results}"),
    "query": Row("'select link, outage_id, start_ms, services from outages' {results}"),
    "doctor": Row("{log}"),
    "golden add": Row(
        "kept {log} --dir golden",
        writes=("golden/kept",),
    ),
    "golden run": Row("--dir {goldens} nothing-gets-through"),
    "backfill": Row("{log} --no-blocks --step 600 --json", writes=("backfill/openmetrics",)),
    "backtest": Row("built-in {rule} {log}"),
    "score": Row("{results}/outages.ndjson {truth}"),
    "bench": HELP,
    "bench serve": HELP,
}


def prepared(folder: Path) -> dict[str, str]:
    """Write what the command lines read into a folder; return the places that they name."""
    there = {name: str(folder / name) for name in ("access", "spans", "xroad", "events", "rule", "scenario")}
    there = {name: f"{path}.{'yaml' if name == 'scenario' else 'json'}" for name, path in there.items()}
    at_ms = month.at(3, 9)
    calls = [LoggedCall(at_ms + 1_000 * number, number=number) for number in range(200)]
    _write(there["access"], "".join(nginx_json(call) + "\n" for call in calls))
    _write(there["spans"], as_json([span(number) for number in range(1, 60)]).decode())
    pairs = [make(at_ms + number, str(number)) for number in range(100) for make in (client, producer)]
    _write(there["xroad"], json.dumps(pairs))
    _write(there["events"], "".join(json.dumps(event) + "\n" for event in _events(at_ms)))
    _write(there["rule"], msgspec.json.encode(Rule()).decode())
    _write(there["scenario"], SCENARIO)
    there |= _ledger(folder)
    there |= {"log": str(GOLDEN / "log.ndjson.zst"), "goldens": str(GOLDEN.parent)}
    there |= {"empty": str(folder / "empty"), "results": str(folder / "results")}
    there |= {"truth": str(folder / "truth.json"), "outage": "npd"}
    return there


def _events(at_ms: int) -> list[dict[str, object]]:
    about = {"dossier_id": "H29-1", "link": LINK, "agency": "a", "service": "s", "attempt": 1}
    return [
        {"type": "lookup.requested", "event_id": f"e{n}", "occurred_at_ms": at_ms, "lookup_id": f"q{n}"}
        | about
        | {"observer": "portal"}
        for n in range(100)
    ]


def _ledger(folder: Path) -> dict[str, str]:
    """Make a signed ledger of the worked month, and what was kept of it elsewhere."""
    url = sqlite_url(folder / "ledger.db")
    engine, key, records = (
        open_ledger(url, create=True),
        load_or_make_key(folder / "key.pem"),
        month.records(),
    )
    heads = []
    for some in (records[:20_000], records[20_000:]):
        apply_records(engine, some)
        with writing(engine) as connection:
            heads.append(sign_head(connection, key, month.at(1, 0, month=6) + len(heads)))
    engine.dispose()
    from streams.logs.write import log_writer

    with log_writer(folder / "ledger.ndjson.zst") as log:
        log.write([one for one in records if one.topic != "link.windows"])
    _write(str(folder / "heads.ndjson"), "".join(msgspec.json.encode(one).decode() + "\n" for one in heads))
    _write(str(folder / "public.pem"), public_pem(key.public_key()))
    return {
        "ledger": url,
        "ledger_log": str(folder / "ledger.ndjson.zst"),
        "key": str(folder / "key.pem"),
        "public": str(folder / "public.pem"),
        "heads": str(folder / "heads.ndjson"),
        "exclusion": month.exclusions()[0].exclusion_id,
    }


def prepare_topics(kafka: str, suffix: str) -> None:
    """Create the topics that the command lines ask, with a dead letter and a rule on them."""
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}

    async def prepare() -> None:
        await create_topics(connection, topics)
        async with AIOKafkaProducer(**connection) as sender:
            letter = DeadLetter(3, 1_700_000_000_003, "wrong_shape", "why", b"k", b"{}")
            value = encode_letter(topics.lookups, 0, letter)
            await sender.send_and_wait(topics.dead_letters, value, key=letter_key(topics.lookups, 0))

    asyncio.run(prepare())


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, "utf-8")
