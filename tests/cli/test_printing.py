"""What is printed is data: names and reasons come out as they are, and no terminal obeys them."""

import io
import json
import re
from pathlib import Path

import msgspec
import pytest
import worked_month as month
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table
from typer.testing import CliRunner

from streams import telemetry
from streams.cli import outcome
from streams.cli.ledger.exclusions import app as exclusions_app
from streams.cli.ledger.ledger import app as ledger_app
from streams.cli.ledger.outages import app as outages_app
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.model.exclusion import new_exclusion
from streams.model.record import Record
from streams.model.text import FORMULA_SIGNS, one_line, spreadsheet_safe, visible

ODD_NAMES = [
    "hcmc [dự phòng] > npd",
    "hcmc[/]-npd",
    "[red]hcmc-npd",
    "hcmc [/ops/2024-17] > npd",
    ":smiley: > npd",
    "hcmc\u202egpd > npd",
]
# What a terminal obeys is refused before it reaches the ledger.
OBEYED_NAMES = ["hcmc\x1b[2J\x1b]0;owned\x07 > npd", "hcmc\x9b31m > npd"]
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MANY = st.text(st.characters(blacklist_categories=()), max_size=60)


def odd_records() -> list[Record]:
    """Return an outage, its windows and an exclusion for every odd name, which is also the reason."""
    records, at = [], month.at(3, 9)
    for number, name in enumerate(ODD_NAMES):
        values = [
            (
                "link.outages",
                month.outage(
                    f"odd{number}",
                    "down",
                    "link",
                    at,
                    at + 60_000,
                    1,
                    link=name,
                    services=[name],
                    agencies=[name],
                ),
            ),
            *(("link.windows", msgspec.structs.replace(window, link=name)) for window in first_windows()),
            (
                "link.exclusions",
                new_exclusion(
                    name, at, at + 1, kind="exclusion", author=name, reason=name, recorded_at_ms=at
                ),
            ),
        ]
        for topic, value in values:
            offset = sum(record.topic == topic for record in records)
            body = msgspec.json.encode(value, order="deterministic")
            records.append(Record(topic, 0, offset, at, b"", body))
    return records


def first_windows():
    """Yield the windows of the first ten minutes of the third of the month."""
    return (one for one in month.windows() if month.at(3, 9) <= one.start_ms < month.at(3, 9, 10))


@pytest.fixture(scope="module")
def odd_ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a ledger in which everything has an odd name."""
    url = sqlite_url(tmp_path_factory.mktemp("odd") / "ledger.db")
    engine = open_ledger(url, create=True)
    apply_records(engine, odd_records())
    engine.dispose()
    return url


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (outages_app, ["list", "--month", "2025-04"]),
        (outages_app, ["summary", "--month", "2025-04"]),
        (exclusions_app, ["list"]),
    ],
    ids=["list", "summary", "exclusions"],
)
def test_every_table_shows_odd_names_whole(app, words, odd_ledger: str, monkeypatch) -> None:
    """Each table of the ledger's commands holds every name as it is, escape sequences written out."""
    monkeypatch.delenv("COLUMNS", raising=False)
    result = CliRunner().invoke(app, [*words, "--ledger", odd_ledger])
    assert result.exit_code == 0, result.output
    assert [name for name in ODD_NAMES if visible(name) not in result.stdout] == []
    assert OBEYED.findall(result.stdout) == []


@pytest.mark.parametrize("number", range(len(ODD_NAMES)))
def test_one_outage_shows_odd_names_whole(number: int, odd_ledger: str, monkeypatch) -> None:
    """The story of one outage names link, service and agency as they are."""
    monkeypatch.setenv("COLUMNS", "2000")
    result = CliRunner().invoke(outages_app, ["show", f"{month.LINK}-odd{number}", "--ledger", odd_ledger])
    assert result.exit_code == 0, result.output
    assert result.stdout.count(visible(ODD_NAMES[number])) >= 3
    assert OBEYED.findall(result.stdout) == []


@pytest.mark.parametrize(
    "words", [["list", "--month", "2025-04"], ["summary", "--month", "2025-04"]], ids=["list", "summary"]
)
def test_json_says_odd_names_exactly_and_csv_obeys_none(words, odd_ledger: str) -> None:
    """JSON gives every name back to the character, and neither it nor CSV holds a raw escape sequence."""
    as_json = CliRunner().invoke(outages_app, [*words, "--ledger", odd_ledger, "--json"])
    as_csv = CliRunner().invoke(outages_app, [*words, "--ledger", odd_ledger, "--csv"])
    answer = json.loads(as_json.stdout)
    rows = answer if isinstance(answer, list) else answer["links"]
    assert {row["link"] for row in rows} == set(ODD_NAMES)
    assert OBEYED.findall(as_json.stdout + as_csv.stdout.replace("\r\n", "")) == []


