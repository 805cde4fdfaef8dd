"""Times as a person types and reads them: Asia/Ho_Chi_Minh unless an offset is given."""

import re
from datetime import datetime
from typing import Final

from streams.model.hours.calendar import HO_CHI_MINH

LOCAL_TIME: Final = HO_CHI_MINH
"""UTC+7 at all times, as calendars count; the zone had another offset until 1975."""
EARLIEST_MS: Final = -25_200_000
LATEST_MS: Final = 4_102_419_600_000
"""The times that are accepted: the start of 1970 to that of 2100 in Asia/Ho_Chi_Minh, both included."""


class TimeTextError(ValueError):
    """The text is not a time; the message says what is expected."""


def parse_time_ms(text: str) -> int:
    """Return epoch milliseconds of an ISO 8601 time, local if it has no offset, or of epoch milliseconds.

    Raises:
        TimeTextError: the text is not a time, or lies outside the years 1970 to 2099.

    >>> parse_time_ms("2023-06-12 08:00"), parse_time_ms("2023-06-12T01:00:00Z")
    (1686531600000, 1686531600000)
    >>> parse_time_ms("1686531600000")
    1686531600000
    """
    if text.isdecimal() and 12 <= len(text) <= 15:
        return _within_reach(int(text), text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TimeTextError(
            f"{text!r} is not a time: use 2023-06-12T08:00 (Asia/Ho_Chi_Minh), an offset like Z or +07:00, "
            "or epoch milliseconds"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=LOCAL_TIME)
    return _within_reach(round(moment.timestamp() * 1000), text)


def parse_month_ms(month: str) -> tuple[int, int]:
    """Return start and end of a local month written like 2025-06, in epoch milliseconds.

    Raises:
        TimeTextError: the text is not a month, or lies outside the years 1970 to 2099.

    >>> [local_time(ms) for ms in parse_month_ms("2025-12")]
    ['2025-12-01 00:00:00', '2026-01-01 00:00:00']
    """
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", month, re.ASCII)
    if found is None:
        raise TimeTextError(f"{month!r} is not a month: write it like 2025-06")
    year, number = int(found[1]), int(found[2])
    if not 1970 <= year < 2100:
        raise TimeTextError(f"{month!r} is out of reach: months from 1970-01 to 2099-12 can be asked about")
    following = f"{year + number // 12}-{number % 12 + 1:02}-01"
    return parse_time_ms(f"{month}-01"), parse_time_ms(following)


def _within_reach(time_ms: int, text: str) -> int:
    if not EARLIEST_MS <= time_ms <= LATEST_MS:
        raise TimeTextError(
            f"{text!r} is out of reach: times from 1970 to the end of 2099 can be asked about"
        )
    return time_ms


def local_time(epoch_ms: int | None, *, date: bool = True) -> str:
    """Format a time in Asia/Ho_Chi_Minh for reading, with milliseconds unless they are zero.

    >>> local_time(1686531600000), local_time(1686531600250, date=False), local_time(None)
    ('2023-06-12 08:00:00', '08:00:00.250', '-')
    """
    if epoch_ms is None:
        return "-"
    moment = datetime.fromtimestamp(epoch_ms / 1000, LOCAL_TIME)
    text = moment.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")
    return text + (f".{epoch_ms % 1000:03d}" if epoch_ms % 1000 else "")
