"""`portallink outages verify` and `archive`: holding outages to the records they were found in."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
import typer
from aiokafka.errors import KafkaError
from rich.progress import BarColumn, Progress, TaskProgressColumn

from streams.cli.ledger.ledger_options import AsJson, From, LedgerAddress, Month, To, asked, read
from streams.cli.outcome import Words, fail, notes, print_json, refuse, say, styled
from streams.cli.settings_option import SettingsFile, settings_of
from streams.detect.rule.definition import Rule
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.read import RereadError, topic_batches, topics_present
from streams.ledger.proof.proofs import LeafProof, proof_of
from streams.ledger.read.ids import outage_id_length, outage_meant
from streams.ledger.read.lists import list_outages, revisions_of
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.logs.capture import CaptureError, Wish, capture
from streams.logs.capture import Progress as Done
from streams.logs.file import LogFileError
from streams.logs.folder import Manifest
from streams.logs.read import read_log
from streams.logs.write import log_writer
from streams.model.outage import Outage
from streams.model.record import Record
from streams.model.settings import Settings
from streams.model.times import EARLIEST_MS, LATEST_MS
from streams.model.topics import LOOKUPS, RULES
from streams.replay.analyze import captured_settings
from streams.replay.rulefile import RuleFileError, read_rule
from streams.replay.verify import OutageCheck, held_whole, verify_outage
from streams.serve.answers import evidence_until_ms, iso
from streams.serve.texts import written_time

OutageId = Annotated[str, typer.Argument(help="The outage's id, or the beginning of it.")]
Servers = Annotated[str | None, typer.Option(help="Broker to read from.")]


def verify(
    outage_id: OutageId,
    *,
    revision: Annotated[int | None, typer.Option(help="Which revision [default: the last].", min=1)] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Captured log or archive to read the evidence from [default: the broker]."),
    ] = None,
    rule: Annotated[
        Path | None,
        typer.Option(help="Rule file that was in force [default: the revisions of link.rules]."),
    ] = None,
    bootstrap_servers: Servers = None,
    settings: SettingsFile = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Read an outage's evidence again, recompute its digests and the finding, and report any difference.

    It applies the same rule as at the time, which the log holds. It also checks the outage's place in the
    ledger's Merkle log. Exits 1 if anything differs.
    """
    chosen = None if settings is None else settings_of(settings)
    with read(ledger) as connection:
        revisions = known_revisions(connection, outage_id)
        number = revision or revisions[-1].revision
        outage = next((one for one in revisions if one.revision == number), None)
        if outage is None:
            refuse(f"outage {revisions[0].outage_id} has no revision {number}")
        proof = proof_of(connection, outage_id, number)
    try:
        judged_by = None if rule is None else read_rule(rule)
        if log is not None:
            check = verify_outage(outage, read_log(log), judged_by, chosen or captured_settings(log))
        else:
            check = _verify_from_broker(outage, kafka_connection(bootstrap_servers), judged_by, chosen)
    except (LogFileError, OSError, RuleFileError, ConnectionSettingsError, RereadError) as error:
        refuse(error)
    except KafkaError as error:
        fail(f"the broker does not answer: {error!r}")
    matches = check.matches and proof.holds
    if as_json:
        print_json(_check_answer(check, proof) | {"matches": matches})
    else:
        _print_check(check, proof)
    if not matches:
        fail(f"outage {outage.outage_id}, revision {number}, does not match")


