r"""Reads one value of a record, as written by JSON and CSV converters, databases and object mappers.

Numbers may be text (`"1750032000000"`, `"200.0"`), a missing value may be a word (`None`, `NULL`, `NaN`,
`\N`, `-`), flags may be letters (`t`, `f`), times may be ISO 8601 with a zone. Errors name the field of any
other value, and never repeat the value itself.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from streams.ingest.values import EARLIEST_MS, LATEST_MS, RejectedRecordError, Scalar, text_of

FLAGS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False),
}
_NO_TIME: Final = (0, -1)
"""Numbers used for a missing time in records and in databases without NULL."""


class NotXRoadError(RejectedRecordError):
    """A record with none of the fields of operational monitoring."""


def time_of(value: Scalar, name: str) -> int | None:
    """Return epoch milliseconds, None if a record has no such time.

    >>> time_of("1750032000000.0", ""), time_of("2025-06-16T07:00:00+07:00", ""), time_of(-1, "")
    (1750032000000, 1750032000000, None)
    """
    number = _whole(value)
    if number is None and isinstance(value, str):
        if not text_of(value):
            return None
        number = _iso_ms(value.strip(), name)
    if number is None and value is not None:
        raise RejectedRecordError(f"{name} is not a whole number of milliseconds")
    if number is None or number in _NO_TIME:
        return None
    if EARLIEST_MS <= number < LATEST_MS:
        return number
    for unit, factor in (("seconds", 1000), ("microseconds", 1 / 1000), ("nanoseconds", 1 / 1_000_000)):
        if EARLIEST_MS <= number * factor < LATEST_MS:
            raise RejectedRecordError(f"{name} is in {unit}, not in milliseconds")
    raise RejectedRecordError(f"{name} is outside the years 2000 to 2099")


def status_of(value: Scalar) -> int | None:
    """Return an HTTP status, None if there is none or it is 0.

    >>> status_of("200.0"), status_of(0), status_of("None")
    (200, None, None)
    """
    status = _whole(value)
    if status == 0 or (status is None and isinstance(value, str) and not text_of(value)) or value is None:
        return None
    if isinstance(value, bool) or status is None or not 100 <= status <= 599:
        raise RejectedRecordError("statusCode is not an HTTP status")
    return status


def flag_of(value: Scalar) -> bool | None:
    r"""Return a flag, None if there is none.

    >>> flag_of("t"), flag_of(0), flag_of("\\N")
    (True, False, None)
    """
    if value is None or (isinstance(value, str) and not text_of(value)):
        return None
    flag = FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise RejectedRecordError("succeeded is neither true nor false")
    return flag


def _whole(value: Scalar) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        digits = value.strip().removesuffix(".0")
        return (
            int(digits)
            if digits.lstrip("-").isdecimal() and digits.isascii() and len(digits) < 25
            else _float(digits)
        )
    return int(value) if value.is_integer() else None


def _float(text: str) -> int | None:
    """Return the whole number in a text like `1.750032e+12`, None if it is not one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _iso_ms(text: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedRecordError(f"{name} is not a whole number of milliseconds") from None
    if moment.tzinfo is None:
        raise RejectedRecordError(f"{name} is a date without a time zone")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
