"""The ledger's own figures as metrics: today, this month, 30 days, and the outages of the moment."""

import pytest
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs
from random_ledgers import Drawn

from streams import telemetry
from streams.ledger.read.present import periods, present
from streams.ledger.read.question import Question
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import reading
from streams.model.canonical import encode
from streams.model.record import Record
from streams.record.stage import Ledger, RecordSettings
from streams.telemetry.contract import (
    LEDGER_AVAILABILITY,
    LEDGER_COVERAGE,
    LEDGER_OUTAGE_DOSSIERS,
    LEDGER_OUTAGE_DURATION,
    LEDGER_OUTAGE_START,
    LEDGER_UNTIL,
)


@pytest.fixture
def told(month_ledger: sa.Engine):
    """Let `record` show a ledger that holds the worked month; return its telemetry."""
    return month_ledger, telemetry.configure("record", level="error")


async def test_the_gauges_are_what_was_worked_out_by_hand(told) -> None:
    """The month's ratios are those of docs/availability.md, up to the end of the data."""
    ledger, shown = told
    await Ledger(ledger, Ed25519PrivateKey.generate(), RecordSettings(), lambda _: None).sign_when_due()
    expected = month.HAND_WORKED["24x7"]
    key = (month.LINK, "month")
    assert shown.store.value(LEDGER_AVAILABILITY, key) * 100 == pytest.approx(expected["availability_pct"])
    assert shown.store.value(LEDGER_COVERAGE, key) * 100 == pytest.approx(expected["coverage_pct"])
    assert shown.store.value(LEDGER_UNTIL, ()) * 1000 == month.END


async def test_open_and_recent_outages_are_listed_as_they_stand(ledger: sa.Engine) -> None:
    """An open outage lasts until the end of the data and is shown so; what is retracted is not listed."""
    told = telemetry.configure("record", level="error")
    worker = Ledger(ledger, Ed25519PrivateKey.generate(), RecordSettings(), lambda _: None)
    start_ms = month.START
    last_ms = start_ms + 7_200_000
    window = structs.replace(next(month.windows()), start_ms=last_ms, end_ms=last_ms + 60_000)
    closed = month.outage("o-1", "down", "link", start_ms, start_ms + 90_000, 7)
    opened = structs.replace(
        month.outage("o-2", "degraded", "provider", start_ms + 3_600_000, None, 3), status="open"
    )
    gone = structs.replace(
        month.outage("o-3", "down", "link", start_ms, start_ms + 1_000, 1), status="retracted"
    )
    records = [Record("link.windows", 0, 0, 0, b"", encode(window))]
    records += [
        Record("link.outages", 0, number, 0, b"", encode(one))
        for number, one in enumerate((closed, opened, gone))
    ]
    await worker.apply(records)
    await worker.sign_when_due()
    link = month.LINK
    assert told.store.labels(LEDGER_OUTAGE_START) == {
        (closed.outage_id, link, "down", "link", "", "closed"),
        (opened.outage_id, link, "degraded", "provider", "", "open"),
    }
    until_ms = window.end_ms
    lasted = {
        name: told.store.value(LEDGER_OUTAGE_DURATION, (name, link))
        for name in (closed.outage_id, opened.outage_id)
    }
    assert lasted == {closed.outage_id: 90, opened.outage_id: (until_ms - opened.start_ms) / 1000}
    assert told.store.value(LEDGER_OUTAGE_DOSSIERS, (opened.outage_id, link)) == 3


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_the_summary_of_the_same_period(seed: int, new_ledger) -> None:
    """Whatever happened, each period's figures are those that `outages summary` gives for it."""
    ledger = new_ledger(f"drawn-{seed}")
    apply_records(ledger, Drawn(seed).records())
    with reading(ledger) as connection:
        found = present(connection, second_person=True, most_open=9, most_closed=9)
        assert found is not None
        for name, start_ms in periods(found.until_ms).items():
            summary = summarise_links(connection, Question(start_ms, found.until_ms))
            assert found.figures[name] == {one.link: one.availability.figures for one in summary.links}


def test_an_empty_ledger_shows_nothing(new_ledger) -> None:
    """Without a window there is no period, so there is no figure."""
    with reading(new_ledger("empty")) as connection:
        assert present(connection, second_person=True, most_open=9, most_closed=9) is None
