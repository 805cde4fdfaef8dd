"""A provider under load: workers that serve one request each, and a bounded queue.

A request takes its service time, which grows with the load of the last seconds, as caches, locks and
processors are shared. While all workers are busy the request waits. If it would wait longer than the provider
allows it is shed at once, as by servers with a bounded queue; this costs almost nothing. So latency rises
with load, throughput never falls below the capacity for long, and an overload ends when the load does.
"""

from heapq import heapreplace
from math import ceil
from typing import Final

CROWDING: Final = 0.6
"""A request takes longer by at least this share at full load than on an idle provider."""
WINDOW_MS: Final = 10_000
"""The time over which load is averaged, roughly."""
SHED: Final = -1


class Provider:
    """One provider; requests must come in order of time.

    At full load it serves ``capacity_per_second`` requests that would take ``mean_ms`` each if it were idle;
    none waits longer than ``patience_ms``.
    """

    __slots__ = ("_crowding", "_free", "_last_ms", "_load_ms", "_of_all", "_patience_ms")

    def __init__(self, capacity_per_second: float, mean_ms: float, patience_ms: int) -> None:
        workers = max(1, ceil(capacity_per_second * mean_ms * (1 + CROWDING) / 1000))
        self._free = [0] * workers
        self._crowding = workers * 1000 / (capacity_per_second * mean_ms) - 1
        self._patience_ms = patience_ms
        self._of_all = 1 / (workers * WINDOW_MS)
        self._load_ms = 0.0
        self._last_ms = 0

    def take(self, at_ms: int, service_ms: int, weight: float = 1.0) -> int:
        """Return after how many milliseconds a request is answered, or `SHED`.

        A request is the work of ``weight`` ordinary requests, divided among up to as many workers.
        """
        free, last = self._free, self._last_ms
        self._last_ms = at_ms
        load = self._load_ms / (1 + (at_ms - last) / WINDOW_MS)
        start = free[0]
        if start < at_ms:
            start = at_ms
        elif start - at_ms > self._patience_ms:
            self._load_ms = load
            return SHED
        busy = load * self._of_all
        if busy > 1:
            busy = 1.0
        takes = int(service_ms * (1 + self._crowding * busy * busy))
        if weight <= 1:
            self._load_ms = load + takes
            heapreplace(free, start + takes)
            return start + takes - at_ms
        parts = min(len(free), ceil(weight))
        if parts == len(free):
            takes = int(service_ms * (1 + self._crowding))  # it uses the whole provider
        each = max(1, int(takes * weight / parts))
        self._load_ms = load + each * parts
        end = 0
        for _ in range(parts):
            end = max(free[0], at_ms) + each
            heapreplace(free, end)
        return end - at_ms
