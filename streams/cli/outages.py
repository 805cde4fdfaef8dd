"""`portallink outages`: what auditors ask."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
import typer
from aiokafka.errors import KafkaError
from rich.table import Column, Table

from streams.cli.ledger_options import (
    Agency,
    AsCsv,
    AsJson,
    AsOf,
    CalendarName,
    From,
    LedgerAddress,
    Link,
    Month,
    Portal,
    Service,
    To,
    asked,
    read,
)
from streams.cli.outcome import fail, notes, print_json, refuse, results, say, styled
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.read import RereadError, topic_batches
from streams.ledger.proof.proofs import LeafProof, proof_of
from streams.ledger.read.summary import Narrowing, list_outages, revisions_of, summarise_links
from streams.logs.file import LogFileError, read_log
from streams.logs.write import log_writer
from streams.model import events
from streams.model.outage import Outage
from streams.model.record import Record
from streams.replay.rulefile import RuleFileError, read_rule
from streams.replay.verify import OutageCheck, verify_outage
from streams.serve.answers import listed_answer, outage_answer, report_answer, summary_answer, summary_rows
from streams.serve.command import reproducing
from streams.serve.report import OUTAGE_COLUMNS, ReportFormat, render_report, rows_csv
from streams.serve.texts import Language, text, written_length, written_percent, written_time

app = typer.Typer(no_args_is_help=True, help="What auditors ask: outages, figures, reports, proof.")

Kind = Annotated[str | None, typer.Option(help="down or degraded.")]
LIST_COLUMNS = ("link", "kind", "start", "end", "counted", "dossiers")
SUMMARY_COLUMNS = ("link", "availability", "coverage", "down", "degraded", "outages", "longest")
MinSeconds = Annotated[float, typer.Option("--min-seconds", help="Only outages that lasted so long.", min=0)]
Retracted = Annotated[bool, typer.Option(help="Show retracted ones too.")]


def _narrowing(kind: str | None, min_seconds: float, *, retracted: bool) -> Narrowing:
    if kind not in (None, "down", "degraded"):
        refuse(f"--kind {kind!r} is neither down nor degraded")
    return Narrowing(kind, round(min_seconds * 1000), retracted)


@app.command(name="list")
def list_command(
    *,
    month: Month = None,
    start: From = None,
    end: To = None,
    calendar: CalendarName = "24x7",
    link: Link = None,
    portal: Portal = None,
    agency: Agency = None,
    service: Service = None,
    kind: Kind = None,
    min_seconds: MinSeconds = 0,
    retracted: Retracted = False,
    as_of: AsOf = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the outages of a period. Times are Asia/Ho_Chi_Minh."""
    question = asked(
        month, start, end, calendar, as_of, link=link, portal=portal, agency=agency, service=service
    )
    narrowing = _narrowing(kind, min_seconds, retracted=retracted)
    with read(ledger) as connection:
        rows = [listed_answer(one) for one in list_outages(connection, question, narrowing)]
    if as_json:
        print_json(rows)
    elif as_csv:
        sys.stdout.buffer.write(rows_csv(OUTAGE_COLUMNS, rows))
    else:
        table = Table(Column("outage", overflow="fold"), *LIST_COLUMNS, title=calendar)
        for row in rows:
            table.add_row(
                row["outage_id"],
                row["link"],
                row["kind"] if row["status"] != "retracted" else "retracted",
                written_time(row["start_ms"], "en"),
                written_time(row["end_ms"], "en") if row["end_ms"] is not None else "open",
                written_length(row["counted_ms"], "en"),
                str(row["dossiers_affected"]),
            )
        results.print(table)


