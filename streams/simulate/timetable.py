"""When people come: an inhomogeneous Poisson process, conditioned on its count.

The intensity is hour of day x day of week x holiday x campaign x growth x a random factor of the day,
constant within a quarter of an hour. A day is busier or quieter than others of its kind by some 8 %, for the
whole city. Before Tết arrivals decline, and the first days after it bring those that had waited. Given their
number, the arrivals of a Poisson process are independent draws from the normalised intensity; so the reported
count is met exactly, and everything else stays random.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate
from math import floor
from random import Random
from typing import Final

from streams.model.hours.calendar import (
    DAY_MS,
    MINUTE_MS,
    OFFICE_HOURS,
    UTC_OFFSET_MS,
    is_working_day,
    local_date,
)
from streams.model.hours.holidays import is_closed
from streams.simulate.draw import lognormal, pick
from streams.simulate.scenario import Peak

BIN_MS: Final = 900_000
_OPEN: Final = tuple(
    (start * MINUTE_MS, end * MINUTE_MS, end - start) for start, end in OFFICE_HOURS.hours or ()
)
"""The periods in which counters are open: start and end in milliseconds of the day, and length in minutes."""

# Weight of each half hour of the day, 48 of them, relative to the busiest.
_OFFICE: Final = (
    *(1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 10, 26, 70),  # 00:00 to 08:00; counters open at 07:30
    *(96, 100, 100, 94, 84, 66, 40, 22),  # to noon; they close at 11:30
    *(18, 30, 66, 88, 94, 92, 84, 72, 54, 34),  # to 17:00; they open again at 13:00
    *(18, 14, 12, 12, 14, 14, 12, 10, 8, 6, 4, 3, 2, 2),  # people at home
)
_HEALTH: Final = (
    *(2, 2, 2, 2, 2, 2, 2, 2, 3, 4, 8, 16, 40, 70, 96, 100),
    *(100, 96, 90, 80, 70, 54, 36, 24),
    *(24, 40, 66, 74, 72, 66, 56, 44, 34, 26),
    *(22, 20, 18, 14, 12, 10, 8, 6, 4, 4, 3, 2, 2, 2),
)
_ALWAYS: Final = (
    *(10, 8, 6, 4, 4, 4, 4, 6, 8, 12, 20, 30, 44, 60, 76, 90),
    *(98, 100, 100, 98, 94, 88, 76, 66),
    *(62, 66, 76, 84, 88, 88, 86, 82, 76, 70),
    *(64, 60, 58, 60, 64, 66, 66, 62, 54, 44, 34, 24, 18, 12),
)
_EVEN: Final = (100,) * 48

# Weight by weekday, Monday first, in hundredths; the last is a public holiday.
_WEEK: Final = {
    "office": (_OFFICE, (116, 106, 102, 100, 96, 22, 9, 5)),
    "health": (_HEALTH, (120, 108, 104, 102, 98, 62, 30, 26)),
    "always": (_ALWAYS, (104, 102, 100, 100, 102, 96, 96, 90)),
    "even": (_EVEN, (100,) * 8),
}
_HOLIDAY: Final = 7
_SPREAD_OF_DAYS: Final = 0.08
"""Log standard deviation of a day's arrivals among days of its kind; an assumption."""
_BEFORE_TET: Final = (45, 60, 75, 85, 95)
"""Per cent of the usual arrivals on the last working day before Tết, the one before, …; an assumption."""
_AFTER_TET: Final = (135, 120, 110)
_TET_WORKING_DAYS: Final = 4
"""Only Tết closes this many working days in a row in January or February."""


@lru_cache(maxsize=1_000)
def _works(day: int) -> bool:
    """Return whether counters open on a local day, counted from 1970; cached."""
    return is_working_day(local_date(day * DAY_MS - UTC_OFFSET_MS))


def next_working_time(at_ms: int, spread: float) -> int:
    """Return ``at_ms`` if counters are open then, else the point ``spread`` (0 to 1) of their next hours."""
    day, into_day = divmod(at_ms + UTC_OFFSET_MS, DAY_MS)
    if _works(day) and into_day < _OPEN[-1][1]:
        if any(start <= into_day < end for start, end, _ in _OPEN):
            return at_ms
        left = [part for part in _OPEN if part[0] > into_day]
    else:
        left = list(_OPEN)
        day += 1
        while not _works(day):
            day += 1
    into_hours = floor(spread * sum(minutes for _, _, minutes in left) * MINUTE_MS)
    for start, end, _ in left:
        if into_hours < end - start:
            return day * DAY_MS - UTC_OFFSET_MS + start + into_hours
        into_hours -= end - start
    return day * DAY_MS - UTC_OFFSET_MS + left[-1][1] - 1