def archive(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the archive. An unfinished archive is continued.")
    ],
    *,
    month: Month = None,
    start: From = None,
    end: To = None,
    every: Annotated[
        float | None, typer.Option(help="Repeat every so many hours.", min=0.01, max=24 * 30)
    ] = None,
    bootstrap_servers: Servers = None,
    settings: SettingsFile = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Archive the records that verify a period's outages, before the broker expires them.

    A verdict depends on earlier records, so the archive holds all lookups that the broker still has, and the
    rules. Run it again to add what is new. Without a period, it covers all outages. Exits 1 and names the
    outages whose evidence it lacks. Use the folder with `outages verify --log`. The records are complete,
    personal identifiers included: protect the folder like the topics.
    """
    chosen = settings_of(settings)
    try:
        connection = kafka_connection(bootstrap_servers)
    except ConnectionSettingsError as error:
        refuse(error)
    while True:
        named = month is not None or start is not None or end is not None
        question = asked(month, start, end) if named else Question(EARLIEST_MS, LATEST_MS)
        manifest = _captured(folder, connection, chosen)
        with read(ledger) as ledger_connection:
            listed = list_outages(ledger_connection, question, Narrowing(retracted=True))
            length = outage_id_length(ledger_connection)
        lacking = [one.outage.outage_id for one in listed if not held_whole(one.outage, manifest.held())]
        if as_json:
            answer = {"folder": str(folder), "records": manifest.records, "outages": len(listed)}
            print_json(answer | {"lacking": lacking})
        else:
            whole = len(listed) - len(lacking)
            say(f"{folder}: {manifest.records:,} records; {whole} outages can be verified by it")
            for outage_id in lacking:
                say(styled("lacking", "red"), outage_id[:length])
        if every is None:
            break
        time.sleep(every * 3_600)
    if lacking:
        fail(f"the evidence of {len(lacking)} outages is neither in the archive nor on the broker")


def known_revisions(connection: sa.Connection, outage_id: str) -> list[Outage]:
    """Return every revision of an outage, the first first; raise `UnclearIdError` where no one is meant."""
    return revisions_of(connection, outage_meant(connection, outage_id))


def _captured(folder: Path, connection: dict[str, Any], settings: Settings) -> Manifest:
    columns = (Words("archiving"), BarColumn(), TaskProgressColumn(), Words("{task.description}"))
    with Progress(*columns, console=notes, transient=True) as bar:
        task = bar.add_task("", total=None)

        def progress(done: Done) -> None:
            bar.update(task, completed=done.done, total=done.total, description=f"{done.records:,} records")

        async def work() -> Manifest:
            topics = await topics_present(connection, [LOOKUPS, RULES])
            wishes = [Wish(topic) for topic in topics]
            return await capture(folder, connection, wishes, progress=progress, settings=settings)

        try:
            return asyncio.run(work())
        except (CaptureError, LogFileError, KafkaError, OSError) as error:
            fail(f"{error}; complete segments are kept: run the same command again to continue")


def _verify_from_broker(
    outage: Outage, connection: dict[str, Any], rule: Rule | None, settings: Settings | None
) -> OutageCheck:
    """Read the lookups, and the rules that judged them, into a log file and verify by that."""

    async def copy(path: Path) -> None:
        topics = await topics_present(connection, [*sorted(_topics_of(outage)), RULES])
        with log_writer(path) as writer, notes.status("reading the log again"):
            async for batch in topic_batches(connection, topics):
                writer.write(batch)

    with tempfile.TemporaryDirectory(prefix="portallink-verify-") as folder:
        path = Path(folder) / "log.ndjson.zst"
        asyncio.run(copy(path))
        return verify_outage(outage, (Record(*record) for record in read_log(path)), rule, settings)


def _topics_of(outage: Outage) -> set[str]:
    return {source.topic for source in outage.evidence} or {LOOKUPS}


def _check_answer(check: OutageCheck, proof: LeafProof) -> dict[str, Any]:
    until_ms = evidence_until_ms(check.outage)
    return {
        "outage_id": check.outage.outage_id,
        "revision": check.outage.revision,
        "proof": msgspec.to_builtins(proof) | {"holds": proof.holds},
        "evidence": [
            msgspec.to_builtins(one.source)
            | {"found": one.found, "matches": one.matches, "log_from": one.log_from}
            for one in check.ranges
        ],
        "evidence_until": iso(until_ms),
        "evidence_until_ms": until_ms,
        "rule_version": check.outage.rule_version,
        "rule_known": check.rule_known,
        "recomputed": check.recomputed is not None,
        "differences": [msgspec.to_builtins(difference) for difference in check.differences],
    }


def _print_check(check: OutageCheck, proof: LeafProof) -> None:
    said = "is" if proof.holds else styled("is not", "red")
    say(f"ledger: revision {check.outage.revision}", said, f"leaf {proof.leaf} of {proof.log}")
    for one in check.ranges:
        source = one.source
        where = f"{source.topic}/{source.partition} [{source.first_offset}, {source.next_offset})"
        if one.matches:
            say(f"evidence: the records of {where} match")
        elif one.found is None:
            begins = "" if one.log_from is None else f", which begins at offset {one.log_from}"
            say(f"evidence: the records of {where}", styled("are not in the log", "red") + begins)
        else:
            say(f"evidence: the records of {where}", styled("differ", "red"))
    if check.ranges:
        until = written_time(evidence_until_ms(check.outage), "en")
        say(f"evidence: the broker keeps it until {until} at least, `portallink outages archive` longer")
    if not check.rule_known:
        say(
            f"rule: it was judged by {check.outage.rule_version!r},",
            styled("which the log does not hold", "red") + ": name its file with --rule",
        )
    if check.recomputed is None:
        say("finding:", styled("the log gives no such revision under this rule", "red"))
    for difference in check.differences:
        say(
            "finding:",
            styled(f"`{difference.field}`", "red"),
            f"was published as {difference.published!r}, the log gives {difference.recomputed!r}",
        )
    if check.recomputed is not None and not check.differences:
        say(f"finding: match, judged by rule {check.outage.rule_version!r}")
