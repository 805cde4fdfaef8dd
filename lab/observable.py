"""Where a full outage begins and ends for somebody who sees nothing but requests.

Between two requests nobody can know of an edge. At one request in five seconds, the next request comes more
than 15 s after an edge once in twenty times. And a failure by chance right before an outage looks like its
first one. So an edge that was found is compared with two: the true one, and the observable one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from streams.model.measurement import Measurement


class Edges(NamedTuple):
    """The observable edges of an outage; None where no request shows one."""

    start_ms: int | None
    end_ms: int | None


class Errors(Struct):
    """How far the edges found are from others, in milliseconds, early ones below 0."""

    starts_ms: list[int] = field(default_factory=list)
    ends_ms: list[int] = field(default_factory=list)

    def add(self, found: Edges, edges: Edges) -> None:
        """Add an outage that was found, where both edges are known."""
        if found.start_ms is not None and edges.start_ms is not None:
            self.starts_ms.append(found.start_ms - edges.start_ms)
        if found.end_ms is not None and edges.end_ms is not None:
            self.ends_ms.append(found.end_ms - edges.end_ms)


def edges_of(failed_ms: Sequence[int], answered_ms: Sequence[int], start_ms: int, end_ms: int) -> Edges:
    """Return the observable edges of a full outage in ``[start_ms, end_ms)``.

    Given are the times of asking, ascending, of the requests on record that failed, and that were answered.
    The start is the first of the unbroken run of failures to which the outage's first one belongs; the end is
    the first request after the outage that was answered.

    >>> edges_of([100, 400, 500, 600, 900], [200, 800], 450, 700)
    Edges(start_ms=400, end_ms=800)
    """
    back = bisect_left(answered_ms, end_ms)
    ended_ms = answered_ms[back] if back < len(answered_ms) else None
    first = bisect_left(failed_ms, start_ms)
    if first == len(failed_ms) or failed_ms[first] >= end_ms:
        return Edges(None, ended_ms)
    well = bisect_left(answered_ms, failed_ms[first])
    first = bisect_right(failed_ms, answered_ms[well - 1], hi=first) if well else 0
    return Edges(failed_ms[first], ended_ms)


def asked_of(measurements: Iterable[Measurement]) -> tuple[list[int], list[int]]:
    """Return when requests were asked that failed, and the first in each second that was answered."""
    failed: list[int] = []
    answered: list[int] = []
    for measurement in measurements:
        for cells in measurement.links:
            for asked in (asked for slot in cells.slots for asked in slot.asked):
                failed += [asked.second * 1000 + ms for ms in asked.first_failed]
                if asked.ok > 0:
                    answered.append(asked.second * 1000 + asked.first_ok)
    return sorted(failed), sorted(answered)
