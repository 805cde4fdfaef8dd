"""Tables leave out what matters least before they cut anything."""

import io

import pytest
import worked_month as month
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import CliRunner

from streams.cli import app, outcome, table
from streams.cli.table import KEPT, Column, fitting, show_table
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.serve.texts import text

WORDS = st.text(st.sampled_from("abcđêợ-2025> "), min_size=1, max_size=30).map(str.strip).filter(bool)


@st.composite
def tables(draw):
    """Draw columns, the first of which stays, and rows for them."""
    count = draw(st.integers(1, 6))
    columns = [
        Column(f"h{at}", rank=at and draw(st.integers(0, 9)), wrapped=bool(at) and draw(st.booleans()))
        for at in range(count)
    ]
    rows = draw(st.lists(st.tuples(*[WORDS] * count), min_size=1, max_size=4))
    return columns, rows


@given(tables(), st.integers(10, 160), st.booleans())
def test_no_cell_is_cut(drawn, width: int, dense: bool) -> None:
    """Cells that are not sentences stand whole in any width, and the columns left out are named."""
    columns, rows = drawn
    screen = outcome.Screen()
    screen.file = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", str(width))
        patched.setattr(table, "results", screen)
        show_table(columns, rows, dense=dense)
    said = screen.file.getvalue()
    lines = said.splitlines()
    left_out = lines[-1] if lines[-1].startswith("left out") else ""
    for at, column in enumerate(columns):
        if f"{column.heading}" in left_out.replace(",", " ").split():
            assert column.rank != KEPT
        elif not column.wrapped:
            assert all(any(row[at] in line for line in lines) for row in rows)
        assert "…" not in said
    droppable = any(column.rank != KEPT and column.heading not in left_out for column in columns)
    if droppable:
        shown = lines[:-1] if left_out else lines
        assert max(map(cell_len, shown)) <= width


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), min_size=1, max_size=8), st.integers(1, 200)
)
def test_the_least_important_are_left_out_first(drawn: list[tuple[int, int]], room: int) -> None:
    """No column is left out while one that matters less is shown, and a wider terminal shows no fewer."""
    columns, widths = [Column("", rank) for rank, _ in drawn], [width for _, width in drawn]
    kept = fitting(columns, widths, room)
    gone = [column.rank for at, column in enumerate(columns) if at not in kept]
    assert all(columns[at].rank <= min(gone, default=9) for at in kept)
    assert set(kept) <= set(fitting(columns, widths, room + 1))
    assert KEPT not in gone


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a ledger with two outages whose ids begin alike, and the month's exclusions."""
    url = sqlite_url(tmp_path_factory.mktemp("ids") / "ledger.db")
    engine = open_ledger(url, create=True)
    records, ids = (
        month.records(),
        {b"hcmc-npd-o1": b"o-97e841d38d28e6a6", b"hcmc-npd-o3": b"o-97e841d3ff01aa20"},
    )
    for old, new in ids.items():
        records = [replace_id(one, old, new) for one in records]
    apply_records(engine, records)
    engine.dispose()
    return url


def replace_id(record, old: bytes, new: bytes):
    """Return a record in which an id is another."""
    return record._replace(value=record.value.replace(b'"' + old + b'"', b'"' + new + b'"'))


def run(*words: str, code: int = 0) -> str:
    """Return what a command line prints."""
    shown = CliRunner().invoke(app, list(words), prog_name="portallink", env={"COLUMNS": "400"})
    assert shown.exit_code == code, shown.output
    return shown.output


def test_ids_are_short_and_their_beginnings_do(ledger: str) -> None:
    """A list shows ids as short as they are clear, each of which a command takes; JSON has them whole."""
    asked = ("--month", "2025-04", "--ledger", ledger)
    listed = run("outages", "list", *asked)
    assert "o-97e841d38 " in listed
    assert "o-97e841d38d28e6a6" not in listed
    assert "o-97e841d38d28e6a6" in run("outages", "list", "--json", *asked)
    assert "o-97e841d38d28e6a6" in run("outages", "show", "o-97e841d38", "--ledger", ledger)
    for exclusion in month.exclusions()[:1]:
        short = exclusion.exclusion_id[:10]
        assert f" {short} " in run("exclusions", "list", "--ledger", ledger)
        assert exclusion.exclusion_id in run("exclusions", "show", short, "--ledger", ledger)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("outages", "show", "o-97e8"), "o-97e841d38d28e6a6, o-97e841d3ff01aa20"),
        (("outages", "show", "o-1"), "there is no outage 'o-1'; `portallink outages list` lists them"),
        (("outages", "show", ""), "there is no outage ''"),
        (("outages", "show", "O-97E841D38"), "there is no outage"),
        (("exclusions", "show", "x"), "more than one exclusion begins with 'x'"),
        (("exclusions", "withdraw", "y", "--reason", "r"), "there is no exclusion 'y'"),
        (("exclusions", "show", "x-%"), "there is no exclusion"),
    ],
)
def test_an_unclear_id_is_refused(words: tuple[str, ...], told: str, ledger: str) -> None:
    """The beginning of several ids is refused with the ids, that of none with the way to find them."""
    assert told in run(*words, "--ledger", ledger, code=2)


@pytest.mark.parametrize(
    "words",
    [
        ("outages", "list", "--month", "2025-04"),
        ("outages", "summary", "--month", "2025-04"),
        ("outages", "show", "o-97e841d38"),
        ("exclusions", "list"),
        ("exclusions", "show", month.exclusions()[1].exclusion_id),
        ("links", "list"),
        ("links", "show", month.LINK),
        ("ledger", "calendars"),
        ("ledger", "verify", "--history-only"),
    ],
)
def test_what_auditors_read_is_in_their_language(words: tuple[str, ...], ledger: str, tmp_path) -> None:
    """In Vietnamese no word of the English is left but data: names, versions, formats and commands."""
    asked = (*words, "--ledger", ledger, *(("--key", str(tmp_path / "key")) if "verify" in words else ()))
    code = 1 if "verify" in words else 0
    english, vietnamese = run(*asked, code=code), run(*asked, "--language", "vi", code=code)
    headings = {
        text(key, "en").lower() for key in ("outage", "start", "reason", "author", "link", "kind", "status")
    }
    first = [line for line in vietnamese.splitlines() if "┃" in line]
    assert headings & {cell.strip() for line in first for cell in line.split("┃")} == set()
    assert english != vietnamese
