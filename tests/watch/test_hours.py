"""The pager's hours: the generated time intervals against the service calendar."""

from datetime import date, datetime, timedelta

import pytest
from time_intervals import matches

from streams.model.hours.calendar import is_working_day
from streams.model.hours.holidays import YEARS
from streams.watch.hours import HOLIDAYS, WORKED_DAYS, WORKING_HOURS, time_intervals
from streams.watch.settings import OfficeHours

HOURS = OfficeHours()
at = datetime.fromisoformat


def pages_at(intervals, moment: datetime) -> bool:
    """Say whether the pager is called at a local moment, by the intervals alone."""
    by_name = {one["name"]: one["time_intervals"] for one in intervals}
    active = any(matches(by_name[name], moment) for name in (WORKING_HOURS, WORKED_DAYS))
    return active and not matches(by_name[HOLIDAYS], moment)


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_the_pager_is_called_in_working_hours_alone(year):
    """Over a year, every half hour, the intervals agree with the calendar's working days."""
    intervals = time_intervals(HOURS, YEARS)
    moment, wrong, open_halves = at(f"{year}-01-01"), [], 0
    while moment.year == year:
        expected = is_working_day(moment.date()) and "07:30" <= f"{moment:%H:%M}" < "17:00"
        open_halves += expected
        if pages_at(intervals, moment) != expected:
            wrong.append(moment)
        moment += timedelta(minutes=30)
    assert wrong == []
    assert open_halves > 240 * 18


def test_a_calendar_without_exceptions_mutes_nothing():
    """Where every weekday is worked and no other day is, the pager keeps the usual hours."""
    intervals = time_intervals(HOURS, range(2026, 2027), works=lambda day: day.weekday() < 5)
    assert pages_at(intervals, at("2026-01-01 09:00"))
    assert not pages_at(intervals, at("2026-01-03 09:00"))
    assert not pages_at(intervals, at("1970-01-04 09:00"))


def test_worked_weekdays_of_ones_own_are_the_usual_days():
    """A ward that works on Saturday mornings is called on Saturdays, but not on holidays."""
    hours = OfficeHours(weekdays=(1, 2, 3, 4, 5, 6))
    works = lambda day: day.weekday() < 6 and day != date(2026, 9, 2)  # noqa: E731 - a calendar in a line
    intervals = time_intervals(hours, range(2026, 2027), works=works)
    assert pages_at(intervals, at("2026-08-29 09:00"))
    assert not pages_at(intervals, at("2026-09-02 09:00"))
