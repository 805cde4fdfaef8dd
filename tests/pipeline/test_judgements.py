"""Judgements on a real broker: facts stay and verify, and are counted as the oracle counts."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import oracle
import pytest
import sqlalchemy as sa
from oracle import Facts
from small_logs import Fault, draw_log
from stages import Published, Stage, gather, running
from typer.testing import CliRunner

from streams.cli import app
from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.ledger.read.histories import exclusion_revisions_of, retirement_revisions_of
from streams.ledger.read.lists import list_outages
from streams.ledger.read.question import Question
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.database import open_ledger, reading, sqlite_url
from streams.logs.write import log_writer
from streams.model.canonical import encode
from streams.model.events import Heartbeat
from streams.model.exclusion import Exclusion
from streams.model.outage import Window
from streams.model.record import Record
from streams.model.times import local_time
from streams.model.topics import LOOKUPS
from streams.record.send import send_decision
from streams.replay.analyze import analyze

pytestmark = [pytest.mark.slow, pytest.mark.timeout(540)]

LINK = "npd"


def records_of(log) -> list[Record]:
    """Return a log of lookups as records, by partition."""
    records, offsets = [], {}
    for told in sorted(log, key=lambda told: told.told_ms):
        offset = offsets[told.partition] = offsets.get(told.partition, -1) + 1
        key = None if isinstance(told.event, Heartbeat) else told.event.dossier_id.encode()
        value = msgspec.json.encode(told.event)
        records.append(Record(LOOKUPS, told.partition, offset, told.told_ms, key, value))
    return records


def short_of(window: Window) -> tuple[int, int, int]:
    """Return what a window says of short failures: number, ms and lookups."""
    said = window.short_failures
    return (0, 0, 0) if isinstance(said, msgspec.UnsetType) else (said.number, said.duration_ms, said.lookups)


class Auditor:
    """Asks the command line, and holds what it says to the oracle."""

    def __init__(self, folder: Path, kafka: str, suffix: str, log: Path, published: Published) -> None:
        self.address, self.log, self.published = sqlite_url(folder / "ledger.db"), log, published
        self._key = str(folder / "key.pem")
        self._broker = ["--suffix", suffix, "--bootstrap-servers", kafka]

    def says(self, *words: str, broker: bool = False, key: bool = False) -> str:
        """Return what a command prints; it must succeed."""
        more = [*(self._broker if broker else []), *(["--key", self._key] if key else [])]
        result = CliRunner().invoke(app, [*words, *more, "--ledger", self.address])
        assert result.exit_code == 0, result.output
        return result.stdout

    def decides(self, *words: str) -> dict:
        """Return what a command put on its topic."""
        return json.loads(self.says(*words, "--reason", "agreed", "--json", broker=True))

    def holds(self) -> None:
        """Every revision matches its evidence, the ledger verifies and is what its topics give."""
        for outage in self.published.outages:
            which = ["--revision", str(outage.revision), "--log", str(self.log)]
            assert json.loads(self.says("outages", "verify", outage.outage_id, *which, "--json"))["matches"]
        assert json.loads(self.says("ledger", "verify", "--json", key=True))["findings"] == []
        assert json.loads(self.says("ledger", "rebuild", "--check", "--json", broker=True))["equal"]

    def counts(self) -> dict[str, int]:
        """Hold the figures to the oracle, now and as of every decision; return those of now."""
        engine = open_ledger(self.address)
        with reading(engine) as connection:
            facts = self._facts(connection)
            moments = [one.recorded_at_ms for one in facts.exclusions + facts.retirements]
            starts = min(facts.windows[LINK])
            for as_of_ms in (None, *moments):
                for second_person in (True, False):
                    question = Question(
                        starts, starts + 3_600_000, as_of_ms=as_of_ms, second_person=second_person
                    )
                    now = self._count(connection, facts, question)
            question = Question(starts, starts + 3_600_000)
            now = self._count(connection, facts, question)
        engine.dispose()
        return now

    def _count(self, connection: sa.Connection, facts: Facts, question: Question) -> dict[str, int]:
        [row] = summarise_links(connection, question).links
        for excluding, found in ((True, row.availability), (False, row.without_exclusions)):
            sums, shares = oracle.count(facts, question, LINK, excluding=excluding)
            told = sums | oracle.told(facts, question, shares)
            assert {name: getattr(found.figures, name) for name in sums} == sums
            assert found.outages.down_outages == told["down_outages"]
        listed = list_outages(connection, question)
        assert [one.outage for one in listed] == oracle.listed(facts, question)
        return {
            "down_ms": row.availability.figures.down_ms,
            "plain_ms": row.without_exclusions.figures.down_ms,
        }

    def _facts(self, connection: sa.Connection) -> Facts:
        windows = {
            one.start_ms: (one.state_ms["UNKNOWN"], one.attempts, one.failures, short_of(one))
            for one in sorted(self.published.windows, key=lambda one: one.revision)
        }
        return Facts(
            {LINK: windows},
            self.published.outages,
            exclusion_revisions_of(connection),
            retirement_revisions_of(connection),
        )

    async def sees(self, arrived: Callable[[sa.Connection], bool]) -> None:
        """Wait until `record` has written something."""
        engine = open_ledger(self.address, create=True)
        try:
            async with asyncio.timeout(90):
                while True:
                    with reading(engine) as connection:
                        if arrived(connection):
                            return
                    await asyncio.sleep(0.1)
        finally:
            engine.dispose()


async def test_facts_stay_whatever_is_decided(kafka: str, tmp_path: Path) -> None:
    """Excluded, approved, moved, withdrawn, retired: each time all verifies, rebuilds and adds up."""
    records = records_of(draw_log(1, faults=[Fault(200, 100), Fault(500, 120)]))
    log = tmp_path / "log.ndjson"
    with log_writer(log) as writer:
        writer.write(records)
    analysis = analyze(iter(records))
    expected = {
        name: [encode(one) for one in getattr(analysis, name)]
        for name in ("measurements", "windows", "outages")
    }
    suffix = f"judged-{uuid.uuid4().hex[:6]}"
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={"npd.lookups": 2})
    await publish(iter(records), connection, topic_names=topics.by_declared_name())
    options = ("--suffix", suffix, "--group")
    ledger = ("--ledger", sqlite_url(tmp_path / "ledger.db"), "--key", str(tmp_path / "key.pem"))
    stages = [
        Stage("measure", kafka, tmp_path, *options, f"{suffix}-m"),
        Stage("detect", kafka, tmp_path, *options, f"{suffix}-d"),
        Stage("record", kafka, tmp_path, *options, f"{suffix}-r", *ledger),
    ]
    with running(*stages):
        published = await gather(kafka, topics, expected, stages=stages)
        assert published.canonical() == expected
        first, second = analysis.final()
        auditor = Auditor(tmp_path, kafka, suffix, log, published)

        async def after(exclusion: dict) -> dict[str, int]:
            """Wait for a revision of an exclusion, check everything, and return what now counts."""
            name, revision = exclusion["exclusion_id"], exclusion["revision"]
            await auditor.sees(lambda c: len(exclusion_revisions_of(c, name)) == revision)
            await asyncio.to_thread(auditor.holds)
            return auditor.counts()

        await auditor.sees(lambda c: len(summarise_links(c, Question(0, 2**42)).links) == 1)
        await asyncio.sleep(1)
        times = ["--from", _local(first.start_ms - 60_000), "--to", _local(first.end_ms + 60_000)]
        asked = await asyncio.to_thread(auditor.decides, "exclusions", "add", LINK, *times, "--author", "ops")
        pending = await after(asked)
        assert pending["down_ms"] == pending["plain_ms"] > 0
        name = asked["exclusion_id"]
        approved = await asyncio.to_thread(
            auditor.decides, "exclusions", "approve", name, "--author", "audit"
        )
        counted = await after(approved)
        assert 0 < counted["down_ms"] < counted["plain_ms"] == pending["plain_ms"]
        moved = Exclusion(
            name, 3, LINK, second.start_ms, second.end_ms, "exclusion", "ops", "the other one",
            int(time.time() * 1000), False,
        )  # fmt: skip
        await send_decision(connection, moved, topics)
        assert await after({"exclusion_id": name, "revision": 3}) == pending
        again = await asyncio.to_thread(auditor.decides, "exclusions", "approve", name, "--author", "audit")
        other = await after(again)
        assert 0 < other["down_ms"] < other["plain_ms"]
        assert other["down_ms"] + counted["down_ms"] == pending["plain_ms"]
        gone = await asyncio.to_thread(auditor.decides, "exclusions", "withdraw", name, "--author", "ops")
        assert await after(gone) == pending
        retired = await asyncio.to_thread(
            auditor.decides, "links", "retire", LINK, "--from", _local(second.start_ms), "--author", "ops"
        )
        await auditor.sees(lambda c: len(retirement_revisions_of(c, LINK)) == retired["revision"])
        await asyncio.to_thread(auditor.holds)
        assert auditor.counts()["down_ms"] == counted["plain_ms"] - counted["down_ms"]


def _local(time_ms: int) -> str:
    return local_time(time_ms).replace(" ", "T")
