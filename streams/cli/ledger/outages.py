"""`portallink outages`: what auditors ask."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from streams.cli.ledger.evidence import OutageId, archive, known_revisions, verify
from streams.cli.ledger.ledger_options import (
    Agency,
    AsCsv,
    AsJson,
    AsOf,
    CalendarName,
    From,
    InLanguage,
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
from streams.cli.ledger.outage_tables import print_list, print_story, print_summary
from streams.cli.outcome import notes, print_json, refuse, write_whole
from streams.ledger.proof.proofs import proof_of
from streams.ledger.read.ids import exclusion_id_length, outage_id_length
from streams.ledger.read.lists import list_outages
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.summary import provisional_years, raised_normals, summarise_links
from streams.serve.answers import listed_answer, outage_answer, report_answer, summary_answer, summary_rows
from streams.serve.command import reproducing
from streams.serve.report.files import ReportFormat, render_report, rows_csv
from streams.serve.report.tables import OUTAGE_COLUMNS
from streams.serve.texts import (
    written_calendar,
)

app = typer.Typer(no_args_is_help=True, help="Outages, figures, reports and proof, as auditors need them.")

Kind = Annotated[Literal["down", "degraded"] | None, typer.Option(help="down or degraded.")]
BINARY = ("pdf", "xlsx", "zip")
MinSeconds = Annotated[
    float, typer.Option("--min-seconds", help="Only outages that lasted at least this long.", min=0)
]
Retracted = Annotated[bool, typer.Option(help="Include retracted outages.")]


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
    language: InLanguage = "en",
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
    narrowing = Narrowing(kind, round(min_seconds * 1000), retracted)
    with read(ledger) as connection:
        found = list_outages(connection, question, narrowing)
        raised = raised_normals(connection, question)
        years = provisional_years(connection, question)
        lengths = outage_id_length(connection), exclusion_id_length(connection)
    provisional = {"provisional_years": years}
    rows = [listed_answer(one, second_person=second_person) | provisional for one in found]
    if as_json:
        print_json(rows)
    elif as_csv:
        sys.stdout.buffer.write(rows_csv((*OUTAGE_COLUMNS, *provisional), rows))
    else:
        print_list(
            rows, lengths, raised, years, title=written_calendar(calendar, language), language=language
        )


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
    language: InLanguage = "en",
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show the availability of each link over a period, and of all links together."""
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
        print_summary(answer, written_calendar(calendar, language), language)


@app.command()
def show(
    outage_id: OutageId,
    *,
    language: InLanguage = "en",
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Show one outage: when it was, whom it hit, the evidence for it, and every published revision."""
    with read(ledger) as connection:
        revisions = known_revisions(connection, outage_id)
        proofs = [proof_of(connection, one.outage_id, one.revision) for one in revisions]
    answer = outage_answer(revisions[-1]) | {
        "revisions": [
            outage_answer(one) | {"proof": msgspec.to_builtins(proof)}
            for one, proof in zip(revisions, proofs, strict=True)
        ]
    }
    if as_json:
        print_json(answer)
        return
    print_story(revisions, language)


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
    language: InLanguage = "vi",
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
