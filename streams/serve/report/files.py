"""A report in each format, from one answer: the same input gives the same bytes.

Nothing of the moment of making is in it: what it was made from is (positions and roots of the ledger), and
the command that makes it again.
"""

import csv
import io
import json
from collections.abc import Iterable
from typing import Final, Literal

from streams.model.text import spreadsheet_safe, visible
from streams.serve.answers import Answer
from streams.serve.names import Names
from streams.serve.render import render
from streams.serve.report.pdf import report_pdf
from streams.serve.report.sheets import report_xlsx, report_zip
from streams.serve.report.tables import tables
from streams.serve.texts import Language, text

ReportFormat = Literal["html", "pdf", "xlsx", "zip", "csv", "json"]
MEDIA_TYPES: Final[dict[ReportFormat, str]] = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}


def render_report(report: Answer, kind: ReportFormat, language: Language, names: Names) -> bytes:
    """Return a report's bytes in a format."""
    if kind == "json":
        return (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode()
    if kind == "csv":
        return report_csv(report)
    if kind == "xlsx":
        return report_xlsx(report, names, language)
    if kind == "zip":
        return report_zip(report, names, language)
    if kind == "pdf":
        return report_pdf(report, language, names)
    return render("report.html", language, names, standalone=True, caller=None, report=report).encode()


def report_csv(report: Answer) -> bytes:
    """Return a report as tables one after another, each under its name, with a BOM for Excel."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for number, table in enumerate(tables(report)):
        writer.writerows([[], [table.name]] if number else [[table.name]])
        if table.name != "question":
            writer.writerow(table.columns)
        writer.writerows([_cell(row.get(column)) for column in table.columns] for row in table.rows)
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


def _cell(value: object) -> object:
    """Return a value as a cell: lists joined, nothing a spreadsheet would run or a terminal obey."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if isinstance(value, str):
        return spreadsheet_safe(visible(value))
    return "" if value is None else value
