"""Weekdays on which Vietnamese public offices were closed, and Saturdays on which they were open, by date.

What closes an office: the holidays of the Labour Code (No. 45/2019/QH14, art. 112, before 2021 No.
10/2012/QH13, art. 115), with a working day off after a holiday that falls on a weekend (art. 111), the
span of Tết and of the National Day as the government set it each year, and single working days swapped
with a Saturday for officials by the Government Office. ``WORKED`` holds those Saturdays.

Sources: the two codes; yearly notices to officials, among them Government Office dispatches
6519/VPCP-KGVX (2018, for 2018 and 2019) and 2450/VPCP-KGVX (2024), Ministry of Labour announcement
6150/TB-BLĐTBXH (2024, for 2025), Ministry of the Interior for 2026 as reported by the press (Công an
TP.HCM on Tết 2026); Resolution 80-NQ/TW of 7 January 2026 for the Culture Day of 24 November. All days except
the swap of 2 for 10 January 2026 (announced in December 2025) agree with the open data of the python-holidays
project, release 0.109.

A year outside ``YEARS`` is provisional: its days are those that project predicts plus those that the law
already fixes, and swaps are not known. Output with figures of such a year must say so. A change to this file
is a new version, and so is another release of the library: figures name both.
"""

from datetime import date, timedelta
from functools import cache
from importlib.metadata import version
from typing import Final

VERSION: Final = f"vn-2026.3+holidays-{version('holidays')}"
YEARS: Final = range(2017, 2027)
"""The years whose days are decreed in full; all others are provisional."""
FORESEEN: Final = range(1970, 2100)
"""The years for which the library has the lunar calendar."""

_CLOSED: Final = {
    2017: "01-02 01-26..02-01 04-06 05-01..05-02 09-04",
    2018: "01-01 02-14..02-20 04-25 04-30..05-01 09-03 12-31",
    2019: "01-01 02-04..02-08 04-15 04-29..05-01 09-02",
    2020: "01-01 01-23..01-29 04-02 04-30..05-01 09-02",
    2021: "01-01 02-10..02-16 04-21 04-30 05-03 09-02..09-03",
    2022: "01-03 01-31..02-04 04-11 05-02..05-03 09-01..09-02",
    2023: "01-02 01-20..01-26 05-01..05-03 09-01 09-04",
    2024: "01-01 02-08..02-14 04-18 04-29..05-01 09-02..09-03",
    2025: "01-01 01-27..01-31 04-07 04-30..05-02 09-01..09-02",
    2026: "01-01..01-02 02-16..02-20 04-27 04-30..05-01 08-31..09-02 11-24",
    2027: "01-01 04-16 04-30 05-03 09-02 11-24",
}
"""Per year, days or inclusive spans of days on which offices were closed; spans may contain weekends.

For 2027 the law fixes these; the span of Tết and the second day of the National Day are still to be decreed.
"""

_WORKED: Final = {
    2019: "01-05 05-04",
    2024: "05-04",
    2025: "04-26",
    2026: "01-10 08-22",
}
"""Per year, the Saturdays on which officials worked in exchange for another day off."""


def _days(table: dict[int, str]) -> frozenset[date]:
    days: set[date] = set()
    for year, text in table.items():
        for span in text.split():
            first, _, last = span.partition("..")
            day, end = (date.fromisoformat(f"{year}-{part}") for part in (first, last or first))
            while day <= end:
                days.add(day)
                day += timedelta(days=1)
    return frozenset(days)


CLOSED: Final = _days(_CLOSED)
WORKED: Final = _days(_WORKED)


def is_closed(day: date) -> bool:
    """Return whether offices are closed on a day for a reason other than its weekday.

    >>> is_closed(date(2025, 5, 2)), is_closed(date(2027, 2, 8)), is_closed(date(2027, 2, 11))
    (True, True, False)
    """
    return day in CLOSED or (day.year not in YEARS and day in _foreseen(day.year))


@cache
def _foreseen(year: int) -> frozenset[date]:
    """Return a year's holidays from the library, including the days off that replace weekend holidays."""
    if year not in FORESEEN:
        return frozenset()
    import holidays  # noqa: PLC0415 - the import takes half a second, and few runs need future years

    return frozenset(holidays.country_holidays("VN", years=year))
