"""A ledger with calendars of its own: counted, kept, verified and shown as by the built-in ones."""

import json
from datetime import date
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from running import running
from typer.testing import CliRunner, Result

from streams import telemetry
from streams.cli import app
from streams.ledger.proof.heads import sign_head
from streams.ledger.read.names import UnknownNameError
from streams.ledger.read.question import Question
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.apply import apply_records
from streams.ledger.store.calendars import calendars_of, keep_calendars
from streams.ledger.store.database import open_ledger, reading, sqlite_url, writing
from streams.ledger.store.settle import settle_after_upgrade
from streams.model.hours.calendar import date_ms, service_length_ms
from streams.model.hours.calendar_file import CalendarSaid, HoursSaid
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit

OFFICE = ["07:30-11:30", "13:00-17:00"]
SAME = CalendarSaid("said-again", [HoursSaid(weekdays=OFFICE)])
SATURDAYS = CalendarSaid("saturdays", [HoursSaid(weekdays=OFFICE, saturday=["07:30-11:30"])])
SETTINGS = """
[[calendars]]
name = "saturdays"
[[calendars.hours]]
weekdays = ["07:30-11:30", "13:00-17:00"]
saturday = ["07:30-11:30"]
"""


def figures(connection: sa.Connection, calendar: str) -> dict[str, object]:
    """Return the figures of the worked month under a calendar, as a dictionary."""
    summary = summarise_links(connection, Question(month.START, month.END, calendar))
    return msgspec.to_builtins(summary.total)


def test_a_calendar_said_again_counts_the_same(ledger: sa.Engine) -> None:
    """Office hours said in settings give the figures of the built-in ones, on either database."""
    with writing(ledger) as connection:
        keep_calendars(connection, [SAME])
    apply_records(ledger, month.records())
    with reading(ledger) as connection:
        assert list(calendars_of(connection)) == ["24x7", "office-hours", "said-again"]
        assert figures(connection, "said-again") == figures(connection, "office-hours")
        with pytest.raises(UnknownNameError, match="nearest it knows is 'said-again'"):
            figures(connection, "said-agian")


def test_calendars_may_come_change_and_go(new_ledger) -> None:
    """A calendar counts the same given before or after the records; it may change, and may go."""
    first, later = new_ledger("first"), new_ledger("later")
    for engine, given in ((first, [SATURDAYS]), (later, [])):
        with writing(engine) as connection:
            keep_calendars(connection, given)
            settle_after_upgrade(connection)
        apply_records(engine, month.records())
    shorter = CalendarSaid("saturdays", [HoursSaid(weekdays=OFFICE, saturday=["08:00-10:00"])])
    seen = []
    for given in ([shorter], [SATURDAYS], []):
        with writing(later) as connection:
            keep_calendars(connection, given)
            assert settle_after_upgrade(connection)
            assert not settle_after_upgrade(connection)
        with reading(later) as connection:
            calendars = calendars_of(connection)
            seen += [figures(connection, name) for name in calendars if name == "saturdays"]
            assert figures(connection, "office-hours")["figures"]["down_ms"] == 5_190_000
    with reading(first) as connection:
        assert figures(connection, "saturdays") == seen[1] != seen[0]
        april = date_ms(date(2025, 4, 1)), date_ms(date(2025, 5, 1))
        service_ms = service_length_ms(calendars_of(connection)["saturdays"], *april)
        assert figures(connection, "saturdays")["figures"]["service_ms"] == service_ms
        assert (
            service_ms == service_length_ms(calendars_of(connection)["office-hours"], *april) + 12 * 3_600_000
        )
    assert "saturdays" not in calendars


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the addresses of a ledger that counts by a settings file's calendar, of that file and a log."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "settings.toml").write_text(SETTINGS)
    lines = [
        {"topic": r.topic, "partition": r.partition, "offset": r.offset, "logged_at_ms": r.logged_at_ms}
        | {"key": None, "value": json.loads(r.value)}
        for r in month.records()
    ]
    (folder / "log.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "ledger": sqlite_url(folder / "ledger.db"),
        "settings": str(folder / "settings.toml"),
        "log": str(folder / "log.ndjson"),
        "key": str(folder / "key.pem"),
    }