@app.command()
def summary(
    *,
    month: Month = None,
    start: From = None,
    end: To = None,
    calendar: CalendarName = "24x7",
    link: Link = None,
    portal: Portal = None,
    agency: Agency = None,
    service: Service = None,
    as_of: AsOf = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show the availability of every link over a period, and of all together."""
    question = asked(
        month, start, end, calendar, as_of, link=link, portal=portal, agency=agency, service=service
    )
    with read(ledger) as connection:
        answer = summary_answer(summarise_links(connection, question))
    if as_json:
        print_json(answer)
    elif as_csv:
        sys.stdout.buffer.write(
            rows_csv(("link", *answer["total"], "provisional_years"), summary_rows(answer))
        )
    else:
        table = Table(
            "link", "availability", "coverage", "down", "degraded", "outages", "longest", title=calendar
        )
        for row in [*answer["links"], {"link": "all"} | answer["total"]]:
            table.add_row(
                row["link"],
                written_percent(row["availability_pct"], "en"),
                written_percent(row["coverage_pct"], "en"),
                *(written_length(row[name], "en") for name in ("down_ms", "degraded_ms")),
                str(row["down_outages"]),
                written_length(row["longest_down_ms"], "en"),
            )
        results.print(table)
        _tell_provisional(answer["method"]["provisional_years"])


@app.command()
def show(outage_id: str, *, ledger: LedgerAddress = None, as_json: AsJson = False) -> None:
    """Show one outage: what, when, whom, why, and every revision that was published."""
    with read(ledger) as connection:
        revisions = _revisions(connection, outage_id)
        proofs = [proof_of(connection, outage_id, one.revision) for one in revisions]
    answer = outage_answer(revisions[-1]) | {
        "revisions": [
            outage_answer(one) | {"proof": msgspec.to_builtins(proof)}
            for one, proof in zip(revisions, proofs, strict=True)
        ]
    }
    if as_json:
        print_json(answer)
        return
    last = revisions[-1]
    say(styled(last.outage_id, "bold"), f"on {last.link}: {last.kind}, {last.status}")
    results.print(
        f"  {written_time(last.start_ms, 'en')} to {written_time(last.end_ms, 'en')}, Asia/Ho_Chi_Minh"
    )
    results.print(f"  {last.failures} of {last.attempts} attempts failed; fault domain: {last.fault_domain}")
    results.print(f"  dossiers affected: {last.dossiers_affected} (standard error {last.dossiers_error:.1%})")
    results.print(f"  services: {', '.join(last.services)}")
    results.print(f"  agencies: {', '.join(last.agencies)}")
    table = Table("revision", "published", "reason", "status", "start", "end", "rule")
    for one in revisions:
        table.add_row(
            str(one.revision),
            written_time(one.detected_at_ms, "en"),
            one.reason,
            one.status,
            written_time(one.start_ms, "en"),
            written_time(one.end_ms, "en"),
            one.rule_version,
        )
    results.print(table)
    for source in last.evidence:
        where = f"{source.topic}/{source.partition} [{source.first_offset}, {source.next_offset})"
        say(f"  evidence {where} {source.digest}")


@app.command()
def report(
    *,
    month: Month = None,
    start: From = None,
    end: To = None,
    calendar: CalendarName = "24x7",
    link: Link = None,
    portal: Portal = None,
    agency: Agency = None,
    service: Service = None,
    as_of: AsOf = None,
    kind: Annotated[ReportFormat, typer.Option("--format", help="html, pdf, csv or json.")] = "html",
    language: Annotated[Language, typer.Option("--language", help="vi or en.")] = "vi",
    out: Annotated[Path | None, typer.Option(help="File to write [default: stdout].")] = None,
    ledger: LedgerAddress = None,
) -> None:
    """Write a report of a period, in Vietnamese or English. The same ledger gives the same bytes."""
    question = asked(
        month, start, end, calendar, as_of, link=link, portal=portal, agency=agency, service=service
    )
    command = reproducing(question, f"--format {kind}", f"--language {language}")
    with read(ledger) as connection:
        made = render_report(report_answer(connection, question, Narrowing(), command), kind, language)
    if out is None:
        sys.stdout.buffer.write(made)
        return
    try:
        out.write_bytes(made)
    except OSError as error:
        refuse(error)
    notes.print(f"wrote {out}")


@app.command()
def verify(
    outage_id: str,
    *,
    revision: Annotated[int | None, typer.Option(help="Which revision [default: the last].", min=1)] = None,
    log: Annotated[
        Path | None, typer.Option(help="Captured log to read the evidence from [default: the broker].")
    ] = None,
    rule: Annotated[Path | None, typer.Option(help="Rule file it was judged by.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Broker to read from.")] = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Read an outage's evidence again, recompute digests and finding, and say match or where they differ.

    Its place in the ledger's Merkle log is checked as well. Exits 1 where anything differs.
    """
    with read(ledger) as connection:
        revisions = _revisions(connection, outage_id)
        number = revision or revisions[-1].revision
        outage = next((one for one in revisions if one.revision == number), None)
        if outage is None:
            refuse(f"outage {outage_id} has no revision {number}")
        proof = proof_of(connection, outage_id, number)
    try:
        judged_by = None if rule is None else read_rule(rule)
        if log is not None:
            check = verify_outage(outage, read_log(log), judged_by)
        else:
            check = _verify_from_broker(outage, kafka_connection(bootstrap_servers), judged_by)
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
        fail(f"outage {outage_id}, revision {number}, does not match")


def _tell_provisional(years: list[int]) -> None:
    """Say below a table which years' holidays are provisional."""
    if years:
        say(text("provisional_years_text", "en", years=", ".join(map(str, years))))


def _revisions(connection: sa.Connection, outage_id: str) -> list[Outage]:
    revisions = revisions_of(connection, outage_id)
    if not revisions:
        refuse(f"the ledger has no outage {outage_id!r}; `portallink outages list` names them")
    return revisions


def _verify_from_broker(outage: Outage, connection: dict[str, Any], rule: Any) -> OutageCheck:
    """Read the lookups up to the evidence's end, and what follows it, into a log file and verify by that."""
    topics = sorted({source.topic for source in outage.evidence} or {events.LOOKUPS})

    async def copy(path: Path) -> None:
        with log_writer(path) as writer, notes.status("reading the log again"):
            async for batch in topic_batches(connection, topics):
                writer.write(batch)

    with tempfile.TemporaryDirectory(prefix="portallink-verify-") as folder:
        path = Path(folder) / "log.ndjson.zst"
        asyncio.run(copy(path))
        return verify_outage(outage, _records(path), rule)


def _records(path: Path) -> Any:
    yield from (Record(*record) for record in read_log(path))


def _check_answer(check: OutageCheck, proof: LeafProof) -> dict[str, Any]:
    return {
        "outage_id": check.outage.outage_id,
        "revision": check.outage.revision,
        "proof": msgspec.to_builtins(proof) | {"holds": proof.holds},
        "evidence": [
            msgspec.to_builtins(one.source) | {"found": one.found, "matches": one.matches}
            for one in check.ranges
        ],
        "recomputed": check.recomputed is not None,
        "differences": [msgspec.to_builtins(difference) for difference in check.differences],
    }


def _print_check(check: OutageCheck, proof: LeafProof) -> None:
    said = "is" if proof.holds else styled("is not", "red")
    say(f"ledger: revision {check.outage.revision}", said, f"leaf {proof.leaf} of {proof.log}")
    for one in check.ranges:
        where = (
            f"{one.source.topic}/{one.source.partition} [{one.source.first_offset}, {one.source.next_offset})"
        )
        verdict = "match" if one.matches else styled("differ" if one.found else "are not in the log", "red")
        say(f"evidence: the records of {where}", verdict)
    if check.recomputed is None:
        say("finding:", styled("the log gives no such revision under this rule", "red"))
    for difference in check.differences:
        say(
            "finding:",
            styled(f"`{difference.field}`", "red"),
            f"was published as {difference.published!r}, the log gives {difference.recomputed!r}",
        )
    if check.recomputed is not None and not check.differences:
        say("finding: match")
