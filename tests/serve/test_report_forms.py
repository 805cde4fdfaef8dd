"""Reports of any content: long words break over pages, and a table's cell is never a formula."""

import csv
import io

import pytest
import sqlalchemy as sa
import worked_month as month
from pypdf import PdfReader

from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.store.database import reading
from streams.model.text import FORMULA_SIGNS
from streams.serve.answers import Answer, report_answer
from streams.serve.names import Names
from streams.serve.report.files import render_report

SENTENCE = "Bảo trì đường truyền theo công văn số 123. "
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
    """Every letter of the longest reason, author and link is in the PDF, over as many pages as it takes."""
    whole = {"link": reason[:200].strip() or "x", "proposed_by": reason[:200].strip() or "x"}
    whole["proposed_reason"] = reason
    plain, odd = dict(report), dict(report)
    plain["exclusions"] = [report["exclusions"][0] | dict.fromkeys(whole, "")]
    odd["exclusions"] = [report["exclusions"][0] | whole]
    letters = {letter for letter in "".join(whole.values()) if letter.isalnum()}
    before, after = (_letters(render_report(one, "pdf", "vi", Names())) for one in (plain, odd))
    more = {letter: after.count(letter) - before.count(letter) for letter in letters - set("u001b")}
    said = "".join(whole.values())
    assert more == {letter: said.count(letter) for letter in more}


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
    """Return what a PDF says, without the headings that a table repeats where it goes on on the next page."""
    said: list[str] = []
    for page in PdfReader(io.BytesIO(pdf)).pages:
        first, *others = page.extract_text().splitlines()
        said += others if first in said else [first, *others]
    return "".join(said)
