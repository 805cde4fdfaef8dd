"""`portallink outages`: what auditors ask."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Column, Table

from streams.cli.ledger.evidence import archive, known_revisions, verify
from streams.cli.ledger.ledger_options import (
    Agency,
    AsCsv,
    AsJson,
    AsOf,
    CalendarName,
    From,
    LedgerAddress,
    Link,
    Month,
    NamesFile,
    Portal,
    SecondPerson,
    Service,
    To,
    asked,
    names_of,
    read,
)
from streams.cli.outcome import notes, print_json, refuse, results, say, styled, write_whole
from streams.ledger.proof.proofs import proof_of
from streams.ledger.read.lists import list_outages
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.summary import provisional_years, raised_normals, summarise_links
from streams.model.outage import Confined, Outage, RaisedNormal
from streams.serve.answers import listed_answer, outage_answer, report_answer, summary_answer, summary_rows
from streams.serve.command import reproducing
from streams.serve.report.files import ReportFormat, render_report, rows_csv
from streams.serve.report.tables import OUTAGE_COLUMNS
from streams.serve.texts import Language, text, written_length, written_normal, written_percent, written_time

app = typer.Typer(no_args_is_help=True, help="What auditors ask: outages, figures, reports, proof.")

Kind = Annotated[str | None, typer.Option(help="down or degraded.")]
LIST_COLUMNS = ("link", "kind", "start", "end", "counted", "without exclusions", "dossiers", "excluded")
SUMMARY_COLUMNS = (
    "link",
    "availability",
    "without exclusions",
    "coverage",
    "down",
    "degraded",
    "outages",
    "longest",
)
BINARY = ("pdf", "xlsx", "zip")
MinSeconds = Annotated[float, typer.Option("--min-seconds", help="Only outages that lasted so long.", min=0)]
Retracted = Annotated[bool, typer.Option(help="Show retracted ones too.")]


def _narrowing(kind: str | None, min_seconds: float, *, retracted: bool) -> Narrowing:
    if kind not in (None, "down", "degraded"):
        refuse(f"--kind {kind!r} is neither down nor degraded")
    return Narrowing(kind, round(min_seconds * 1000), retracted)


def _kind_of(row: dict[str, Any]) -> str:
    """Return what a list says of an outage's kind."""
    if row["status"] == "retracted":
        return "retracted"
    return f"{row['kind']}, confined" if row["confined_to"] else str(row["kind"])


