"""Service calendars: which time counts. All times are Asia/Ho_Chi_Minh, UTC+7 without daylight saving.

``24x7`` counts every millisecond. ``office-hours`` counts 07:30-11:30 and 13:00-17:00 of each working
day: Monday to Friday less the holidays of `streams.model.hours.holidays`, plus the Saturdays worked instead.
These are the hours at which the city's one-stop offices receive people. An office with other hours needs a
calendar of its own, which `calendar_file.py` reads from settings.
"""

from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from msgspec import Struct

from streams.model.hours import holidays
from streams.model.intervals import Interval, Intervals, clip, length_ms, union

TIMEZONE: Final = "Asia/Ho_Chi_Minh"
HO_CHI_MINH: Final = timezone(timedelta(hours=7), TIMEZONE)
UTC_OFFSET_MS: Final = 7 * 3_600_000
DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
MINUTES_OF_A_DAY: Final = DAY_MS // MINUTE_MS
EPOCH: Final = date(1970, 1, 1)


Spans = tuple[tuple[int, int], ...]
"""Hours of a day, as minutes of the local day: half-open, in order, apart."""


class Season(Struct, frozen=True):
    """The hours of each weekday, Monday first, for days in ``[first, end)``; None leaves a side open."""

    weekdays: tuple[Spans, ...]
    first: date | None = None
    end: date | None = None

    def holds(self, day: date) -> bool:
        """Return whether these hours apply on a day."""
        return (self.first is None or self.first <= day) and (self.end is None or day < self.end)


class Calendar(Struct, frozen=True):
    """A named service calendar, versioned by its content.

    With ``seasons`` None all time counts; a day outside every season counts nothing. ``closed`` and
    ``worked`` are the calendar's own days, in addition to the national ones if ``national``; a worked day has
    Monday's hours.
    """

    name: str
    version: str
    seasons: tuple[Season, ...] | None
    closed: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    national: bool = True

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    @property
    def hours(self) -> Spans | None:
        """The hours of an ordinary Monday, None where all time counts."""
        if self.seasons is None:
            return None
        return self.seasons[0].weekdays[0] if self.seasons else ()

    def spans(self, day: date) -> Spans:
        """Return the hours of a day."""
        if self.seasons is None:
            return ((0, MINUTES_OF_A_DAY),)
        season = next((one for one in self.seasons if one.holds(day)), None)
        if season is None or day in self.closed:
            return ()
        if day in self.worked or (self.national and day in holidays.WORKED):
            return season.weekdays[0]
        if self.national and holidays.is_closed(day):
            return ()
        return season.weekdays[day.weekday()]

    def provisional_years(self, start_ms: int, end_ms: int) -> list[int]:
        """Return the years of a period whose holidays matter here and are not yet fully decreed."""
        return provisional_years(start_ms, end_ms) if self.seasons is not None and self.national else []


_OFFICE_SPANS: Final = ((7 * 60 + 30, 11 * 60 + 30), (13 * 60, 17 * 60))
AROUND_THE_CLOCK: Final = Calendar("24x7", "1", None)
OFFICE_HOURS: Final = Calendar("office-hours", holidays.VERSION, (Season((*[_OFFICE_SPANS] * 5, (), ())),))
CALENDARS: Final = {calendar.name: calendar for calendar in (AROUND_THE_CLOCK, OFFICE_HOURS)}


def is_working_day(day: date) -> bool:
    """Return whether public offices work on a day.

    >>> is_working_day(date(2025, 4, 26)), is_working_day(date(2025, 5, 2))
    (True, False)
    """
    return bool(OFFICE_HOURS.spans(day))


def day_start_ms(time_ms: int) -> int:
    """Return the start of the local day that holds an instant.

    >>> to_local(day_start_ms(0)).isoformat()
    '1970-01-01T00:00:00+07:00'
    """
    return time_ms - (time_ms + UTC_OFFSET_MS) % DAY_MS