def run(*words: str, expect: int = 0) -> Result:
    """Run `portallink` and return what came of it."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == expect, result.output
    return result


def test_a_calendar_by_command_from_settings_to_proof(settled, tmp_path: Path) -> None:
    """Settings give a ledger its calendar, which is listed, asked about, rebuilt and verified."""
    where = ["--ledger", settled["ledger"]]
    run("ledger", "rebuild", "--log", settled["log"], *where)
    run("ledger", "migrate", "--settings", settled["settings"], *where)
    listed = json.loads(run("ledger", "calendars", *where, "--json").stdout)
    assert [one["name"] for one in listed] == ["24x7", "office-hours", "saturdays"]
    asked = ["--month", month.MONTH, "--calendar", "saturdays", *where]
    answer = json.loads(run("outages", "summary", *asked, "--json").stdout)
    assert answer["question"]["calendar"] == {"name": "saturdays", "version": listed[-1]["version"]}
    assert answer["total"]["service_ms"] == (168 + 12) * 3_600_000
    assert listed[-1]["version"] in run("outages", "report", *asked, "--format", "csv").stdout
    for kind in ("html", "pdf", "json"):
        run("outages", "report", *asked, "--format", kind, "--out", str(tmp_path / kind))
    run("outages", "list", *asked)
    run("ledger", "head", "--sign", "--key", settled["key"], *where)
    run("ledger", "verify", "--key", settled["key"], *where)
    run("ledger", "rebuild", "--check", "--log", settled["log"], *where)
    wrong = ["outages", "summary", "--month", month.MONTH, *where, "--calendar", "saturday"]
    assert "no calendar 'saturday'; the nearest it knows is 'saturdays'" in run(*wrong, expect=2).stderr


def test_pages_and_interface_offer_the_calendar(settled) -> None:
    """The pages offer a ledger's own calendar; interface and page answer by it, or refuse a misspelt one."""
    telemetry.configure("serve", level="error")
    engine = open_ledger(settled["ledger"])
    with running(create_app(engine, Access([], "viewer"), limit=RateLimit(10_000, 10_000))) as client:
        for path in ("/history?", f"/link?link={month.LINK}&", "/report?"):
            shown = client.get(f"{path}month={month.MONTH}&calendar=saturdays")
            assert shown.status_code == 200
            assert "saturdays" in shown.text
            assert client.get(f"{path}month={month.MONTH}&calendar=saturday").status_code == 404
        answer = client.get(f"/api/v1/summary?month={month.MONTH}&calendar=saturdays").json()
        assert answer["total"]["service_ms"] == (168 + 12) * 3_600_000
    engine.dispose()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[[calendars]]\nname = "a"\n', "hours"),
        ('[[calendars]]\nname = "A b"\n[[calendars.hours]]\n', "name"),
        ('[[calendars]]\nname = "a"\n[[calendars.hours]]\nmondays = []\n', "mondays"),
        ('[[calendars]]\nname = "a"\n[[calendars.hours]]\nmonday = ["8-9"]\n', "monday"),
        ("calender = 1\n", "calender"),
        ("[[calendars", "expected"),
    ],
)
def test_settings_that_cannot_be_are_refused(settled, tmp_path: Path, text: str, what: str) -> None:
    """A settings file with a fault ends the command with exit 2, and file and fault are named."""
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    said = run("ledger", "migrate", "--settings", str(file), "--ledger", settled["ledger"], expect=2).stderr
    assert "wrong.toml" in said
    assert what.casefold() in said.casefold()


def test_a_head_does_not_depend_on_calendars(settled) -> None:
    """What is signed is history, so a calendar changes no head."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    engine = open_ledger(settled["ledger"])
    with writing(engine) as connection:
        before = sign_head(connection, Ed25519PrivateKey.generate(), 1).statement().logs
        keep_calendars(connection, [])
        settle_after_upgrade(connection)
        assert sign_head(connection, Ed25519PrivateKey.generate(), 1).statement().logs == before
    engine.dispose()