def _confined(outage: Outage, to: Confined) -> str:
    """Return what an outage is confined to, with the lookups inside and outside."""
    named = (("service", to.services), ("agency", to.agencies))
    names = [f"{kind} {', '.join(some)}" for kind, some in named if some]
    outside = f"{outage.failures - to.failures} of {outage.attempts - to.attempts}"
    return (
        f"confined to {' and '.join(names)}: {to.failures} of {to.attempts} attempts failed there, "
        f"{outside} elsewhere"
    )


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
    second_person: SecondPerson = True,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the outages of a period. Times are Asia/Ho_Chi_Minh."""
    question = asked(
        month,
        start,
        end,
        calendar,
        as_of,
        second_person=second_person,
        link=link,
        portal=portal,
        agency=agency,
        service=service,
    )
    narrowing = _narrowing(kind, min_seconds, retracted=retracted)
    with read(ledger) as connection:
        found = list_outages(connection, question, narrowing)
        raised = raised_normals(connection, question)
        years = provisional_years(connection, question)
    provisional = {"provisional_years": years}
    rows = [listed_answer(one, second_person=second_person) | provisional for one in found]
    if as_json:
        print_json(rows)
    elif as_csv:
        sys.stdout.buffer.write(rows_csv((*OUTAGE_COLUMNS, *provisional), rows))
    else:
        table = Table(Column("outage", overflow="fold"), *LIST_COLUMNS, title=calendar)
        for row in rows:
            table.add_row(
                row["outage_id"],
                row["link"],
                _kind_of(row),
                written_time(row["start_ms"], "en"),
                written_time(row["end_ms"], "en") if row["end_ms"] is not None else "open",
                written_length(row["counted_ms"], "en"),
                written_length(row["counted_without_exclusions_ms"], "en"),
                str(row["dossiers_affected"]),
                "\n".join([row["excluded"], *row["excluded_by"]]) if row["exclusions"] else "",
            )
        results.print(table)
        for name, normal in raised.items():
            say(f"{name}: {written_normal(normal, 'en')}")
        _tell_provisional(years)


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
    second_person: SecondPerson = True,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show the availability of every link over a period, and of all together."""
    question = asked(
        month,
        start,
        end,
        calendar,
        as_of,
        second_person=second_person,
        link=link,
        portal=portal,
        agency=agency,
        service=service,
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
        asked_for = answer["question"]
        title = calendar if asked_for["complete"] else f"{calendar}, until {asked_for['until']}"
        table = Table(*SUMMARY_COLUMNS, title=title)
        for row in [*answer["links"], {"link": "all"} | answer["total"]]:
            table.add_row(
                row["link"],
                written_percent(row["availability_pct"], "en"),
                written_percent(row["availability_without_exclusions_pct"], "en"),
                written_percent(row["coverage_pct"], "en"),
                *(written_length(row[name], "en") for name in ("down_ms", "degraded_ms")),
                str(row["down_outages"]),
                written_length(row["longest_down_ms"], "en"),
            )
        results.print(table)
        for row in answer["links"]:
            if row["short_failures"]:
                lasted = written_length(row["short_failure_ms"], "en")
                lookups = row["short_failure_lookups"]
                say(f"{row['link']}: {row['short_failures']} short failures, {lasted}, {lookups} lookups")
            if normal := row.get("normal"):
                say(f"{row['link']}: {written_normal(msgspec.convert(normal, RaisedNormal), 'en')}")
        _tell_provisional(answer["method"]["provisional_years"])


@app.command()
def show(outage_id: str, *, ledger: LedgerAddress = None, as_json: AsJson = False) -> None:
    """Show one outage: what, when, whom, why, and every revision that was published."""
    with read(ledger) as connection:
        revisions = known_revisions(connection, outage_id)
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
    if last.confined_to is not None:
        results.print(f"  {_confined(last, last.confined_to)}")
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
    second_person: SecondPerson = True,
    kind: Annotated[
        ReportFormat, typer.Option("--format", help="html, pdf, xlsx, zip (of CSV), csv or json.")
    ] = "html",
    language: Annotated[Language, typer.Option("--language", help="vi or en.")] = "vi",
    out: Annotated[Path | None, typer.Option(help="File to write [default: stdout].")] = None,
    names: NamesFile = None,
    ledger: LedgerAddress = None,
) -> None:
    """Write a report of a period, in Vietnamese or English. The same ledger gives the same bytes."""
    question = asked(
        month,
        start,
        end,
        calendar,
        as_of,
        second_person=second_person,
        link=link,
        portal=portal,
        agency=agency,
        service=service,
    )
    command = reproducing(question, f"--format {kind}", f"--language {language}")
    if out is None and kind in BINARY and sys.stdout.isatty():
        refuse(f"a terminal cannot show {kind}: name a file with --out, or redirect the output")
    called = names_of(names)
    with read(ledger) as connection:
        made = render_report(
            report_answer(connection, question, Narrowing(), command), kind, language, called
        )
    if out is None:
        sys.stdout.buffer.write(made)
        return
    write_whole(out, made)
    notes.print(f"wrote {out}")


app.command()(verify)
app.command()(archive)


def _tell_provisional(years: list[int]) -> None:
    """Say below a table which years' holidays are provisional."""
    if years:
        say(text("provisional_years_text", "en", years=", ".join(map(str, years))))