def kinds_of_days(start_ms: int, end_ms: int, rng: Random) -> dict[int, int]:
    """Draw how busy each local day is compared with its kind, in thousandths, by day number from 1970."""
    first, last = ((at + UTC_OFFSET_MS) // DAY_MS for at in (start_ms, end_ms))
    table = lognormal(1000, _SPREAD_OF_DAYS)
    return {day: pick(table, rng) for day in range(first, last + 1)}


class Timetable:
    """The intensity over ``[start_ms, end_ms)`` in bins of a quarter of an hour, as whole-number weights."""

    def __init__(
        self,
        kind: str,
        start_ms: int,
        end_ms: int,
        peaks: Sequence[Peak] = (),
        *,
        growth: float = 0.0,
        days_are: Mapping[int, int] | None = None,
    ) -> None:
        hours, days = _WEEK[kind]
        tet = kind != "even"
        by_day: dict[int, int] = {}
        weights = []
        self.starts_ms = list(range(start_ms - start_ms % BIN_MS, end_ms, BIN_MS))
        for bin_start in self.starts_ms:
            day, into_day = divmod(bin_start + UTC_OFFSET_MS, DAY_MS)
            if day not in by_day:
                weight = _day_weight(local_date(bin_start), days, peaks, tet=tet)
                grown = 1 + growth * (bin_start - start_ms) / (end_ms - start_ms)
                by_day[day] = round(weight * grown * (days_are or {}).get(day, 1000))
            inside = min(bin_start + BIN_MS, end_ms) - max(bin_start, start_ms)
            weights.append(hours[into_day // 1_800_000] * by_day[day] * inside // 1_000_000)
        self._cumulative = list(accumulate(weights))

    @property
    def total(self) -> int:
        """The sum of all weights; 0 if nobody ever comes."""
        return self._cumulative[-1] if self._cumulative else 0

    def weights(self) -> dict[int, int]:
        """Return the weight of each bin by its start."""
        before = [0, *self._cumulative]
        return {
            at: upto - lower
            for at, upto, lower in zip(self.starts_ms, self._cumulative, before, strict=False)
        }

    def draw(self, count: int, rng: Random) -> dict[int, int]:
        """Draw ``count`` arrivals; return their number by start of bin."""
        counts: dict[int, int] = {}
        total, cumulative, starts, random = self.total, self._cumulative, self.starts_ms, rng.random
        for _ in range(count):
            start = starts[bisect_right(cumulative, floor(random() * total))]
            counts[start] = counts.get(start, 0) + 1
        return counts


def _day_weight(day: date, days: Sequence[int], peaks: Sequence[Peak], *, tet: bool) -> float:
    iso = day.isoformat()
    # A Saturday that is worked in exchange for another day off is as busy as a Friday.
    weekday = min(day.weekday(), 4) if is_working_day(day) else day.weekday()
    weight: float = days[_HOLIDAY if _in_holidays(day) else weekday]
    if tet:
        weight = weight * _around_tet(day) / 100
    for peak in peaks:
        if peak.start <= iso <= peak.end:
            weight *= peak.times
    return weight


def _in_holidays(day: date) -> bool:
    """Return whether a day is a holiday, or a weekend day next to or between holidays."""
    return is_closed(day) or (not is_working_day(day) and bool(_closed_around(day)))


@lru_cache(maxsize=2_000)
def _closed_around(day: date) -> int:
    """Return how many weekdays are closed in the run of days off that includes ``day``."""
    closed = 0
    for step in (-1, 1):
        at = day + timedelta(days=step)
        while not is_working_day(at):
            closed += is_closed(at) and at.weekday() < 5
            at += timedelta(days=step)
    return closed + (is_closed(day) and day.weekday() < 5)


@lru_cache(maxsize=2_000)
def _around_tet(day: date) -> int:
    """Return the arrivals on a day in per cent of the usual: other than 100 only on working days near Tết."""
    if not is_working_day(day) or day.month > 3:
        return 100
    for step, shares in ((1, _BEFORE_TET), (-1, _AFTER_TET)):
        at, passed = day, 0
        while passed < len(shares):
            at += timedelta(days=step)
            if is_working_day(at):
                passed += 1
            elif at.month < 3 and _closed_around(at) >= _TET_WORKING_DAYS:
                return shares[passed]
    return 100
