"""Names that the ledger does not know are refused wherever a question or an exclusion takes one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import running
from typer.testing import CliRunner

from streams import telemetry
from streams.cli import app
from streams.ledger.read.lists import list_incidents, list_outages
from streams.ledger.read.names import UnknownNameError, require_known, require_link
from streams.ledger.read.question import Question
from streams.ledger.read.summary import exclusions_touching, summarise_links
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url
from streams.model.exclusion import new_exclusion
from streams.model.record import Record
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit

KNOWN = {"link": month.LINK, "portal": "hcmc", "agency": "quan-1", "service": "cu-tru"}
MISSPELT = {"link": "hcmc > npd", "portal": "hcm", "agency": "quan-l", "service": "cư-trú"}
QUESTIONS = [summarise_links, list_outages, list_incidents, exclusions_touching]
PERIOD = ["--month", month.MONTH]


@contextmanager
def refused(scope: str) -> Iterator[None]:
    """Expect the refusal of the misspelt name of a scope, with the one that is known."""
    with pytest.raises(UnknownNameError) as caught:
        yield
    said = str(caught.value)
    assert f"no {scope} {MISSPELT[scope]!r}" in said
    assert repr(KNOWN[scope]) in said
    assert MISSPELT[scope] not in caught.value.detail.replace(repr(KNOWN[scope]), "")


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("scope", KNOWN)
def test_every_question_refuses_a_misspelt_name(month_ledger: sa.Engine, ask, scope: str) -> None:
    """Each question about a misspelt name is refused with the nearest known one, as of now and as of then."""
    with reading(month_ledger) as connection:
        for as_of_ms in (None, month.at(20, 0)):
            asked = {"start_ms": month.START, "end_ms": month.END, "as_of_ms": as_of_ms}
            ask(connection, Question(**asked, **{scope: KNOWN[scope]}))
            with refused(scope):
                ask(connection, Question(**asked, **{scope: MISSPELT[scope]}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.sampled_from(sorted(KNOWN)), st.text(st.characters(blacklist_categories=()), max_size=20))
def test_a_name_is_known_or_refused(month_ledger: sa.Engine, scope: str, name: str) -> None:
    """Any text that nothing in the ledger is called is refused, even one that no database takes."""
    with reading(month_ledger) as connection, pytest.raises(UnknownNameError):
        require_known(connection, **{scope: name})


def test_a_name_that_stood_then_is_known_then(new_ledger) -> None:
    """An agency that only an earlier revision names is known as of then, and not as of now."""
    ledger = new_ledger("revised")
    once = month.outage("once", "down", "link", month.at(3, 9), month.at(3, 10), 3, agencies=["phuong-1"])
    fixed = msgspec.structs.replace(
        once, revision=2, supersedes=1, reason="late", agencies=["phuong-2"], detected_at_ms=month.at(5, 0)
    )
    bodies = [msgspec.json.encode(one, order="deterministic") for one in (once, fixed)]
    apply_records(ledger, [Record("link.outages", 0, i, 0, b"", body) for i, body in enumerate(bodies)])
    with reading(ledger) as connection:
        require_known(connection, agency="phuong-1", as_of_ms=month.at(4, 0))
        with pytest.raises(UnknownNameError, match="'phuong-2'"):
            require_known(connection, agency="phuong-1")


def test_an_exclusion_may_name_what_is_known_or_was_named(month_ledger: sa.Engine, new_ledger) -> None:
    """Every link, a known one and one that an exclusion named already pass; a misspelt one is refused."""
    with reading(month_ledger) as connection:
        for link in ("*", month.LINK):
            require_link(connection, link)
        with refused("link"):
            require_link(connection, MISSPELT["link"])
    ledger = new_ledger("to come")
    coming = new_exclusion(
        "hue-npd", 1, 2, kind="maintenance", author="ops", reason="to come", recorded_at_ms=1
    )
    apply_records(ledger, [Record("link.exclusions", 0, 0, 0, b"", msgspec.json.encode(coming))])
    with reading(ledger) as connection:
        require_link(connection, "hue-npd")
        with pytest.raises(UnknownNameError):
            require_known(connection, link="hue-npd")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a ledger of the worked month in a file."""
    url = sqlite_url(tmp_path_factory.mktemp("names") / "ledger.db")
    engine = open_ledger(url, create=True)
    apply_records(engine, month.records())
    engine.dispose()
    return url


@pytest.mark.parametrize("scope", KNOWN)
@pytest.mark.parametrize(
    "command", [["list"], ["summary"], ["report", "--format", "csv"]], ids=lambda c: c[0]
)
def test_every_command_refuses_a_misspelt_name(address: str, command, scope: str) -> None:
    """Each command that asks about a misspelt name exits 2 and says the nearest known one."""
    words = ["outages", *command, *PERIOD, "--ledger", address, f"--{scope}"]
    assert CliRunner().invoke(app, [*words, KNOWN[scope]]).exit_code == 0
    result = CliRunner().invoke(app, [*words, MISSPELT[scope]])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"no {scope} '{MISSPELT[scope]}'; the nearest it knows is '{KNOWN[scope]}'" in result.stderr


def test_exclusion_commands_refuse_a_misspelt_link(address: str, monkeypatch) -> None:
    """Adding and listing exclusions of a misspelt link exit 2; --force passes for a link still to come."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    add = ["exclusions", "add", "hcmc>npd", "--from", "2024-01-01", "--to", "2024-01-02", "--reason", "x"]
    for words in (add, ["exclusions", "list", "--link", "hcmc>npd"]):
        result = CliRunner().invoke(app, [*words, "--ledger", address])
        assert result.exit_code == 2
        assert "no link 'hcmc>npd'; the nearest it knows is 'hcmc-npd'" in result.stderr
    forced = CliRunner().invoke(app, [*add, "--force", "--ledger", address])
    assert "no link" not in forced.stderr
    assert "KAFKA_BOOTSTRAP_SERVERS" in forced.stderr


def test_interface_and_page_refuse_a_misspelt_name(address: str) -> None:
    """The interface and the page answer 404 with the nearest known name, and publish no such exclusion."""
    telemetry.configure("serve", level="error")
    engine, published = open_ledger(address), []

    async def exclude(exclusion) -> None:
        published.append(exclusion)

    serving = create_app(engine, Access([], "operator"), limit=RateLimit(10_000, 10_000), exclude=exclude)
    with running(serving) as client:
        paths = [f"/api/v1/{name}" for name in ("summary", "coverage", "outages", "incidents", "exclusions")]
        for path in [*paths, "/history", "/report", "/report.csv", "/report.pdf"]:
            for scope, name in MISSPELT.items():
                answer = client.get(path, params={"month": month.MONTH, scope: name})
                assert answer.status_code == 404, (path, scope)
                assert KNOWN[scope] in answer.text
        assert client.get("/link", params={"link": MISSPELT["link"]}).status_code == 404
        body = {
            "link": "hcmc>npd",
            "from": "2025-05-02",
            "to": "2025-05-03",
            "kind": "exclusion",
            "reason": "x",
        }
        refusal = client.post("/api/v1/exclusions", json=body)
        assert (refusal.status_code, published) == (404, [])
        assert "'hcmc-npd'" in json.loads(refusal.text)["detail"]
        assert client.post("/api/v1/exclusions", json=body | {"force": True}).status_code == 202
    engine.dispose()
    assert [one.link for one in published] == ["hcmc>npd"]
