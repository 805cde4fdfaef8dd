"""Moves a scenario to other days; times of day and intervals stay: a morning of last year is played today."""

import re
from datetime import date, datetime, timedelta
from typing import Any, Final

from msgspec import convert, to_builtins

from streams.model.hours.calendar import CALENDARS, DAY_MS, date_ms, service_length_ms
from streams.simulate.scenario import Scenario

_DAY: Final = re.compile(r"^(\d{4}-\d{2}-\d{2})((?:T\d{2}:\d{2}(?::\d{2})?)?)$")
ONE_DAY: Final = timedelta(days=1)


def moved(scenario: Scenario, today: date) -> Scenario:
    """Return a scenario moved to begin on the latest suitable day up to ``today``.

    A scenario of a single day begins on a working day if its own day is one, otherwise on a day off; a longer
    one begins on the same day of the week.
    """
    first = datetime.fromisoformat(scenario.start)
    last = datetime.fromisoformat(scenario.end)
    day = today
    if last - first > ONE_DAY:
        day -= timedelta(days=(today - first.date()).days % 7)
    else:
        while _is_worked(day) != _is_worked(first.date()):
            day -= ONE_DAY
    return convert(_shifted(to_builtins(scenario), day - first.date()), Scenario)


def _is_worked(day: date) -> bool:
    start_ms = date_ms(day)
    return service_length_ms(CALENDARS["office-hours"], start_ms, start_ms + DAY_MS) > 0


def _shifted(value: Any, by: timedelta) -> Any:
    if isinstance(value, dict):
        return {name: _shifted(one, by) for name, one in value.items()}
    if isinstance(value, list):
        return [_shifted(one, by) for one in value]
    if isinstance(value, str) and (found := _DAY.match(value)):
        return f"{date.fromisoformat(found[1]) + by}{found[2]}"
    return value
