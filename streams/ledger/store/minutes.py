"""One link's windows of one local day, packed: eleven columns of 1440 minutes, and the other fields.

One row per window would be 50 million rows a year for a hundred links; one row per day is 36,500. The columns
from which figures are computed are fixed arrays (little-endian, Zstandard); outcomes and latencies, which
only the page of an outage reads, are a MessagePack map. Revision 0 means no window.
"""

import sys
from array import array
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct, UnsetType

from streams.model.availability import RequestCounts
from streams.model.hours.calendar import DAY_MS, MINUTE_MS
from streams.model.intervals import Intervals, clip, union
from streams.model.outage import RaisedNormal, ShortFailures, Window
from streams.model.zstd import compress, decompress

MINUTES: Final = DAY_MS // MINUTE_MS
LAYOUT: Final = (
    ("revision", "H", 2),
    ("unknown_ms", "H", 2),
    ("degraded_ms", "H", 2),
    ("down_ms", "H", 2),
    ("requested", "I", 4),
    ("attempts", "I", 4),
    ("failures", "I", 4),
    ("late", "I", 4),
    ("short_failures", "H", 2),
    ("short_failure_ms", "I", 4),
    ("short_failure_lookups", "I", 4),
)
"""The columns in packed order: name, array type, bytes per minute.

A day that was packed before a column was added lacks its bytes; that column is then all 0.
"""

COUNTS: Final = RequestCounts._fields

FOR_FIGURES: Final = frozenset({"revision", "unknown_ms", *COUNTS})
"""Columns that figures are computed from."""


class WindowError(ValueError):
    """A window that is not a valid minute of the day; the message says what is wrong."""


class MinuteDetail(Struct, array_like=True):
    """The fields of a window that are not columns."""

    state: str
    outcomes: dict[str, int]
    latency_ms: dict[str, float] | None
    provider_latency_ms: dict[str, float] | None
    normal: RaisedNormal | None = None


_details_decoder: Final = msgspec.msgpack.Decoder(dict[int, MinuteDetail])


class DayOfMinutes:
    """The windows of one link on the local day that starts at ``day_ms``."""

    __slots__ = ("columns", "day_ms", "details")

    def __init__(
        self,
        day_ms: int,
        columns: "dict[str, array[int]] | None" = None,
        details: dict[int, MinuteDetail] | None = None,
    ) -> None:
        self.day_ms = day_ms
        self.columns = columns or {name: array(code, bytes(width * MINUTES)) for name, code, width in LAYOUT}
        self.details = details or {}

    @classmethod
    def unpack(cls, day_ms: int, columns: bytes, details: bytes | None = None) -> "DayOfMinutes":
        """Return a packed day; without ``details`` it serves figures only and must not be packed again."""
        data = memoryview(decompress(columns))
        arrays, offset = {}, 0
        for name, code, width in LAYOUT:
            if details is not None or name in FOR_FIGURES:
                column = array(code)
                column.frombytes(data[offset : offset + width * MINUTES] or bytes(width * MINUTES))
                if sys.byteorder == "big":
                    column.byteswap()
                arrays[name] = column
            offset += width * MINUTES
        if details is None:
            return cls(day_ms, arrays)
        unpacked = decompress(details)
        return cls(day_ms, arrays, _details_decoder.decode(unpacked))

    def pack(self) -> tuple[bytes, bytes]:
        """Return columns and details as stored; equal days give equal bytes."""
        columns = [self.columns[name] for name, _, _ in LAYOUT]
        if sys.byteorder == "big":
            columns = [array(column.typecode, column) for column in columns]
            for column in columns:
                column.byteswap()
        details = msgspec.msgpack.encode(dict(sorted(self.details.items())))
        return compress(b"".join(map(bytes, columns)), level=3), compress(details, level=3)

    def put(self, window: Window) -> bool:
        """Add a window; return False if its revision is not newer. Raise `WindowError` if it is invalid."""
        minute, rest = divmod(window.start_ms - self.day_ms, MINUTE_MS)
        if rest or not 0 <= minute < MINUTES or window.end_ms - window.start_ms != MINUTE_MS:
            raise WindowError(f"[{window.start_ms}, {window.end_ms}) is not a minute of the day")
        if sum(window.state_ms.values()) != MINUTE_MS:
            raise WindowError(f"the states of {window.start_ms} do not add up to a minute")
        if window.revision <= self.columns["revision"][minute]:
            return False
        said = window.short_failures
        short = ShortFailures(0, 0, 0) if isinstance(said, UnsetType) else said
        values = {
            "revision": window.revision,
            "unknown_ms": window.state_ms.get("UNKNOWN", 0),
            "degraded_ms": window.state_ms.get("DEGRADED", 0),
            "down_ms": window.state_ms.get("DOWN", 0),
            "requested": window.requested,
            "attempts": window.attempts,
            "failures": window.failures,
            "late": window.late,
            "short_failures": short.number,
            "short_failure_ms": short.duration_ms,
            "short_failure_lookups": short.lookups,
        }
        try:
            for name, value in values.items():
                self.columns[name][minute] = value
        except (OverflowError, TypeError) as error:
            raise WindowError(f"`{name}` of {window.start_ms} is {value}: {error}") from error
        self.details[minute] = MinuteDetail(
            window.state,
            dict(sorted(window.outcomes.items())),
            window.latency_ms,
            window.provider_latency_ms,
            None if isinstance(window.normal, UnsetType) else window.normal,
        )
        return True

    def unknown(self) -> Intervals:
        """Return the unknown time of the day, as `streams.model.availability.unknown_time` defines it."""
        revisions, unknown = self.columns["revision"], self.columns["unknown_ms"]
        pieces = []
        minute = -1
        with suppress(
            ValueError
        ):  # the array's own search is the fastest way to the few minutes without a window
            while True:
                minute = revisions.index(0, minute + 1)
                start_ms = self.day_ms + minute * MINUTE_MS
                pieces.append((start_ms, start_ms + MINUTE_MS))
        if unknown.tobytes().strip(b"\0"):
            for minute, unknown_ms in enumerate(unknown):
                if unknown_ms:
                    end_ms = self.day_ms + (minute + 1) * MINUTE_MS
                    pieces.append((end_ms - unknown_ms, end_ms))
        return union(pieces)

    def within(self, counted: Intervals) -> RequestCounts:
        """Return the counts of the minutes that begin in counted time."""
        total = [0] * len(COUNTS)
        for start, end in clip(counted, self.day_ms, self.day_ms + DAY_MS):
            first, last = (-(-(edge - self.day_ms) // MINUTE_MS) for edge in (start, end))
            for at, name in enumerate(COUNTS):
                total[at] += sum(self.columns[name][first:last])
        return RequestCounts(*total)

    def normal(self) -> RaisedNormal | None:
        """Return the link's raised normal in the day's last window, None if there is none."""
        return self.details[max(self.details)].normal if self.details else None

    def first_ms(self) -> int:
        """Return the start of the first window, or the day's end without one."""
        first = next((i for i in range(MINUTES) if self.columns["revision"][i]), MINUTES)
        return self.day_ms + first * MINUTE_MS

    def known_until_ms(self) -> int:
        """Return the end of the last window, or the day's start without one."""
        last = max((i for i in range(MINUTES) if self.columns["revision"][i]), default=-1)
        return self.day_ms + (last + 1) * MINUTE_MS
