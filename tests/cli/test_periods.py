"""Periods that nobody can mean are refused with a sentence, wherever a command takes a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from streams.cli import app
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.model.times import EARLIEST_MS, LATEST_MS, TimeTextError, parse_month_ms, parse_time_ms

EDGES = [
    ["--month", "9999-12"],
    ["--month", "0001-01"],
    ["--month", "2100-01"],
    ["--month", "2025-13"],
    ["--month", "2025-6"],
    ["--month", "２０２５-06"],
    ["--from", "0001-01-01", "--to", "9999-12-31"],
    ["--from", "0001-01-01T00:00:00+14:00", "--to", "2025-01-01"],
    ["--from", "2025-01-01", "--to", "9999-12-31T23:59:59-14:00"],
    ["--from", "2025-01-01", "--to", "99999999999999999999"],
    ["--from", "2025-01-01", "--to", "2025-02-01", "--as-of", "9999-12-31"],
]
QUESTIONS = [["outages", "list"], ["outages", "summary"], ["outages", "report", "--format", "csv"]]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of an empty ledger."""
    url = sqlite_url(tmp_path_factory.mktemp("periods") / "ledger.db")
    open_ledger(url, create=True).dispose()
    return url


@pytest.mark.parametrize("calendar", ["24x7", "office-hours"])
@pytest.mark.parametrize("period", EDGES, ids=" ".join)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda words: words[1])
def test_a_period_out_of_reach_is_refused(question, period, calendar: str, ledger: str) -> None:
    """A period at the edge of what a date can say ends a question with exit 2 and a sentence."""
    words = [*question, *period, "--calendar", calendar, "--ledger", ledger]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("calendar", ["24x7", "office-hours"])
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda words: words[1])
def test_the_longest_period_is_answered(question, calendar: str, ledger: str) -> None:
    """The whole time that can be asked about is answered in every form."""
    period = ["--from", "1970-01-01", "--to", "2100-01-01", "--calendar", calendar]
    result = CliRunner().invoke(app, [*question, *period, "--ledger", ledger], catch_exceptions=False)
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["exclusions", "add", "x", "--from", "2025-01-01", "--to", "9999-12-31", "--reason", "x"],
        ["exclusions", "list", "--as-of", "0001-01-01"],
        ["capture", "folder", "--since", "0001-01-01"],
        ["replay", "log.ndjson", "--until", "9999-12-31"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_refuses_a_time_out_of_reach(words, ledger: str, tmp_path, monkeypatch) -> None:
    """Each command that takes a time refuses one out of reach with exit 2 and a sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTALLINK_LEDGER", ledger)
    (tmp_path / "log.ndjson").touch()
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 2
    assert "out of reach" in result.stderr.replace("\n", " ")


times = st.datetimes(timezones=st.sampled_from([None])).map(lambda moment: moment.isoformat())


@given(st.one_of(st.text(max_size=30), times, st.integers().map(str)))
def test_a_text_is_a_time_within_reach_or_refused(text: str) -> None:
    """Any text is a time from 1970 to 2099, or is refused as none; a month lies within as well."""
    for read in (lambda said: (parse_time_ms(said),), parse_month_ms):
        try:
            found = read(text)
        except TimeTextError:
            continue
        assert all(EARLIEST_MS <= time_ms <= LATEST_MS for time_ms in found)
