"""Summaries and lists: the hand-worked month in every figure, narrowed, paged, and as it once stood."""

import pytest
import sqlalchemy as sa
import worked_month as month

from streams.ledger.read.lists import list_incidents, list_outages, revisions_of
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.read.summary import exclusions_touching, summarise_links
from streams.ledger.store.database import reading
from streams.model.hours.calendar import CALENDARS


def question(**narrowed) -> Question:
    """Ask about the worked month."""
    return Question(**({"start_ms": month.START, "end_ms": month.END} | narrowed))


def all_figures(availability) -> dict:
    """Return every figure by name."""
    names = month.HAND_WORKED["24x7"]
    parts = (availability, availability.figures, availability.outages)
    return {name: next(getattr(part, name) for part in parts if hasattr(part, name)) for name in names}


@pytest.mark.parametrize("calendar", CALENDARS)
def test_every_figure_is_the_hand_worked_one(month_ledger: sa.Engine, calendar: str) -> None:
    """The summary gives what docs/availability.md works out by hand, figure by figure."""
    with reading(month_ledger) as connection:
        summary = summarise_links(connection, question(calendar=calendar))
    assert [row.link for row in summary.links] == [month.LINK]
    assert all_figures(summary.links[0].availability) == month.HAND_WORKED[calendar]
    assert all_figures(summary.total) == month.HAND_WORKED[calendar]
    assert summary.provisional_years == []


def test_shares_of_the_outages(month_ledger: sa.Engine) -> None:
    """The list gives each outage's counted share, also of the one that reaches beyond the month."""
    with reading(month_ledger) as connection:
        listed = list_outages(connection, question())
        retracted = list_outages(connection, question(), Narrowing(retracted=True))
    shares = {one.outage.outage_id[-2:]: one.counted_ms / 60_000 for one in listed}
    assert shares == {"o1": 31.5, "o3": 510, "o6": 10, "o8": 15, "o2": 30, "o5": 150, "o4": 120}
    assert {one.outage.outage_id[-2:] for one in retracted} == {*shares, "o7"}


def test_narrowing(month_ledger: sa.Engine) -> None:
    """Kind, duration, agency and service narrow the list and the figures alike."""
    with reading(month_ledger) as connection:

        def ids(narrowing: Narrowing | None = None, **narrowed) -> str:
            found = list_outages(connection, question(**narrowed), narrowing)
            return " ".join(one.outage.outage_id[-2:] for one in found)

        assert ids(Narrowing(kind="degraded")) == "o5"
        assert ids(Narrowing(min_duration_ms=3 * 3_600_000)) == "o3 o4"
        assert ids(agency="thu-duc") == "o1"
        assert ids(service="cu-tru") == "o1 o3 o6 o8 o2 o5 o4"
        assert ids(portal="hcmc") == ids()
        scoped = summarise_links(connection, question(agency="thu-duc")).total
        assert (scoped.figures.down_ms, scoped.outages.down_outages) == (1_890_000, 1)
        assert scoped.figures.observed_ms == month.HAND_WORKED["24x7"]["observed_ms"]
        assert scoped.figures.request_success_pct is None


def test_pages_join_without_gap_or_repetition(month_ledger: sa.Engine) -> None:
    """Following the cursor gives the whole list, one page after the other."""
    with reading(month_ledger) as connection:
        whole, paged, after = list_outages(connection, question()), [], None
        while page := list_outages(connection, question(), after=after, limit=2):
            paged += page
            after = (page[-1].outage.start_ms, page[-1].outage.outage_id)
        assert paged == whole


def test_as_of_before_the_revision(month_ledger: sa.Engine) -> None:
    """Before its correction was published, the first outage lasted half an hour; while open, until then."""
    with reading(month_ledger) as connection:
        before = list_outages(connection, question(as_of_ms=month.at(3, 9, 35)))
        assert [(one.outage.revision, one.counted_ms) for one in before] == [(2, 1_800_000)]
        open_then = list_outages(connection, question(as_of_ms=month.at(3, 9, 10)))
        assert [(one.outage.status, one.counted_ms) for one in open_then] == [("open", 600_000)]
        summary = summarise_links(connection, question(as_of_ms=month.at(3, 9, 35)))
        assert summary.total.figures.down_ms == 1_800_000
        assert summary.total.outages.dossiers_affected == 120


def test_story_incidents_and_exclusions(month_ledger: sa.Engine) -> None:
    """One outage's revisions, the month's incidents, and its exclusions with the withdrawn one."""
    with reading(month_ledger) as connection:
        story = revisions_of(connection, "hcmc-npd-o1")
        assert [(one.revision, one.reason) for one in story] == [(1, "opened"), (2, "closed"), (3, "late")]
        assert revisions_of(connection, "none") == []
        found = list_incidents(connection, question())
        assert [row["incident_id"][-2:] for row in found] == ["o1", "o3", "o6", "o8", "o2", "o5", "o4"]
        found = exclusions_touching(connection, question())
        assert [one.status(second_person=True) for one in found] == ["active", "active", "withdrawn"]
        assert [one.approved_by for one in found] == [None, "inspectorate", None]


def test_question_must_make_sense() -> None:
    """An empty period and a moment before the period are refused."""
    for wrong in ({"end_ms": month.START}, {"as_of_ms": month.START}):
        with pytest.raises(ValueError, match=r"period|calendar"):
            question(**wrong)
