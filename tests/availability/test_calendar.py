"""Calendars: the local time, the working days, the hours."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.hours import holidays
from streams.model.hours.calendar import (
    CALENDARS,
    DAY_MS,
    OFFICE_HOURS,
    date_ms,
    day_start_ms,
    from_local,
    is_working_day,
    local_date,
    month_starts,
    provisional_years,
    service_length_ms,
    service_time,
    to_local,
)
from streams.model.hours.holidays import YEARS
from streams.model.intervals import is_canonical, length_ms

instants = st.integers(1_400_000_000_000, 2_000_000_000_000)


@given(instants)
def test_local_time_is_the_zone_database_s(instant: int) -> None:
    """The fixed offset gives what the time zone database gives for Asia/Ho_Chi_Minh."""
    expected = datetime.fromtimestamp(instant / 1000, ZoneInfo("Asia/Ho_Chi_Minh"))
    assert to_local(instant).replace(tzinfo=None) == expected.replace(tzinfo=None)
    assert from_local(to_local(instant)) == instant
    assert local_date(instant) == expected.date()
    assert day_start_ms(instant) == date_ms(expected.date()) <= instant < day_start_ms(instant) + DAY_MS


@pytest.mark.parametrize("year", range(2021, 2027))
def test_days_off_are_the_law_s(year: int) -> None:
    """Weekdays off are the law's 11 days (12 with Culture Day from 2026) and one for each Saturday worked."""
    days = [date(year, 1, 1) + timedelta(days=i) for i in range(366 if year % 4 == 0 else 365)]
    saturdays = sum(day.weekday() == 5 and is_working_day(day) for day in days)
    entitled = 12 if year >= 2026 else 11
    assert sum(day.weekday() < 5 and not is_working_day(day) for day in days) == entitled + saturdays
    assert not any(day.weekday() == 6 and is_working_day(day) for day in days)


def test_swaps_balance() -> None:
    """Every Saturday worked has a weekday off for it within a week or so, and is no holiday itself."""
    for worked in holidays.WORKED:
        assert worked.weekday() == 5
        assert worked not in holidays.CLOSED
        assert any(abs((worked - closed).days) <= 10 and closed.weekday() < 5 for closed in holidays.CLOSED)


@pytest.mark.parametrize(
    "day",
    ["2022-09-01", "2023-01-25", "2024-04-29", "2025-01-27", "2025-05-02", "2026-02-16", "2026-11-24"],
)
def test_known_holidays(day: str) -> None:
    """Days that everyone in Vietnam remembers as free are free."""
    assert not is_working_day(date.fromisoformat(day))


@given(st.sampled_from(sorted(CALENDARS)), instants, st.integers(0, 40 * DAY_MS), st.integers(0, 40 * DAY_MS))
def test_service_time_adds_up(name: str, start: int, first: int, second: int) -> None:
    """Service time of two periods in a row is that of the whole."""
    calendar = CALENDARS[name]
    middle, end = start + first, start + first + second
    whole = service_time(calendar, start, end)
    assert is_canonical(whole)
    assert length_ms(whole) == sum(
        length_ms(service_time(calendar, a, b)) for a, b in ((start, middle), (middle, end))
    )
    assert length_ms(whole) == service_length_ms(calendar, start, end)


def test_office_hours_of_a_day() -> None:
    """A working Saturday has the same eight hours, a holiday none."""
    saturday, holiday = date_ms(date(2025, 4, 26)), date_ms(date(2025, 4, 30))
    hours = service_time(OFFICE_HOURS, saturday, saturday + DAY_MS)
    assert [(to_local(a).strftime("%H:%M"), to_local(b).strftime("%H:%M")) for a, b in hours] == [
        ("07:30", "11:30"),
        ("13:00", "17:00"),
    ]
    assert service_time(OFFICE_HOURS, holiday, holiday + DAY_MS) == []


def test_month_starts() -> None:
    """Every first of a month within a period is found, both ends included."""
    start, end = date_ms(date(2025, 1, 1)), date_ms(date(2026, 1, 1))
    assert [local_date(ms).month for ms in month_starts(start, end)] == [*range(1, 13), 1]
    assert month_starts(start + 1, date_ms(date(2025, 2, 1)) - 1) == []


@pytest.mark.parametrize("year", YEARS)
def test_decreed_years_are_those_of_the_public_library(year: int) -> None:
    """Days off of decreed years agree with the library's, but for the swap that it does not have."""
    import holidays as library

    weekdays = [day for day in library.country_holidays("VN", years=year) if day.weekday() < 5]
    closed = {day for day in holidays.CLOSED if day.year == year and day.weekday() < 5}
    assert closed - set(weekdays) == ({date(2026, 1, 2)} if year == 2026 else set())
    assert set(weekdays) <= closed


def test_a_provisional_year_has_the_days_that_are_foreseen() -> None:
    """In 2027 Tết and every day that the law fixes are free, and February has 432,000 s of office hours."""
    law, moon = ["01-01", "04-16", "04-30", "05-03", "09-02", "11-24"], ["02-04", "02-05", "02-08", "02-09"]
    closed = sorted([*law, *moon, "02-10", "09-03"])
    year = [date(2027, 1, 1) + timedelta(days=i) for i in range(365)]
    assert [f"{day:%m-%d}" for day in year if day.weekday() < 5 and not is_working_day(day)] == closed
    assert not any(day.weekday() >= 5 and is_working_day(day) for day in year)
    february = [date_ms(date(2027, month, 1)) for month in (2, 3)]
    assert service_length_ms(OFFICE_HOURS, *february) == 432_000_000


@pytest.mark.parametrize("year", [1970, 2016, 2028, 2050, 2099])
def test_any_year_has_its_holidays(year: int) -> None:
    """A year far from the table has New Year, Tết and the days that the law names."""
    days = [date(year, 1, 1) + timedelta(days=i) for i in range(366 if year % 4 == 0 else 365)]
    assert 5 <= sum(holidays.is_closed(day) for day in days) <= 18
    assert holidays.is_closed(date(year, 1, 1))


def test_provisional_years_are_named() -> None:
    """A period beyond what is decreed says which years are provisional."""
    assert provisional_years(date_ms(date(2026, 12, 1)), date_ms(date(2028, 1, 1))) == [2027]
