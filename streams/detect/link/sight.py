"""When we could see a link at all, because its observer was alive."""

from bisect import bisect_right
from typing import Final

from msgspec import Struct, field

from streams.model.intervals import Intervals, difference, intersection, union

GRACE_MS: Final = 10_000
"""Heartbeats may be late by this much before the link counts as unobserved."""
NEVER: Final = 1 << 62


class Sight(Struct, array_like=True):
    """Spans ``[start, end)`` in which the observer reported being alive, ascending, never touching.

    ``first_heard_ms`` is the earliest heartbeat that named the link. Before it, and if none ever did
    (imported records), the link always counts as observed.
    """

    first_heard_ms: int = NEVER
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Spans with missing records, ascending and disjoint: these are unknown despite any heartbeat."""

    def miss(self, start_ms: int, end_ms: int) -> None:
        """Note that records of a span of time are missing."""
        self.gaps = union([*self.gaps, (start_ms, end_ms)])

    def add(self, start_ms: int, end_ms: int) -> None:
        """Add a span in which the observer was alive; join it with spans less than `GRACE_MS` away."""
        end_ms += GRACE_MS
        ends = self.ends
        if ends and self.starts[-1] <= start_ms <= ends[-1]:
            ends[-1] = max(ends[-1], end_ms)
            return
        self.first_heard_ms = min(self.first_heard_ms, start_ms)
        first = bisect_right(self.ends, start_ms - 1)
        last = bisect_right(self.starts, end_ms)
        if first < last:
            start_ms = min(start_ms, self.starts[first])
            end_ms = max(end_ms, self.ends[last - 1])
        self.starts[first:last] = [start_ms]
        self.ends[first:last] = [end_ms]

    def within(self, start_ms: int, end_ms: int) -> Intervals:
        """Return when the observer was alive within ``[start_ms, end_ms)``, as far as is known.

        >>> sight = Sight()
        >>> sight.add(100_000, 101_000)
        >>> sight.within(90_000, 200_000)
        [(90000, 111000)]
        """
        if self.gaps and (missing := intersection(self.gaps, [(start_ms, end_ms)])):
            return difference(self._heard(start_ms, end_ms), missing)
        return self._heard(start_ms, end_ms)

    def _heard(self, start_ms: int, end_ms: int) -> Intervals:
        if end_ms <= self.first_heard_ms:
            return [(start_ms, end_ms)]
        at = bisect_right(self.ends, start_ms)
        spans: Intervals = []
        if start_ms < self.first_heard_ms:
            spans.append((start_ms, self.first_heard_ms))
        while at < len(self.starts) and self.starts[at] < end_ms:
            span = max(self.starts[at], start_ms), min(self.ends[at], end_ms)
            if spans and spans[-1][1] == span[0]:
                span = spans.pop()[0], span[1]
            spans.append(span)
            at += 1
        return spans

    def covers_all(self, start_ms: int, end_ms: int) -> bool:
        """Return whether the observer was alive throughout ``[start_ms, end_ms)``, as far as is known."""
        if self.gaps and intersection(self.gaps, [(start_ms, end_ms)]):
            return False
        if end_ms <= self.first_heard_ms:
            return True
        if self.starts and self.starts[-1] <= start_ms:
            return end_ms <= self.ends[-1]
        return self.within(start_ms, end_ms) == [(start_ms, end_ms)]

    def covers(self, start_ms: int, end_ms: int) -> bool:
        """Return whether the observer was alive at any time in ``[start_ms, end_ms)``."""
        return bool(self.within(start_ms, end_ms))

    def prune(self, before_ms: int) -> None:
        """Forget the spans that ended before ``before_ms``."""
        gone = bisect_right(self.ends, before_ms)
        if gone:
            del self.starts[:gone], self.ends[:gone]
        self.gaps = [gap for gap in self.gaps if gap[1] > before_ms]
