"""Reads a call's times, duration and status from the values of its fields.

Two of start, end and duration are enough. A gateway that tries several upstreams may write their durations
and statuses as lists; the map decides whether these are one call, or one call per attempt in sequence.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from streams.ingest.mapping.names import template_reader
from streams.ingest.mapping.places import MapError, Places, Values, at, remember
from streams.ingest.mapping.rules import spelt
from streams.ingest.mapping.said import Map, TimeSaid
from streams.ingest.mapping.times import ReadDurations, durations_reader, split_attempts, time_reader
from streams.ingest.values import NOTHING, RejectedRecordError

MOST_RESENDS: Final = 1_000


class Call(Struct, gc=False):
    """One call, or one attempt of it; times are in epoch milliseconds."""

    start_ms: int
    end_ms: int
    status: int | None
    attempt: int


class CallReader:
    """Reads the times and the status of a call according to a map.

    Raises:
        MapError: a part of the map cannot be used.
    """

    def __init__(self, said: Map, places: Places) -> None:
        self.without_duration = 0
        """Calls whose duration is missing; it is taken as zero."""
        self._resends = None if said.resends is None else places.of(said.resends)
        if said.start is None and said.end is None:
            raise MapError("the map needs `start` or `end` for the time of a call")
        if said.start is not None and said.end is not None and said.duration is not None:
            raise MapError("give only two of `start`, `end` and `duration`", "duration")
        self._start, self._end = (
            _time(said_time, key, places) for key, said_time in (("start", said.start), ("end", said.end))
        )
        self._durations = None
        if said.duration is not None:
            read = durations_reader(said.duration.unit)
            self._durations = read, _all_of(said.duration.field, places)
        self._each = said.duration is not None and said.duration.attempts == "each"
        self._last = said.duration is not None and said.duration.attempts == "last"
        self._status = None if said.status is None else _all_of(said.status, places)
        self._statuses: dict[Any, list[int | None]] = {}

    def read(self, values: Values) -> list[Call]:
        """Return the call, or each of its attempts."""
        start_ms = None if self._start is None else self._start(values)
        end_ms = None if self._end is None else self._end(values)
        statuses = self._read_status(values)
        resends = None if self._resends is None else values[self._resends]
        first = 1 if resends is None else 1 + _resends(resends)
        took_ms = None
        if self._durations is not None:
            durations = self._read_durations(values, *self._durations)
            if self._each and len(durations) > 1:
                return _attempts(start_ms, end_ms, durations, statuses, first)
            took_ms = self._took(durations)
        if start_ms is None or end_ms is None:
            if took_ms is None:
                self.without_duration += self._durations is not None
                took_ms = 0
            if start_ms is not None:
                end_ms = start_ms + round(took_ms)
            elif end_ms is not None:
                start_ms = end_ms - round(took_ms)
            else:
                raise RejectedRecordError(f"`{'end' if self._start is None else 'start'}` has no value")
        elif end_ms < start_ms:
            raise RejectedRecordError("`end` is before `start`")
        status = statuses[-1]
        if status is None and len(statuses) > 1:
            status = next((one for one in reversed(statuses) if one is not None), None)
        return [Call(start_ms, end_ms, status, first)]

    @staticmethod
    def _read_durations(values: Values, read: ReadDurations, places: list[int]) -> list[float | None]:
        durations: list[float | None] = [None]
        for place in places:
            durations = read(values[place])
            if durations[-1] is not None or len(durations) > 1:
                break
        return durations

    def _took(self, durations: list[float | None]) -> float | None:
        """Return how long all attempts together took, or only the last, according to the map."""
        if len(durations) == 1:
            return durations[0]
        took = [duration for duration in durations if duration is not None]
        return None if not took else took[-1] if self._last else sum(took)

    def _read_status(self, values: Values) -> list[int | None]:
        if self._status is None:
            return [None]
        for place in self._status:
            value = values[place]
            known = self._statuses.get(value)
            if known is None:
                known = _statuses_of(value)
                remember(self._statuses, value, known)
            if known[-1] is not None or len(known) > 1:
                return known
        return [None]


def _all_of(fields: str | list[str], places: Places) -> list[int]:
    return [places.of(name) for name in ([fields] if isinstance(fields, str) else fields)]


def _time(said: TimeSaid | None, key: str, places: Places) -> Callable[[Values], int | None] | None:
    """Return a function that reads a time of a call from the first of its fields with a value."""
    if said is None:
        return None
    with at(key):
        read = time_reader(said, key)
        if isinstance(said.field, str) and "{" in said.field:
            fill = template_reader(said.field, places)
            return lambda values: read(fill(values))
        all_of = _all_of(said.field, places)
    if len(all_of) == 1:
        (only,) = all_of
        return lambda values: read(values[only])
    return lambda values: next((found for one in all_of if (found := read(values[one])) is not None), None)


def _attempts(
    start_ms: int | None,
    end_ms: int | None,
    durations: list[float | None],
    statuses: list[int | None],
    first: int,
) -> list[Call]:
    """Return the attempts of a call in sequence; the last ends when the call does."""
    took = [duration or 0.0 for duration in durations]
    if start_ms is None:
        if end_ms is None:
            raise RejectedRecordError("neither `start` nor `end` has a value")
        start_ms = end_ms - round(sum(took))
    calls, passed = [], 0.0
    for number, duration in enumerate(took):
        status = statuses[number] if number < len(statuses) else statuses[-1]
        begun_ms = start_ms + round(passed)
        passed += duration
        calls.append(Call(begun_ms, start_ms + round(passed), status, first + number))
    return calls


def _statuses_of(value: Any) -> list[int | None]:
    if type(value) is int:
        return [_status(value)]
    return [_status_in(part) for part in split_attempts(spelt(value))] or [None]


def _status_in(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) < 5:
        return _status(int(text))
    if text.lower() in NOTHING or text == "-1":
        return None
    raise RejectedRecordError(
        "`status` is not an HTTP status; if the field holds more than that, extract it with a regex"
    )


def _status(status: int) -> int | None:
    if status <= 0:
        return None
    if not 100 <= status <= 599:
        raise RejectedRecordError("`status` is not an HTTP status")
    return status


def _resends(value: Any) -> int:
    text = spelt(value)
    return min(int(text), MOST_RESENDS) if text.isascii() and text.isdigit() and len(text) < 10 else 0
