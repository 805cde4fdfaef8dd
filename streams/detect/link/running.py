"""Keeps the figures of the open spell so far, minute by minute.

An open outage is reviewed every few minutes, and the engineer on call needs the current number of dossiers.
Summing a day of minutes each time would cost too much, so complete minutes are summed only once.
"""

from collections.abc import Callable

from streams.detect.link.minute import MINUTE_MS, Minute
from streams.detect.link.totals import Totals, copied
from streams.detect.link.windows import FAR


class Running:
    """The sums of the open spell, up to the last minute whose facts are complete."""

    def __init__(self) -> None:
        self._start_ms = -FAR
        self._next_ms = -FAR
        self._totals = Totals()

    def forget_from(self, minute_ms: int) -> None:
        """Sum all minutes again if a minute whose facts have changed was already summed."""
        if minute_ms < self._next_ms:
            self._start_ms = -FAR

    def begins_ms(self, start_ms: int) -> int:
        """Return the time from which `totals` needs the minutes of a spell that began at ``start_ms``."""
        return self._next_ms if start_ms == self._start_ms else start_ms - MINUTE_MS

    def totals(
        self,
        start_ms: int,
        minutes: list[tuple[int, Minute]],
        carried: Callable[[], Totals | None],
        now_ms: int,
    ) -> Totals:
        """Return the figures of the requests since ``start_ms``; the caller must not change them.

        ``minutes`` are those from `begins_ms` on, in order; ``carried`` returns the sum of the
        forgotten ones, as a new object each time.
        """
        if start_ms != self._start_ms:
            self._start_ms, self._next_ms = start_ms, start_ms - MINUTE_MS
            self._totals = carried() or Totals()
        complete = [(at, minute) for at, minute in minutes if at + MINUTE_MS <= now_ms]
        for at, minute in complete:
            self._totals.add(at, minute, start_ms, FAR)
            self._next_ms = at + MINUTE_MS
        self._totals.trim()
        if len(complete) == len(minutes):
            return self._totals
        totals = copied(self._totals)
        for at, minute in minutes[len(complete) :]:
            totals.add(at, minute, start_ms, FAR)
        totals.trim()
        return totals
