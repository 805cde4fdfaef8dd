"""Reports of any content: long words break over pages, and a table's cell is never a formula."""

import csv
import io
import zipfile
from datetime import datetime

import pytest
import sqlalchemy as sa
import worked_month as month
from openpyxl import load_workbook
from pypdf import PdfReader

from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.store.database import reading
from streams.model.text import FORMULA_SIGNS
from streams.serve.answers import Answer, report_answer
from streams.serve.names import Names, city_names
from streams.serve.report.files import render_report
from streams.serve.texts import LANGUAGES, text

SENTENCE = "Bảo trì đường truyền theo công văn số 123. "
LAST = "ZQXJ"
"""The end of every reason, which nothing else says."""
LONG_REASONS = {
    "1,500 characters": (SENTENCE * 60)[:1_500],
    "1,700 characters": (SENTENCE * 60)[:1_700],
    "2,000 characters": (SENTENCE * 60)[:2_000],
    "45 short lines": "x\n" * 44 + "x",
    "a thousand lines": "y\n" * 999 + "y",
    "one endless word": "W" * 2_000,
    "nothing but line feeds": "\n" * 2_000,
    "control characters": "a\tb\x0b\x1b" * 400,
}


@pytest.fixture
def report(month_ledger: sa.Engine) -> Answer:
    """Return what the report of the worked month says."""
    with reading(month_ledger) as connection:
        question = Question(month.START, month.END)
        return report_answer(connection, question, Narrowing(), "portallink outages report")


@pytest.mark.parametrize("reason", LONG_REASONS.values(), ids=LONG_REASONS)
def test_a_reason_of_any_length_is_in_the_pdf(report: Answer, reason: str) -> None:
    """No letter of the longest reason, author and link is missing in the PDF, and its end is there."""
    whole = {"link": reason[:200].strip() or "x", "proposed_by": reason[:200].strip() or "x"}
    whole["proposed_reason"] = f"{reason} {LAST}"
    plain, odd = dict(report), dict(report)
    plain["exclusions"] = [report["exclusions"][0] | dict.fromkeys(whole, "")]
    odd["exclusions"] = [report["exclusions"][0] | whole]
    letters = {letter for letter in "".join(whole.values()) if letter.isalnum()}
    before, after = (_letters(render_report(one, "pdf", "vi", Names())) for one in (plain, odd))
    said = "".join(whole.values())
    missing = {
        letter: said.count(letter) - (after.count(letter) - before.count(letter))
        for letter in letters - set("u001b")
    }
    assert {letter: count for letter, count in missing.items() if count > 0} == {}
    assert LAST in after


def test_a_long_name_in_any_table_is_in_the_pdf(report: Answer) -> None:
    """Links, services and topics of the greatest length break over lines in every table of the PDF."""
    name = "hà-nội " * 28
    long = dict(report)
    long["links"] = [row | {"link": name} for row in report["links"] * 2]
    long["outages"] = [row | {"link": name, "outage_id": name} for row in report["outages"]]
    pages = PdfReader(io.BytesIO(render_report(long, "pdf", "en", Names()))).pages
    said = "".join(page.extract_text() for page in pages)
    assert said.count("hà-nội") >= 28 * (2 + 2 * len(report["outages"]))


FORMULAS = [
    "=cmd|' /C calc'!A0",
    '\n=HYPERLINK("http://evil","x")',
    "＝1+1",
    "\t@SUM(1)",
    " +1",
    "a;=1",
    "x\n-2",
]


@pytest.mark.parametrize("separator", [",", ";"], ids=["comma", "semicolon"])
@pytest.mark.parametrize("said", FORMULAS)
def test_no_cell_of_a_report_is_a_formula(report: Answer, said: str, separator: str) -> None:
    """However a spreadsheet separates cells, none of a report's begins with a formula sign."""
    odd = dict(report) | {"command": said}
    odd["question"] = report["question"] | {"agency": said}
    odd["links"] = [row | {"link": said} for row in report["links"]]
    odd["outages"] = [row | {"link": said, "services": [said]} for row in report["outages"]]
    odd["exclusions"] = [row | {"reason": said, "author": said} for row in report["exclusions"]]
    rows = csv.reader(
        io.StringIO(render_report(odd, "csv", "en", Names()).decode("utf-8-sig")), delimiter=separator
    )
    cells = [cell.lstrip(' \t\r\n"') for row in rows for cell in row]
    assert [cell for cell in cells if cell[:1] and cell[:1] in FORMULA_SIGNS] == []


