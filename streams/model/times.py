"""Times as a person types and reads them: Asia/Ho_Chi_Minh unless an offset is given."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

LOCAL_TIME: Final = ZoneInfo("Asia/Ho_Chi_Minh")


class TimeTextError(ValueError):
    """A text that is no time; the message says what is expected."""


def parse_time_ms(text: str) -> int:
    """Return epoch milliseconds of an ISO 8601 time, local if it has no offset, or of epoch milliseconds.

    >>> parse_time_ms("2023-06-12 08:00"), parse_time_ms("2023-06-12T01:00:00Z")
    (1686531600000, 1686531600000)
    >>> parse_time_ms("1686531600000")
    1686531600000
    """
    if text.isdecimal() and len(text) >= 12:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TimeTextError(
            f"{text!r} is no time: use 2023-06-12T08:00 (Asia/Ho_Chi_Minh), an offset like Z or +07:00, "
            "or epoch milliseconds"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=LOCAL_TIME)
    return round(moment.timestamp() * 1000)


def local_time(epoch_ms: int | None, *, date: bool = True) -> str:
    """Return a time for reading, to the millisecond where it has any, in Asia/Ho_Chi_Minh.

    >>> local_time(1686531600000), local_time(1686531600250, date=False), local_time(None)
    ('2023-06-12 08:00:00', '08:00:00.250', '-')
    """
    if epoch_ms is None:
        return "-"
    moment = datetime.fromtimestamp(epoch_ms / 1000, LOCAL_TIME)
    text = moment.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")
    return text + (f".{epoch_ms % 1000:03d}" if epoch_ms % 1000 else "")
