"""Figures of a year that is not decreed yet are called provisional in every form of an answer."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime

import msgspec
import polars as pl
import pytest
import sqlalchemy as sa
import worked_month as month
from pypdf import PdfReader
from running import running
from typer.testing import CliRunner

from streams import telemetry
from streams.cli.ledger.outages import app as outages_app
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.model.hours.calendar import MINUTE_MS, from_local
from streams.model.record import Record
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit

DECREED, PROVISIONAL = "2026-12", "2027-02"
STARTS = [from_local(datetime(2026, 12, 29, 9)), from_local(datetime(2027, 2, 3, 9))]  # noqa: DTZ001 - local


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """Return a ledger with some minutes in a decreed month, and some in one that is not."""
    template = next(iter(month.windows()))
    times = [start_ms + minute * MINUTE_MS for start_ms in STARTS for minute in range(5)]
    windows = [
        msgspec.structs.replace(template, start_ms=start_ms, end_ms=start_ms + MINUTE_MS)
        for start_ms in times
    ]
    engine = open_ledger(sqlite_url(tmp_path_factory.mktemp("provisional") / "ledger.db"), create=True)
    outages = [month.outage(f"o{ms}", "down", "link", ms, ms + MINUTE_MS, 1) for ms in STARTS]
    apply_records(
        engine,
        [Record("link.outages", 0, i, 0, b"", msgspec.json.encode(one)) for i, one in enumerate(outages)]
        + [Record("link.windows", 0, i, 0, b"", msgspec.json.encode(one)) for i, one in enumerate(windows)],
    )
    yield engine
    engine.dispose()


def said(kind: str, content: bytes) -> str:
    """Return what a form of an answer says to its reader."""
    if kind == "pdf":
        return " ".join(
            " ".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages).split()
        )
    return content.decode("utf-8-sig")


@pytest.mark.parametrize("calendar", ["office-hours", "24x7"])
@pytest.mark.parametrize("asked", [DECREED, PROVISIONAL])
def test_every_command_says_what_is_provisional(ledger: sa.Engine, calendar: str, asked: str) -> None:
    """Table, CSV, JSON and every report name the year exactly where its holidays were counted by."""
    expected = calendar == "office-hours" and asked == PROVISIONAL
    words = ["--month", asked, "--calendar", calendar, "--ledger", str(ledger.url)]
    forms = [["list"], ["list", "--csv"]]
    forms += [["summary"], ["summary", "--csv"], ["summary", "--json"]]
    forms += [["report", "--language", "en", "--format", kind] for kind in ("html", "pdf", "csv", "json")]
    for form in forms:
        result = CliRunner().invoke(outages_app, [*form, *words])
        assert result.exit_code == 0, result.output
        text = said(form[-1], result.stdout_bytes)
        if form[-1] in ("html", "pdf", "summary", "list"):
            assert ("are provisional" in text) == expected, form
        if form[-1] == "--csv":
            assert {row["provisional_years"] for row in csv.DictReader(io.StringIO(text))} == {
                "2027" if expected else ""
            }
        if form[-1] == "csv":
            assert ("provisional_years,2027" in text) == expected
            total = next(csv.DictReader(text[text.index("link,availability_pct") :].splitlines()))
            assert total["provisional_years"] == ("2027" if expected else "")
        if form[-1] in ("--json", "json"):
            assert msgspec.json.decode(text)["method"]["provisional_years"] == ([2027] if expected else [])


@pytest.mark.parametrize("asked", [DECREED, PROVISIONAL])
def test_pages_and_interface_say_what_is_provisional(ledger: sa.Engine, asked: str) -> None:
    """Month, link and report pages, and every form of the interface's summaries, name the year."""
    telemetry.configure("serve", level="error")
    expected = asked == PROVISIONAL
    question = f"month={asked}&calendar=office-hours"
    with running(create_app(ledger, Access([], "viewer"), limit=RateLimit(10_000, 10_000))) as client:
        for path in ("/history?", f"/link?link={month.LINK}&", "/report?"):
            assert ('id="provisional"' in client.get(path + question).text) == expected, path
        for name in ("summary", "coverage"):
            path = f"/api/v1/{name}?{question}"
            table = client.get(path, headers={"Accept": "text/csv"}).content.decode("utf-8-sig")
            assert ("[2027]" in table) == expected
            frame = client.get(path, headers={"Accept": "application/vnd.apache.parquet"}).content
            assert pl.read_parquet(io.BytesIO(frame))["provisional_years"].to_list()[0] == (
                "[2027]" if expected else "[]"
            )
