"""A report's tables as a workbook and as CSV files in a zip, as an Excel of the reader's country reads them.

Numbers are numbers and times are times. Nothing that a cell holds is run: every text is written as a text.
"""

import csv
import io
import zipfile
from datetime import datetime
from typing import Any, Final

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from streams.model.hours.calendar import to_local
from streams.model.text import spreadsheet_safe, visible
from streams.serve.answers import Answer
from streams.serve.names import Names
from streams.serve.report.tables import Table, named_tables, title_of
from streams.serve.texts import Language, text

MOST_CHARACTERS: Final = 32_000
"""A cell of a workbook holds 32,767 characters."""
ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
TIMES: Final = ("start", "end", "until", "detected_at", "proposed_at", "recorded_at", "evidence_until", "day")


def report_xlsx(report: Answer, names: Names, language: Language) -> bytes:
    """Return a report as a workbook with one sheet a table; the same report gives the same bytes."""
    out = io.BytesIO()
    settings = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "remove_timezone": True,
    }
    with xlsxwriter.Workbook(out, settings) as book:
        made_ms = report["question"]["end_ms"]
        book.set_properties(
            {"title": text("report_of", language), "created": to_local(made_ms).replace(tzinfo=None)}
        )
        head = book.add_format({"bold": True, "bg_color": "#dbe9f6", "border": 1, "text_wrap": True})
        when = book.add_format(
            {"num_format": "dd/mm/yyyy hh:mm:ss" if language == "vi" else "yyyy-mm-dd hh:mm:ss"}
        )
        for table in named_tables(report, names, language):
            _sheet(book.add_worksheet(text(table.name, language)[:31]), table, head, when, language)
    return out.getvalue()


def report_zip(report: Answer, names: Names, language: Language) -> bytes:
    """Return a report's tables as CSV files in a zip; the same report gives the same bytes.

    An Excel in Vietnamese takes semicolons between cells and a comma before decimals, one in English the
    others; a byte-order mark tells it that the letters are UTF-8.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as folder:
        for table in named_tables(report, names, language):
            held = io.StringIO()
            writer = csv.writer(held, delimiter=";" if language == "vi" else ",", lineterminator="\r\n")
            writer.writerow(title_of(column, language) for column in table.columns)
            writer.writerows(
                [_text(column, row.get(column), language) for column in table.columns] for row in table.rows
            )
            file = zipfile.ZipInfo(f"{table.name}.csv", ZIP_TIME)
            file.compress_type = zipfile.ZIP_DEFLATED
            folder.writestr(file, b"\xef\xbb\xbf" + held.getvalue().encode())
    return out.getvalue()


def _sheet(sheet: Worksheet, table: Table, head: Format, when: Format, language: Language) -> None:
    for at, column in enumerate(table.columns):
        sheet.write_string(0, at, title_of(column, language), head)
    widths = [14] * len(table.columns)
    for number, row in enumerate(table.rows, start=1):
        for at, column in enumerate(table.columns):
            value = _value(column, row.get(column))
            if isinstance(value, datetime):
                sheet.write_datetime(number, at, value, when)
                widths[at] = max(widths[at], 20)
            elif isinstance(value, int | float):
                sheet.write_number(number, at, value)
            elif value:
                sheet.write_string(number, at, value[:MOST_CHARACTERS])
                widths[at] = min(60, max(widths[at], len(value)))
    for at, width in enumerate(widths):
        sheet.set_column(at, at, width)
    sheet.freeze_panes(1, 1)
    if table.rows:
        sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)


def _value(column: str, value: Any) -> datetime | float | str:
    """Return a cell's value: a local time, a number, or a text."""
    if value is None:
        return ""
    if column in TIMES and isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=None)
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return visible(str(value))


def _text(column: str, value: Any, language: Language) -> str:
    found = _value(column, value)
    if isinstance(found, datetime):
        return found.strftime("%d/%m/%Y %H:%M:%S" if language == "vi" else "%Y-%m-%d %H:%M:%S")
    if isinstance(found, float) and language == "vi":
        return str(found).replace(".", ",")
    return str(found) if isinstance(found, int | float) else str(spreadsheet_safe(found))
