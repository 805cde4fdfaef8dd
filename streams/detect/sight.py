"""When we could see a link at all: its observer alive, and recent evidence of how it fares."""

from bisect import bisect_right
from typing import Final

from msgspec import Struct, field

GRACE_MS: Final = 10_000
"""Heartbeats may come this much later than promised before we call ourselves blind."""


class Sight(Struct):
    """Spans ``[start, end)`` in which the observer vouched for being alive, ascending, never touching.

    ``heard`` says whether any heartbeat ever named the link: where none did (imported records), silence is
    never blindness, and each record vouches for itself.
    """

    heard: bool = False
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, start_ms: int, end_ms: int) -> None:
        """Add a span, joining it with those it touches within the grace."""
        self.heard = True
        end_ms += GRACE_MS
        first = bisect_right(self.ends, start_ms - 1)
        last = bisect_right(self.starts, end_ms)
        if first < last:
            start_ms = min(start_ms, self.starts[first])
            end_ms = max(end_ms, self.ends[last - 1])
        self.starts[first:last] = [start_ms]
        self.ends[first:last] = [end_ms]

    def covers(self, start_ms: int, end_ms: int) -> bool:
        """Say whether the observer was alive at any time of ``[start_ms, end_ms)``."""
        if not self.heard:
            return True
        at = bisect_right(self.ends, start_ms)
        return at < len(self.starts) and self.starts[at] < end_ms

    def prune(self, before_ms: int) -> None:
        """Forget the spans that ended before ``before_ms``."""
        gone = bisect_right(self.ends, before_ms)
        del self.starts[:gone], self.ends[:gone]
