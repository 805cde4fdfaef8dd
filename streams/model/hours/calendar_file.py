"""Calendars defined in settings: hours by weekday, the dates between which they apply, extra days off or on.

    [[calendars]]
    name = "saturday-mornings"
    holidays = [2026-12-31]          # days off besides the national ones
    worked = [2026-12-26]            # days with Monday's hours
    [[calendars.hours]]
    from = 2026-07-01                # inclusive; default: no beginning
    until = 2027-07-01               # exclusive; default: no end
    weekdays = ["07:30-11:30", "13:00-17:00"]
    saturday = ["07:30-11:30"]

The national holidays and worked Saturdays apply unless ``national_holidays = false``. A calendar's version is
a digest of its content, and figures name it.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from streams.model.hours import holidays
from streams.model.hours.calendar import CALENDARS, MINUTES_OF_A_DAY, Calendar, Season, Spans

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII)

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,19}$")]
Span = Annotated[str, Meta(pattern=r"^\d\d:\d\d-\d\d:\d\d$")]
Day = list[Span] | None


class HoursSaid(Struct, frozen=True, forbid_unknown_fields=True):
    """The hours of a season; ``weekdays`` applies to Monday to Friday unless a day has its own hours."""

    first: date | None = field(default=None, name="from")
    end: date | None = field(default=None, name="until")
    weekdays: Day = None
    monday: Day = None
    tuesday: Day = None
    wednesday: Day = None
    thursday: Day = None
    friday: Day = None
    saturday: Day = None
    sunday: Day = None


class CalendarSaid(Struct, frozen=True, forbid_unknown_fields=True):
    """A calendar as written in the settings."""

    name: Name
    hours: Annotated[list[HoursSaid], Meta(min_length=1, max_length=100)]
    holidays: list[date] = []
    worked: list[date] = []
    national_holidays: bool = True


class CalendarError(ValueError):
    """An invalid calendar; the message names it and says what is wrong."""


def calendars_from(said: Iterable[CalendarSaid]) -> dict[str, Calendar]:
    """Return the built-in calendars and those of the settings, by name.

    Raises:
        CalendarError: two have one name, hours overlap or end before they begin, or a day is off and worked.
    """
    calendars = dict(CALENDARS)
    for one in said:
        if one.name in calendars:
            raise CalendarError(f"calendar {one.name!r} already exists: each needs its own name")
        calendars[one.name] = _calendar(one)
    return calendars


def _calendar(said: CalendarSaid) -> Calendar:
    seasons = tuple(_season(said.name, hours) for hours in said.hours)
    for season in seasons:
        if season.first is not None and season.end is not None and season.end <= season.first:
            raise CalendarError(f"calendar {said.name!r}: hours from {season.first} end on {season.end}")
    for number, season in enumerate(seasons):
        for other in seasons[:number]:
            if _overlap(season, other):
                raise CalendarError(f"calendar {said.name!r}: two sets of hours apply at the same time")
    if both := set(said.holidays) & set(said.worked):
        raise CalendarError(f"calendar {said.name!r}: {min(both)} is a holiday and a worked day")
    digest = hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:12]
    version = f"{digest}, {holidays.VERSION}" if said.national_holidays else digest
    return Calendar(
        said.name, version, seasons, frozenset(said.holidays), frozenset(said.worked), said.national_holidays
    )


def _season(name: str, said: HoursSaid) -> Season:
    days = []
    for number, weekday in enumerate(WEEKDAYS):
        own: Day = getattr(said, weekday)
        usual = said.weekdays if number < 5 else None
        days.append(_spans(f"calendar {name!r}, {weekday}", own if own is not None else usual or []))
    return Season(tuple(days), said.first, said.end)


def _spans(where: str, said: list[str]) -> Spans:
    spans = []
    for text in said:
        found = _SPAN.fullmatch(text)
        if found is None:
            raise CalendarError(f"{where}: {text!r} is not a span of a day like 07:30-11:30")
        first, last = (int(found[at]) * 60 + int(found[at + 1]) for at in (1, 3))
        if not first < last <= MINUTES_OF_A_DAY:
            raise CalendarError(f"{where}: {text!r} does not end after it begins, on the same day")
        spans.append((first, last))
    spans.sort()
    for (_, last), (first, _) in pairwise(spans):
        if first < last:
            raise CalendarError(f"{where}: hours overlap")
    return tuple(spans)


def _overlap(one: Season, other: Season) -> bool:
    ever, never = date.min, date.max
    return max(one.first or ever, other.first or ever) < min(one.end or never, other.end or never)
