"""Reads the times and durations of a call as gateways write them.

The map gives the format of a time: ISO 8601, seconds to nanoseconds since 1970, or `strptime` codes. A
duration is a number in the map's unit, or in its own (`12ms`); `-`, an empty text and a negative number mean
that there is none. nginx writes one for each upstream that it tried, with commas between servers and colons
between groups of them.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from re import ASCII
from re import compile as pattern
from re import error as pattern_error
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streams.ingest.mapping.said import EPOCHS, UNITS, TimeSaid
from streams.ingest.values import EARLIEST_MS, LATEST_MS, NOTHING, RejectedRecordError

MOST_CACHED: Final = 4_096
LONGEST_TEXT: Final = 64
MOST_ATTEMPTS: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_FRACTION: Final = pattern(r"(.*[%a-zA-Z])([.,])%f")
_NUMBER: Final = pattern(r"\+?(\d++(?:\.\d*+)?|\.\d++)(ns|us|µs|μs|ms|s)?", ASCII)
_GO: Final = pattern(r"(?:(\d++)h)?(?:(\d++)m)?(?:(\d++(?:\.\d*+)?)s)?", ASCII)
"""Hours, minutes and seconds as Go writes them: `1m0.5s`."""
_BETWEEN: Final = pattern(r"\s*+[,:]\s*+|\s++")

ReadTime = Callable[[Any], int | None]
"""Returns epoch milliseconds, None if there is no time; raises `RejectedRecordError`."""
ReadDurations = Callable[[Any], list[float | None]]
"""Returns the milliseconds of each attempt; raises `RejectedRecordError`."""


class TimeSaidError(ValueError):
    """An unknown format or time zone; the message says why."""


def time_reader(said: TimeSaid, name: str) -> ReadTime:
    """Return a function that reads a time according to a map; ``name`` is its key in the map.

    Raises:
        TimeSaidError: the format or the zone is unknown.
    """
    zone = _zone(said.zone)
    factor = EPOCHS.get(said.format)
    if factor is not None:
        return _epoch_reader(factor, name)
    if said.format != "iso" and "%" not in said.format:
        raise TimeSaidError(
            f"`{said.format}` is not a format; use iso, {', '.join(EPOCHS)}, or strptime's codes"
        )
    parse = _iso if said.format == "iso" else _strptime(said.format)
    seen: dict[str, int] = {}

    def read(value: Any) -> int | None:
        known = seen.get(value) if isinstance(value, str) else None
        if known is not None:
            return known
        if _is_nothing(value):
            return None
        text = value.strip() if isinstance(value, str) else str(value)
        try:
            moment = parse(text[:LONGEST_TEXT])
        except (ValueError, OverflowError):
            raise RejectedRecordError(f"`{name}` is not a time in the format {said.format}") from None
        if moment.tzinfo is None:
            if zone is None:
                raise RejectedRecordError(f"`{name}` has no time zone; give `zone` in the map")
            moment = moment.replace(tzinfo=zone)
        at_ms = _within((moment - _EPOCH) // _MS, name)
        if len(seen) >= MOST_CACHED:
            seen.clear()
        seen[value] = at_ms
        return at_ms

    return read


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimeSaidError(f"`{name}` is not a time zone; write it as Asia/Ho_Chi_Minh or UTC") from None


def _iso(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _strptime(format_: str) -> Callable[[str], datetime]:
    """Return a parser of a format; the text before a fraction of a second is cached."""
    try:
        datetime.strptime(datetime(2026, 1, 1, tzinfo=UTC).strftime(format_), format_)  # noqa: DTZ007 - a trial
    except (ValueError, pattern_error) as error:  # strptime compiles it to a pattern: `%d %d` is invalid
        raise TimeSaidError(f"`{format_}` is not a strptime format: {error}") from None
    fraction = _FRACTION.fullmatch(format_)
    if fraction is None:
        return lambda text: datetime.strptime(text, format_)  # noqa: DTZ007 - the map gives the zone
    whole, mark = fraction[1], fraction[2]
    seen: dict[str, datetime] = {}

    def parse(text: str) -> datetime:
        before, found, digits = text.rpartition(mark)
        if not found or not 0 < len(digits) <= 9 or not (digits.isascii() and digits.isdigit()):
            return datetime.strptime(text, format_)  # noqa: DTZ007 - as above
        moment = seen.get(before)
        if moment is None:
            if len(seen) >= MOST_CACHED:
                seen.clear()
            moment = seen[before] = datetime.strptime(before, whole)  # noqa: DTZ007 - as above
        return moment.replace(microsecond=int(digits[:6].ljust(6, "0")))

    return parse


def _epoch_reader(factor: float, name: str) -> ReadTime:
    divisor = round(1 / factor) if factor < 1 else 1

    def read(value: Any) -> int | None:
        if type(value) is int:
            at_ms = value // divisor if divisor > 1 else value * factor
            if EARLIEST_MS <= at_ms < LATEST_MS:
                return int(at_ms)
        elif _is_nothing(value):
            return None
        else:
            try:
                text = value.strip() if isinstance(value, str) else value
                whole = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 25
                at_ms = int(text) if whole else float(text)
                at_ms = at_ms // divisor if whole and divisor > 1 else at_ms * factor
            except (TypeError, ValueError):
                raise RejectedRecordError(f"`{name}` is not a number") from None
        return _within(at_ms, name)

    return read


def _within(at_ms: float, name: str) -> int:
    if EARLIEST_MS <= at_ms < LATEST_MS:
        return round(at_ms)
    for unit, factor in (("epoch_s", 1_000), ("epoch_ms", 1), ("epoch_us", 1e-3), ("epoch_ns", 1e-6)):
        for said in (1_000, 1, 1e-3, 1e-6):
            if said != factor and EARLIEST_MS <= at_ms / said * factor < LATEST_MS:
                raise RejectedRecordError(f"`{name}` is outside the years 2000 to 2099; it may be in {unit}")
    raise RejectedRecordError(f"`{name}` is outside the years 2000 to 2099")


def _go_duration_ms(text: str, name: str) -> float:
    """Return the milliseconds of hours, minutes and seconds; raise `RejectedRecordError` for other text."""
    found = _GO.fullmatch(text)
    if not text or found is None:
        raise RejectedRecordError(f"`{name}` is not a number")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000


def durations_reader(unit: str, name: str = "duration") -> ReadDurations:
    """Return a function that reads the duration of each attempt in milliseconds, None for those without one.

    >>> durations_reader("s")("0.100, - : 0.004"), durations_reader("s")(0.25), durations_reader("ms")("12ms")
    ([100.0, None, 4.0], [250.0], [12.0])
    >>> durations_reader("s")("1m0.5s")
    [60500.0]
    """
    factor = UNITS[unit]

    def one(text: str) -> float | None:
        if text.lower() in NOTHING or text.startswith("-"):
            return None
        number = _NUMBER.fullmatch(text[:LONGEST_TEXT])
        if number is None:
            return _go_duration_ms(text[:LONGEST_TEXT], name)
        return float(number[1]) * (UNITS[number[2].replace("μ", "µ")] if number[2] else factor)

    def read(value: Any) -> list[float | None]:
        if type(value) is str:
            try:
                number = float(value)
            except ValueError:
                parts = split_attempts(value)
                return [one(part) for part in parts] if parts else [None]
        elif type(value) is list:
            return [read(item)[0] for item in value[:MOST_ATTEMPTS]] or [None]
        elif value is None or type(value) is bool:
            return [None]
        elif isinstance(value, int | float):
            number = value
        else:
            raise RejectedRecordError(f"`{name}` is not a number")
        if not 0 <= number < 1e15:
            if isfinite(number) and number > 0:
                raise RejectedRecordError(f"`{name}` is absurdly long")
            return [None]
        return [number * factor]

    return read


def split_attempts(text: str) -> list[str]:
    """Return the parts of a list of upstream attempts.

    >>> split_attempts("502, 200"), split_attempts("0.1 : 0.2, -"), split_attempts("")
    (['502', '200'], ['0.1', '0.2', '-'], [])
    """
    text = text.strip()
    return _BETWEEN.split(text, maxsplit=MOST_ATTEMPTS)[:MOST_ATTEMPTS] if text else []


def _is_nothing(value: Any) -> bool:
    return value is None or value == 0 or (isinstance(value, str) and value.strip().lower() in NOTHING)
