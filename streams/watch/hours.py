"""When the pager is called, as Alertmanager time intervals.

Alertmanager knows weekdays, dates and times of day in a named time zone, and evaluates them itself, so an
alert keeps its labels when the clock moves on. Three intervals make the working hours: the usual weekdays,
the Saturdays worked in exchange for a day off, and the holidays, which mute.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Final

from streams.model.hours.calendar import TIMEZONE, is_working_day
from streams.watch.settings import OfficeHours

WORKING_HOURS: Final = "working-hours"
WORKED_DAYS: Final = "worked-days"
HOLIDAYS: Final = "holidays"
_WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def time_intervals(
    hours: OfficeHours, years: Iterable[int], works: Callable[[date], bool] = is_working_day
) -> list[dict[str, Any]]:
    """Return the three intervals; days of ``years`` that deviate from the week are listed by date.

    An interval without days would always match, so an empty one gets a date in the past.
    """
    days = [date(year, 1, 1) + timedelta(days=n) for year in years for n in range(_length(year))]
    worked = [day for day in days if works(day) and not _usual(hours, day)]
    closed = [day for day in days if not works(day) and _usual(hours, day)]
    times = [{"start_time": hours.first, "end_time": hours.last}]
    usual = {"times": times, "weekdays": [_WEEKDAYS[day] for day in sorted(set(hours.weekdays))]}
    return [
        {"name": WORKING_HOURS, "time_intervals": [usual | {"location": TIMEZONE}]},
        {"name": WORKED_DAYS, "time_intervals": [{"times": times, **span} for span in _spans(worked)]},
        {"name": HOLIDAYS, "time_intervals": _spans(closed)},
    ]


def _length(year: int) -> int:
    return (date(year + 1, 1, 1) - date(year, 1, 1)).days


def _usual(hours: OfficeHours, day: date) -> bool:
    return day.isoweekday() % 7 in hours.weekdays


def _spans(days: list[date]) -> list[dict[str, Any]]:
    """Return runs of days within a month, each as one interval."""
    spans = []
    for _, run in groupby(enumerate(days), lambda one: (one[1].toordinal() - one[0], one[1].month)):
        first, *_ = span = [day for _, day in run]
        spans.append(_dated(first.year, first.month, first.day, span[-1].day))
    return spans or [_dated(1970, 1, 1, 1)]


def _dated(year: int, month: int, first_day: int, last_day: int) -> dict[str, Any]:
    return {
        "years": [str(year)],
        "months": [str(month)],
        "days_of_month": [f"{first_day}:{last_day}"],
        "location": TIMEZONE,
    }