def _letters(pdf: bytes) -> str:
    """Return what a PDF says; long words may break anywhere."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    return "".join(page.extract_text().replace("\u200b", "") for page in pages)


def test_the_pdf_is_tagged_and_numbered(report: Answer) -> None:
    """The PDF claims PDF/UA-1, has tags, language, title and outline, and numbers and heads each page."""
    made = PdfReader(io.BytesIO(render_report(report, "pdf", "vi", city_names())))
    root = made.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "vi"
    assert "/StructTreeRoot" in root
    assert b"pdfuaid" in root["/Metadata"].get_data()
    assert made.outline
    texts = [page.extract_text() for page in made.pages]
    assert all(f"{number} / {len(texts)}" in said for number, said in enumerate(texts, start=1))
    assert all("Thành phố mô phỏng" in said for said in texts[1:])
    assert "Thủ trưởng đơn vị" in "".join(texts)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["pdf", "xlsx", "zip", "csv", "html", "json"])
def test_the_same_report_gives_the_same_bytes(report: Answer, kind, language) -> None:
    """Making a report twice gives the same file, in each format and language."""
    first, second = (render_report(report, kind, language, city_names()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_workbook_and_the_zip_have_the_interface_s_figures(report: Answer, language) -> None:
    """Every figure of the answer is a number in the sheet and, as the language writes it, in the CSV file."""
    book = load_workbook(io.BytesIO(render_report(report, "xlsx", language, city_names())))
    heads, first, *_ = book[text("availability", language)].iter_rows(values_only=True)
    rows = dict(zip(heads, first, strict=True))
    with zipfile.ZipFile(io.BytesIO(render_report(report, "zip", language, city_names()))) as folder:
        held = folder.read("availability.csv").decode("utf-8-sig")
    [in_csv, *_] = csv.DictReader(io.StringIO(held), delimiter=";" if language == "vi" else ",")
    for name, value in report["total"].items():
        title = text(name, language)
        assert rows[title] == value
        written = in_csv[title].replace(",", ".") if language == "vi" else in_csv[title]
        assert float(written) == value


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["html", "pdf", "xlsx", "zip"])
def test_excluded_outages_and_short_failures_have_their_place(report: Answer, kind, language) -> None:
    """Every form for people lists the outages with excluded time, and the links with short failures."""
    short = {"short_failures": 7, "short_failure_ms": 41_000, "short_failure_lookups": 977}
    told = dict(report) | {"links": [row | short for row in report["links"]]}
    concerned = [row for row in report["outages"] if row["exclusions"]]
    assert 0 < len(concerned) < len(report["outages"])
    made = render_report(told, kind, language, city_names())
    heads = [text(name, language) for name in ("excluded_outages", "short_failures_by_link")]
    if kind in ("html", "pdf"):
        said = made.decode() if kind == "html" else _letters(made)
        section = said[said.rindex(heads[0]) :]
        assert heads[1] in section
        assert "977" in section
        assert all(row["exclusions"][0]["proposed_by"] in section for row in concerned)
        return
    if kind == "xlsx":
        book = load_workbook(io.BytesIO(made))
        excluded, failed = ([*book[head[:31]].iter_rows(min_row=2, values_only=True)] for head in heads)
    else:
        with zipfile.ZipFile(io.BytesIO(made)) as folder:
            files = [
                folder.read(f"{name}.csv").decode("utf-8-sig")
                for name in ("excluded_outages", "short_failures_by_link")
            ]
        separator = ";" if language == "vi" else ","
        excluded, failed = ([*csv.reader(io.StringIO(file), delimiter=separator)][1:] for file in files)
    assert [row[0] for row in excluded] == [row["outage_id"] for row in concerned]
    assert [list(map(str, row[-3:])) for row in failed] == [["7", "41000", "977"]] * len(report["links"])


def test_times_in_the_workbook_are_local_times(report: Answer) -> None:
    """A time is a cell of the spreadsheet's own kind, in Asia/Ho_Chi_Minh, beside the link's name."""
    book = load_workbook(io.BytesIO(render_report(report, "xlsx", "en", city_names())))
    heads, first, *_ = book["Outages"].iter_rows(values_only=True)
    row = dict(zip(heads, first, strict=True))
    assert row["Start"] == datetime(2025, 4, 3, 8, 58, 30)  # noqa: DTZ001 - local by definition
    assert row["Link (name)"] == "HCMC portal – national population database"
    assert row["Link"] == month.LINK


@pytest.mark.parametrize("kind", ["xlsx", "zip"])
@pytest.mark.parametrize("said", FORMULAS)
def test_no_cell_of_a_workbook_or_zip_is_a_formula(report: Answer, said: str, kind) -> None:
    """A workbook holds no formula, and no cell of a CSV file in the zip begins like one."""
    odd = dict(report) | {"command": said}
    odd["exclusions"] = [row | {"reason": said, "author": said} for row in report["exclusions"]]
    made = render_report(odd, kind, "vi", city_names())
    with zipfile.ZipFile(io.BytesIO(made)) as folder:
        for name in folder.namelist():
            held = folder.read(name).decode("utf-8-sig")
            if kind == "xlsx":
                assert "<f>" not in held
            else:
                cells = [
                    cell.lstrip() for row in csv.reader(io.StringIO(held), delimiter=";") for cell in row
                ]
                assert [cell for cell in cells if cell[:1] and cell[:1] in FORMULA_SIGNS] == []
