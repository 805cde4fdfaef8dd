"""A scenario moved to other days keeps its hours and distances, and falls on a day of its kind."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.hours.calendar import CALENDARS, DAY_MS, date_ms, service_length_ms
from streams.simulate.moved import moved
from streams.simulate.shell import load_catalogue, load_played, load_scenario, scenario_names

CATALOGUE = load_catalogue()
DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))


def worked(day: date) -> bool:
    """Say whether offices are open on a day."""
    return service_length_ms(CALENDARS["office-hours"], date_ms(day), date_ms(day) + DAY_MS) > 0


@pytest.mark.parametrize("name", scenario_names())
def test_everything_moves_by_the_same_days(name: str) -> None:
    """Start, end and every fault move by the same whole days."""
    _, before = load_played(name)
    after = moved(before, date(2026, 11, 28))
    by = datetime.fromisoformat(after.start) - datetime.fromisoformat(before.start)
    assert by % timedelta(days=1) == timedelta()
    assert datetime.fromisoformat(after.end) - datetime.fromisoformat(before.end) == by
    for old, new in zip(before.faults, after.faults, strict=True):
        assert datetime.fromisoformat(new.start) - datetime.fromisoformat(old.start) == by


@given(DAYS)
def test_a_working_morning_plays_on_the_latest_working_day(today: date) -> None:
    """A scenario of one working day begins on the latest working day up to the one asked for."""
    day = datetime.fromisoformat(moved(load_scenario("monday-morning", CATALOGUE), today).start).date()
    assert worked(day)
    assert not any(worked(day + timedelta(days=later)) for later in range(1, (today - day).days + 1))
