"""What a provider bears: workers that serve one request each, and a queue before them that is kept short.

A request takes its service time, which grows with how busy the provider was over the last seconds: caches,
locks and processors are shared. While all workers are busy it waits. Where it would wait longer than the
provider allows it is shed at once, as servers with a bounded queue do; being refused costs next to nothing.
So latency rises with load, what is served never falls under the capacity for long, and an overload ends when
the load does.
"""

from heapq import heapreplace
from math import ceil
from typing import Final

CROWDING: Final = 0.6
"""By how much longer a request takes at full load than on an idle provider, at least."""
WINDOW_MS: Final = 10_000
"""Over about how long load is felt."""
SHED: Final = -1


class Provider:
    """One provider; requests must come in the order of their times.

    At full load it serves ``capacity_per_second``, of ``mean_ms`` each on an idle one; nobody waits longer
    than ``patience_ms``.
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
        """Return after how long a request is answered, or `SHED`.

        A request of some ``weight`` is the work of so many, done by as many workers as there are at most.
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
            takes = int(service_ms * (1 + self._crowding))  # it fills the provider by itself
        each = max(1, int(takes * weight / parts))
        self._load_ms = load + each * parts
        end = 0
        for _ in range(parts):
            end = max(free[0], at_ms) + each
            heapreplace(free, end)
        return end - at_ms
