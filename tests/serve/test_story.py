"""An outage's page: its picture, its revisions as differences, its neighbours, and proof on the spot."""

import time
from xml.dom.minidom import parseString

import pytest
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from running import running

from streams import telemetry
from streams.ledger.proof.heads import sign_head
from streams.ledger.proof.spot import spot_check
from streams.ledger.read.around import Minute
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url, writing
from streams.model.hours.calendar import MINUTE_MS
from streams.serve.access import Access, new_token
from streams.serve.app import create_app
from streams.serve.names import city_names
from streams.serve.pages.diffs import diffs
from streams.serve.pages.picture import BARS, bars, drawn, picture

KEY = Ed25519PrivateKey.generate()
O1 = [one for one in month.revisions() if one.outage_id == "hcmc-npd-o1"]


@pytest.fixture
def signed_ledger(tmp_path):
    """Return a ledger of the worked month whose head is signed."""
    telemetry.configure("serve", level="error")
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
    apply_records(engine, month.records())
    with writing(engine) as connection:
        sign_head(connection, KEY, month.END)
    yield engine
    engine.dispose()


def get(engine: sa.Engine, path: str, role: str = "auditor", language: str = "en"):
    """Return what a caller of a role is given."""
    token, entry = new_token("one", role, int(time.time()) + 600)
    headers = {"Authorization": f"Bearer {token}", "Accept-Language": language}
    with running(create_app(engine, Access([entry]), public_key=KEY.public_key())) as client:
        return client.get(path, headers=headers)


def test_a_revision_is_held_to_log_head_and_key(signed_ledger) -> None:
    """On the spot everything holds for an untouched ledger, and the page says so."""
    page = get(signed_ledger, "/outages/hcmc-npd-o1/check").text
    assert "Nothing that can be checked on the spot is wrong." in page
    assert page.count("<strong>Holds</strong>") == 3


@pytest.mark.parametrize(
    ("edit", "wrong"),
    [
        ("UPDATE outage_revisions SET body = CAST(replace(body, '126', '125') AS BLOB)", 0),
        ("UPDATE tree_heads SET signature = zeroblob(64)", 2),
        ("UPDATE tree_heads SET statement = CAST(replace(statement, 'link', 'lane') AS BLOB)", 2),
    ],
    ids=["revision", "signature", "statement"],
)
def test_what_was_edited_is_found_on_the_spot(signed_ledger, edit: str, wrong: int) -> None:
    """An edited revision, signature or statement fails its own line, and the whole check."""
    with signed_ledger.begin() as connection:
        connection.exec_driver_sql(edit)
    with reading(signed_ledger) as connection:
        check = spot_check(connection, "hcmc-npd-o1", 3, KEY.public_key())
    assert not check.holds
    assert [check.included, check.covered, check.signed][wrong] is False


def test_a_later_revision_than_the_head_is_not_yet_covered(signed_ledger) -> None:
    """A revision that came after the newest head is neither covered nor wrong."""
    late = month.outage("late", "down", "link", month.at(30, 1), None, 1)
    body = month.Record("link.outages", 0, 10_000, month.END, b"", month.msgspec.json.encode(late))
    apply_records(signed_ledger, [body])
    with reading(signed_ledger) as connection:
        check = spot_check(connection, late.outage_id, 1, None)
    assert (check.included, check.covered, check.signed, check.holds) == (True, None, None, True)


def test_proof_can_be_downloaded_by_auditors_alone(signed_ledger) -> None:
    """Evidence, proof, head and key come as files; a viewer's page says what an auditor could do."""
    for path, part in (
        ("/outages/hcmc-npd-o1/evidence.csv", "abababab"),
        ("/outages/hcmc-npd-o1/proof.json", '"leaf_hash"'),
        ("/head.json", "signature_base64"),
        ("/key.pem", "BEGIN PUBLIC KEY"),
    ):
        given_file = get(signed_ledger, path)
        assert part in given_file.text
        assert "attachment" in given_file.headers["content-disposition"]
    assert get(signed_ledger, "/outages/hcmc-npd-o1/evidence.csv", "viewer").status_code == 403
    page = get(signed_ledger, "/outages/hcmc-npd-o1", "viewer").text
    assert "An auditor can download the evidence" in page
    assert "evidence.csv" not in page


def test_revisions_are_told_as_what_they_changed() -> None:
    """The first revision says all, each later one only what differs, and what it was before."""
    told = diffs(O1, city_names(), "en")
    assert [one.revision.revision for one in told] == [3, 2, 1]
    late = {change.what: (change.before, change.after) for change in told[0].changes}
    assert late == {
        "Start": ("2025-04-03 09:00:00", "2025-04-03 08:58:30"),
        "Dossiers affected (estimate)": ("120", "126"),
    }
    closed = {change.what: (change.before, change.after) for change in told[1].changes}
    assert closed["Status"] == ("Open", "Closed")
    assert closed["End"] == ("Open", "2025-04-03 09:30:00")
    assert all(change.before is None for change in told[2].changes if change.what != "End")


def test_the_neighbours_of_an_outage_stand_on_its_page(signed_ledger) -> None:
    """What else was down within ten minutes is named with its link, and what was not is left out."""
    other = month.outage("x", "down", "link", month.at(3, 9, 5), month.at(3, 9, 20), 7, link="hcmc-vneid")
    body = month.Record("link.outages", 0, 10_000, month.END, b"", month.msgspec.json.encode(other))
    apply_records(signed_ledger, [body])
    page = get(signed_ledger, "/outages/hcmc-npd-o1").text
    table = page[page.index("What else was down then</h2>") : page.index("Why we say so")]
    assert "HCMC portal – VNeID sign-in" in table
    assert table.count("<tr>") == 2


MINUTES = st.lists(
    st.builds(
        lambda attempts, failures, **said: Minute(
            attempts=attempts, failures=min(attempts, failures), **said
        ),
        start_ms=st.integers(0, 3_000).map(lambda at: O1[0].start_ms + (at - 30) * MINUTE_MS),
        state=st.sampled_from(["UP", "DOWN", "UNKNOWN", "DEGRADED"]),
        attempts=st.integers(0, 500),
        failures=st.integers(0, 500),
        p95_ms=st.none() | st.floats(0, 60_000),
    ),
    unique_by=lambda one: one.start_ms,
    max_size=40,
)


@given(MINUTES, st.integers(0, 3_000))
def test_any_outage_can_be_drawn(minutes, lasted: int) -> None:
    """A picture of any minutes and length is well-formed, has few bars, and nothing lies outside of it."""
    outage = replace(O1[-1], end_ms=O1[-1].start_ms + lasted * MINUTE_MS)
    start_ms, end_ms = drawn(outage, outage.end_ms)
    inside = [one for one in minutes if start_ms <= one.start_ms < end_ms]
    assert len(bars(inside, start_ms, end_ms)) <= BARS
    assert sum(bar.attempts for bar in bars(inside, start_ms, end_ms)) == sum(one.attempts for one in inside)
    drawing = parseString(  # noqa: S318 - our own
        str(picture([*O1[:-1], outage], inside, end_ms, "vi"))
    ).documentElement
    width, height = (float(number) for number in drawing.getAttribute("viewBox").split()[2:])
    for mark in drawing.getElementsByTagName("rect"):
        x, y, wide, high = (float(mark.getAttribute(name)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + wide <= width + 2
        assert 0 <= y <= y + high <= height
