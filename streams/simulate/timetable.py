"""When people come: an inhomogeneous Poisson process, conditioned on its count.

The intensity is hour of day x day of week x holiday x campaign, constant within a quarter of an hour. Given
their number, the arrivals of a Poisson process are independent draws from the normalised intensity; drawing
them so makes a count that a source reports come out exactly, and leaves all else as random as it was.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
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
from streams.model.hours.holidays import CLOSED
from streams.simulate.scenario import Peak

BIN_MS: Final = 900_000
_OPEN: Final = tuple(
    (start * MINUTE_MS, end * MINUTE_MS, end - start) for start, end in OFFICE_HOURS.hours or ()
)
"""When counters open and close, in milliseconds of the day, and for how many minutes they are open."""

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


@lru_cache(maxsize=1_000)
def _works(day: int) -> bool:
    """Say whether counters open on a local day, counted from 1970: the calendar is asked once a day."""
    return is_working_day(local_date(day * DAY_MS - UTC_OFFSET_MS))


def next_working_time(at_ms: int, spread: float) -> int:
    """Return ``at_ms`` if counters are open then, else ``spread`` (0 to 1) into their next hours."""
    day, into_day = divmod(at_ms + UTC_OFFSET_MS, DAY_MS)
    if _works(day):
        for start, end, minutes in _OPEN:
            if into_day < end:
                if into_day >= start:
                    return at_ms
                return at_ms - into_day + start + floor(spread * minutes * MINUTE_MS)
    day += 1
    while not _works(day):
        day += 1
    start, _, minutes = _OPEN[0]
    return day * DAY_MS - UTC_OFFSET_MS + start + floor(spread * minutes * MINUTE_MS)


class Timetable:
    """The intensity over ``[start_ms, end_ms)`` in bins of a quarter of an hour, as whole-number weights."""

    def __init__(self, kind: str, start_ms: int, end_ms: int, peaks: Sequence[Peak] = ()) -> None:
        hours, days = _WEEK[kind]
        by_day: dict[int, int] = {}
        weights = []
        self.starts_ms = list(range(start_ms - start_ms % BIN_MS, end_ms, BIN_MS))
        for bin_start in self.starts_ms:
            day, into_day = divmod(bin_start + UTC_OFFSET_MS, DAY_MS)
            if day not in by_day:
                by_day[day] = _day_weight(local_date(bin_start), days, peaks)
            inside = min(bin_start + BIN_MS, end_ms) - max(bin_start, start_ms)
            weights.append(hours[into_day // 1_800_000] * by_day[day] * inside // 1000)
        self._cumulative = list(accumulate(weights))

    @property
    def total(self) -> int:
        """The sum of all weights; 0 where nobody ever comes."""
        return self._cumulative[-1] if self._cumulative else 0

    def draw(self, count: int, rng: Random) -> dict[int, int]:
        """Spread ``count`` arrivals: bin start to how many."""
        counts: dict[int, int] = {}
        total, cumulative, starts, random = self.total, self._cumulative, self.starts_ms, rng.random
        for _ in range(count):
            start = starts[bisect_right(cumulative, floor(random() * total))]
            counts[start] = counts.get(start, 0) + 1
        return counts


def _day_weight(day: date, days: Sequence[int], peaks: Sequence[Peak]) -> int:
    iso = day.isoformat()
    # A Saturday worked for a day off elsewhere is as busy as a Friday.
    weekday = min(day.weekday(), 4) if is_working_day(day) else day.weekday()
    weight = days[_HOLIDAY if day in CLOSED else weekday]
    for peak in peaks:
        if peak.start <= iso <= peak.end:
            weight = round(weight * peak.times)
    return weight