def test_findings_show_odd_names(odd_ledger: str, tmp_path: Path) -> None:
    """A finding about an odd name is printed as it is, with nothing a terminal obeys."""
    copy = tmp_path / "ledger.db"
    copy.write_bytes(Path(odd_ledger.removeprefix("sqlite:///")).read_bytes())
    engine = open_ledger(sqlite_url(copy))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE figures SET attempts = attempts + 1")
    engine.dispose()
    result = CliRunner().invoke(
        ledger_app, ["verify", "--ledger", sqlite_url(copy), "--key", str(tmp_path / "k")]
    )
    assert result.exit_code == 1, result.output
    assert [name for name in ODD_NAMES if visible(name) not in result.output] == []
    assert OBEYED.findall(result.output) == []


@given(MANY)
def test_any_text_is_printed_as_it_is(text: str) -> None:
    """A cell, a title and a line show any text whole, and obey none of it."""
    shown = outcome.Screen()
    shown.file, shown.width = io.StringIO(), 4_000
    table = Table("name", title=text)
    table.add_row(text)
    table.add_row(outcome.styled(text, "red"))
    shown.print(table)
    shown.print(text, soft_wrap=True)
    said = shown.file.getvalue()
    assert OBEYED.findall(said) == []
    one_piece = visible(text).expandtabs(1).strip()
    if "\n" not in one_piece and "\t" not in text and one_piece:
        assert said.count(one_piece) >= 4


@given(MANY)
def test_a_text_is_made_visible_once(text: str) -> None:
    """Nothing that a terminal obeys is left, what is left stays as it is, and JSON keeps its meaning."""
    assert OBEYED.findall(visible(text)) == []
    assert visible(visible(text)) == visible(text)
    assert "\n" not in one_line(text)
    document = json.dumps(text, ensure_ascii=False)
    assert json.loads(visible(document)) == text


@given(MANY)
def test_no_part_of_a_cell_begins_like_a_formula(text: str) -> None:
    """Neither a cell nor what a spreadsheet might take for the next one begins with a formula sign."""
    parts = re.split(r"[;\t\r\n]", spreadsheet_safe(text))
    begins = [part.lstrip(" \"'")[:1] for part in parts if part[:1] != "'"]
    assert [sign for sign in begins if sign and sign in FORMULA_SIGNS] == []
    assert spreadsheet_safe(text)[:1] not in ("\t", "\r", "\n")


def test_every_formula_sign_is_known() -> None:
    """The signs are exactly those that compatibility folding turns into one of the four ASCII ones."""
    import sys
    import unicodedata

    folded = {
        c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.normalize("NFKC", c) in set("=+-@")
    }
    assert set(FORMULA_SIGNS) == folded


@given(MANY)
@example("\ud800")
def test_a_console_log_line_stays_one_line(text: str) -> None:
    """A value in a log line neither commands a terminal nor begins a line of its own, in either format."""
    for log_format in ("console", "json"):
        lines = io.StringIO()
        telemetry.Telemetry("measure", log_format, "info", stream=lines).emit(telemetry.StageStopped(text))
        assert lines.getvalue().count("\n") == 1
        assert OBEYED.findall(lines.getvalue()) == []


@pytest.mark.parametrize("name", OBEYED_NAMES)
def test_a_name_that_a_terminal_obeys_never_reaches_the_ledger(name: str, tmp_path: Path) -> None:
    """An outage of a link whose name holds control characters is refused, and the others are written."""
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
    at = month.at(3, 9)
    values = [
        month.outage(f"o{number}", "down", "link", at, at + 60_000, 1, link=link)
        for number, link in enumerate([name, month.LINK])
    ]
    records = [
        Record("link.outages", 0, offset, at, b"", msgspec.json.encode(value, order="deterministic"))
        for offset, value in enumerate(values)
    ]
    applied = apply_records(engine, records)
    engine.dispose()
    assert [one.offset for one in applied.refused] == [0]
    assert applied.rows["outage_revisions"] == 1
