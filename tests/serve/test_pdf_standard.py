"""The PDF of a report is a tagged one: the reference validator finds no fault in it."""

from pathlib import Path

import pytest
import sqlalchemy as sa
import worked_month as month
from pypdf import PdfReader, PdfWriter
from verapdf import VeraPdf

from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.store.database import reading
from streams.serve.answers import Answer, report_answer
from streams.serve.names import city_names
from streams.serve.report.files import render_report

pytestmark = pytest.mark.slow


def report(ledger: sa.Engine, question: Question) -> Answer:
    """Return what a report of the worked month's ledger says."""
    with reading(ledger) as connection:
        return report_answer(connection, question, Narrowing(), "portallink outages report")


def test_the_pdf_is_pdf_ua(month_ledger: sa.Engine, verapdf: VeraPdf, tmp_path: Path) -> None:
    """Reports in both languages, with and without outages and long words, keep every rule of PDF/UA-1."""
    whole = report(month_ledger, Question(month.START, month.END))
    empty = report(month_ledger, Question(month.START - 86_400_000, month.START))
    long = whole | {"exclusions": [one | {"proposed_reason": "dài " * 500} for one in whole["exclusions"]]}
    made = {
        "vi.pdf": render_report(whole, "pdf", "vi", city_names()),
        "en.pdf": render_report(long, "pdf", "en", city_names()),
        "empty.pdf": render_report(empty, "pdf", "vi", city_names()),
    }
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    untagged = PdfWriter()
    untagged.add_page(PdfReader(tmp_path / "vi.pdf").pages[0])
    untagged.write(tmp_path / "untagged.pdf")
    found = verapdf.failures(sorted(tmp_path.iterdir()), "ua1")
    assert found.pop("untagged.pdf")
    assert found == {name: [] for name in made}
