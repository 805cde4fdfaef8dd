"""A report in each format, from one answer: the same input gives the same bytes.

Nothing of the moment of making is in it: what it was made from is (positions and roots of the ledger), and
the command that makes it again.
"""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, Final, Literal

from streams.model.text import spreadsheet_safe, visible
from streams.serve.answers import Answer, summary_rows
from streams.serve.names import Names
from streams.serve.render import render
from streams.serve.report.pdf import report_pdf
from streams.serve.texts import Language, text

ReportFormat = Literal["html", "pdf", "csv", "json"]
MEDIA_TYPES: Final[dict[ReportFormat, str]] = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}
OUTAGE_COLUMNS: Final = (
    "outage_id",
    "revision",
    "status",
    "reason",
    "link",
    "kind",
    "fault_domain",
    "start",
    "end",
    "duration_ms",
    "counted_ms",
    "counted_without_exclusions_ms",
    "excluded",
    "excluded_by",
    "detected_at",
    "rule_version",
    "attempts",
    "failures",
    "dossiers_affected",
    "dossiers_error",
    "changes",
    "services",
    "agencies",
    "incident_id",
    "evidence_until",
)
EXCLUSION_COLUMNS: Final = (
    "exclusion_id",
    "revision",
    "link",
    "start",
    "end",
    "kind",
    "status",
    "after_the_fact",
    "proposed_by",
    "proposed_at",
    "proposed_reason",
    "approved_by",
    "author",
    "reason",
    "recorded_at",
    "withdrawn",
)
EVIDENCE_COLUMNS: Final = ("outage_id", "topic", "partition", "first_offset", "next_offset", "digest")


def render_report(report: Answer, kind: ReportFormat, language: Language, names: Names) -> bytes:
    """Return a report's bytes in a format."""
    if kind == "json":
        return (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode()
    if kind == "csv":
        return report_csv(report)
    if kind == "pdf":
        return report_pdf(report, language, names)
    return render("report.html", language, names, standalone=True, caller=None, report=report).encode()


def report_csv(report: Answer) -> bytes:
    """Return a report as tables one after another, each under its name, with a BOM for Excel."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    question, total = report["question"], report["total"]
    writer.writerow(["question"])
    for name, value in question.items():
        writer.writerow([name, _cell(list(value.values()) if isinstance(value, dict) else value)])
    writer.writerow(["formula", report["method"]["formula"]])
    writer.writerow(["rounding", report["method"]["rounding"]])
    writer.writerow(["provisional_years", _cell(report["method"]["provisional_years"])])
    writer.writerow(["command", _cell(report["command"])])
    writer.writerows([f"version {name}", _cell(value)] for name, value in report["versions"].items())
    _table(writer, "availability", ("link", *total, "provisional_years"), summary_rows(report))
    _table(writer, "outages", OUTAGE_COLUMNS, report["outages"])
    evidence = [
        {"outage_id": outage["outage_id"]} | source
        for outage in report["outages"]
        for source in outage["evidence"]
    ]
    _table(writer, "evidence", EVIDENCE_COLUMNS, evidence)
    _table(writer, "exclusions", EXCLUSION_COLUMNS, report["exclusions"])
    _table(writer, "logs", ("log", "size", "root"), report["ledger"]["logs"])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def rows_csv(columns: Iterable[str], rows: Iterable[Answer]) -> bytes:
    """Return one table as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    columns = list(columns)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def file_name(report: Answer, kind: ReportFormat, language: Language) -> str:
    """Return the name under which a report is saved."""
    question = report["question"]
    return f"{text('report', language)}-{question['start'][:10]}-{question['calendar']['name']}.{kind}"


def _table(writer: Any, name: str, columns: tuple[str, ...], rows: Iterable[Answer]) -> None:
    writer.writerow([])
    writer.writerow([name])
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)


def _cell(value: object) -> object:
    """Return a value as a cell: lists joined, nothing a spreadsheet would run or a terminal obey."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if isinstance(value, str):
        return spreadsheet_safe(visible(value))
    return "" if value is None else value