def local_date(time_ms: int) -> date:
    """Return the local day of an instant."""
    return EPOCH + timedelta(days=(time_ms + UTC_OFFSET_MS) // DAY_MS)


def date_ms(day: date) -> int:
    """Return the instant at which a local day begins."""
    return (day - EPOCH).days * DAY_MS - UTC_OFFSET_MS


def to_local(time_ms: int) -> datetime:
    """Return an instant as local date and time, to the millisecond."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).astimezone(HO_CHI_MINH)


def from_local(moment: datetime) -> int:
    """Return epoch milliseconds; a moment without a zone is local.

    >>> from_local(datetime(2025, 6, 1, 7, 30))
    1748737800000
    """
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=HO_CHI_MINH)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@lru_cache(maxsize=20_000)
def _hours_of(calendar: Calendar, day: date) -> tuple[Interval, ...]:
    start = date_ms(day)
    return tuple((start + first * MINUTE_MS, start + last * MINUTE_MS) for first, last in calendar.spans(day))


def service_time(calendar: Calendar, start_ms: int, end_ms: int) -> Intervals:
    """Return the time of ``[start_ms, end_ms)`` that a calendar counts."""
    if calendar.seasons is None:
        return [(start_ms, end_ms)] if start_ms < end_ms else []
    hours: Intervals = []
    day, last = local_date(start_ms), local_date(end_ms)
    while day <= last:
        hours += _hours_of(calendar, day)
        day += timedelta(days=1)
    return clip(union(hours), start_ms, end_ms)  # hours may touch, at midnight or within a day


def month_of(time_ms: int) -> tuple[int, int]:
    """Return start and end of the local month that holds an instant."""
    first = local_date(time_ms).replace(day=1)
    return date_ms(first), date_ms((first + timedelta(days=32)).replace(day=1))


def year_of(time_ms: int) -> tuple[int, int]:
    """Return start and end of the local year that holds an instant."""
    year = local_date(time_ms).year
    return date_ms(date(year, 1, 1)), date_ms(date(year + 1, 1, 1))


def calendar_pieces(start_ms: int, end_ms: int) -> list[tuple[str, int, int]]:
    """Cut whole local days into whole years, whole months and days: ``(grain, start, end)``, in order.

    Adjacent pieces of one grain are merged.

    >>> edges = [from_local(datetime(*day)) for day in ((2023, 11, 30), (2025, 2, 1))]
    >>> [(grain, str(local_date(low)), str(local_date(high))) for grain, low, high in calendar_pieces(*edges)]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('day', '2023-11-30', '2023-12-01'), ('month', '2023-12-01', '2024-01-01'),
     ('year', '2024-01-01', '2025-01-01'), ('month', '2025-01-01', '2025-02-01')]
    """
    months = month_starts(start_ms, end_ms)
    years = [instant for instant in months if year_of(instant)[0] == instant]
    edges = [start_ms, end_ms]
    grains = ["day"]
    for grain, starts in (("month", months), ("year", years)):
        if len(starts) > 1:
            middle = len(edges) // 2
            edges[middle:middle] = [starts[0], starts[-1]]
            grains[middle:middle] = [grain, grains[middle - 1]]
    pieces = zip(grains, edges, edges[1:], strict=False)
    return [(grain, low, high) for grain, low, high in pieces if low < high]


def month_starts(start_ms: int, end_ms: int) -> list[int]:
    """Return every start of a local month within ``[start_ms, end_ms]``."""
    day = local_date(start_ms)
    month = day.replace(day=1)
    starts = []
    while (instant := date_ms(month)) <= end_ms:
        if instant >= start_ms:
            starts.append(instant)
        month = (month + timedelta(days=32)).replace(day=1)
    return starts


def provisional_years(start_ms: int, end_ms: int) -> list[int]:
    """Return the years of a period whose holidays this version does not hold (weekends still count)."""
    last = local_date(max(start_ms, end_ms - 1)).year
    return [year for year in range(local_date(start_ms).year, last + 1) if year not in holidays.YEARS]


@lru_cache(maxsize=64)
def _service_until(calendar: Calendar, first: date, days: int) -> list[int]:
    """Return the service time of the first 0, 1, … ``days`` days from a day on."""
    sums = [0]
    for offset in range(days):
        hours = _hours_of(calendar, first + timedelta(days=offset))
        sums.append(sums[-1] + length_ms(list(hours)))
    return sums


def service_length_ms(calendar: Calendar, start_ms: int, end_ms: int) -> int:
    """Return how much of ``[start_ms, end_ms)`` a calendar counts, from cached sums by day.

    >>> service_length_ms(OFFICE_HOURS, from_local(datetime(2025, 4, 1)), from_local(datetime(2025, 5, 1)))
    604800000
    """
    if end_ms <= start_ms:
        return 0
    if calendar.seasons is None:
        return end_ms - start_ms
    first, last = local_date(start_ms), local_date(end_ms)
    decade = date(first.year - first.year % 10, 1, 1)
    sums = _service_until(calendar, decade, ((last - decade).days // 3660 + 1) * 3660)
    whole = sums[(last - decade).days] - sums[(first - decade).days]
    before = length_ms(clip(list(_hours_of(calendar, first)), date_ms(first), start_ms))
    within = length_ms(clip(list(_hours_of(calendar, last)), date_ms(last), end_ms))
    return whole - before + within
