"""Calendars of one's own: hours by weekday, seasons, days off and on, and a version that is their content."""

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.hours.calendar import (
    CALENDARS,
    DAY_MS,
    MINUTE_MS,
    OFFICE_HOURS,
    date_ms,
    service_length_ms,
    service_time,
)
from streams.model.hours.calendar_file import WEEKDAYS, CalendarError, CalendarSaid, HoursSaid, calendars_from
from streams.model.intervals import is_canonical, length_ms

SATURDAYS = """
[[calendars]]
name = "saturday-mornings"
holidays = [2026-12-31]
worked = [2026-12-27]
[[calendars.hours]]
until = 2026-07-01
weekdays = ["07:30-11:30", "13:00-17:00"]
[[calendars.hours]]
from = 2026-07-01
weekdays = ["07:30-11:30", "13:00-17:00"]
saturday = ["07:30-11:30"]
friday = ["07:30-11:30", "13:00-16:00"]
"""


class Settings(msgspec.Struct):
    """What the tests read of a settings file."""

    calendars: list[CalendarSaid]


def own(text: str):
    """Return the last calendar that a settings file says."""
    return list(calendars_from(msgspec.toml.decode(text, type=Settings).calendars).values())[-1]


def hours_on(calendar, day: str) -> float:
    """Return how many hours a calendar counts on a day."""
    start = date_ms(date.fromisoformat(day))
    return service_length_ms(calendar, start, start + DAY_MS) / 3_600_000


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2026-06-27", 0),  # a Saturday of the first season
        ("2026-07-04", 4),  # one of the second
        ("2026-07-05", 0),
        ("2026-07-03", 7),  # a short Friday
        ("2026-06-26", 8),
        ("2026-09-02", 0),  # the National Day
        ("2026-08-22", 8),  # a Saturday that the nation works, by Monday's hours
        ("2026-12-31", 0),  # a day off of its own
        ("2026-12-27", 8),  # a Sunday worked
    ],
)
def test_hours_by_weekday_season_and_day(day: str, hours: int) -> None:
    """Each kind of day counts the hours that its calendar says."""
    assert hours_on(own(SATURDAYS), day) == hours


def test_outside_its_seasons_a_calendar_counts_nothing() -> None:
    """Before the first season and after the last, no time is service time, and holidays may be ignored."""
    text = '[[calendars]]\nname = "a"\nnational_holidays = false\n[[calendars.hours]]\n'
    text += 'from = 2026-09-01\nuntil = 2026-10-01\nwednesday = ["00:00-24:00"]\n'
    calendar = own(text)
    assert [hours_on(calendar, day) for day in ("2026-08-26", "2026-09-02", "2026-09-03", "2026-10-07")] == [
        0,
        24,
        0,
        0,
    ]
    assert calendar.provisional_years(date_ms(date(2027, 1, 1)), date_ms(date(2028, 1, 1))) == []


def test_the_version_is_the_content() -> None:
    """Equal words have one version, any other word has another, and the built-in office hours can be said."""
    calendar = own(SATURDAYS)
    assert own(SATURDAYS).version == calendar.version
    assert own(SATURDAYS.replace("16:00", "16:30")).version != calendar.version
    assert own(SATURDAYS.replace("2026-12-31", "2026-12-30")).version != calendar.version
    same = own('[[calendars]]\nname = "o"\n[[calendars.hours]]\nweekdays = ["07:30-11:30", "13:00-17:00"]\n')
    year = date_ms(date(2026, 1, 1)), date_ms(date(2027, 1, 1))
    assert service_time(same, *year) == service_time(OFFICE_HOURS, *year)


WRONG = {
    "a name that is taken": ('name = "24x7"', "already exists"),
    "a span that ends before it begins": ('weekdays = ["13:00-11:00"]', "does not end after it begins"),
    "hours that overlap": ('weekdays = ["08:00-12:00", "11:00-13:00"]', "hours overlap"),
    "no such hour": ('weekdays = ["25:00-26:00"]', "not a span of a day"),
    "a season that ends before it begins": ("from = 2026-05-01\nuntil = 2026-04-01", "end on 2026-04-01"),
    "a day off and on": ("worked = [2026-01-05]\nholidays = [2026-01-05]", "a holiday and a worked day"),
}


@pytest.mark.parametrize(("said", "what"), WRONG.values(), ids=WRONG)
def test_a_calendar_that_cannot_be_is_refused(said: str, what: str) -> None:
    """Whatever is wrong with a calendar, its name and the fault are said."""
    top = said if said.startswith(("name", "worked")) else ""
    name = "" if top.startswith("name") else 'name = "a"\n'
    text = f"[[calendars]]\n{name}{top}\n[[calendars.hours]]\n{'' if top else said}\n"
    with pytest.raises(CalendarError, match=what):
        own(text)


def test_two_sets_of_hours_at_one_time_are_refused() -> None:
    """Two seasons of a calendar that hold on one day are refused."""
    hours = "[[calendars.hours]]\n"
    text = f'[[calendars]]\nname = "a"\n{hours}until = 2026-02-01\n{hours}from = 2026-01-31\n'
    with pytest.raises(CalendarError, match="two sets of hours"):
        own(text)


minutes = st.lists(st.integers(0, 1440), min_size=0, max_size=6, unique=True).map(sorted)
spans = minutes.map(lambda edges: list(zip(edges[::2], edges[1::2], strict=False)))


@given(st.lists(spans, min_size=7, max_size=7), st.integers(0, 3000), st.integers(1, 40), st.booleans())
def test_service_time_is_what_its_days_say(week, first: int, days: int, national: bool) -> None:
    """Service time of any week of hours is the sum of its days', and its length needs no counting."""
    said = {
        weekday: [f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in day]
        for weekday, day in zip(WEEKDAYS, week, strict=True)
    }
    calendar = calendars_from([CalendarSaid("own", [HoursSaid(**said)], national_holidays=national)])["own"]
    start = date(2020, 1, 1) + timedelta(days=first)
    low, high = date_ms(start), date_ms(start + timedelta(days=days))
    found = service_time(calendar, low, high)
    assert is_canonical(found)
    expected = sum(
        sum(b - a for a, b in calendar.spans(start + timedelta(days=day))) * MINUTE_MS for day in range(days)
    )
    assert length_ms(found) == service_length_ms(calendar, low, high) == expected
    assert list(CALENDARS) == ["24x7", "office-hours"]
