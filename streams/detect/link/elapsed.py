"""How long a link has been in each state: totals of event time that count every second exactly once.

A minute is counted once, a fixed delay after its end, as judged at that point: totals only grow. So they
depend on the log alone, whatever the batches, restarts and rebuilds, and over any stretch of event time they
grow by its length. The delay leaves time for what determines the edges of an outage: lookups that time out,
the evidence of a decision, an end that has to last. Later corrections appear in the ledger only.

Counting follows the ledger's convention that the unknown part of a minute is its last part. It begins with
a link's first window; time after a link was retired counts as not in service.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from streams.detect.link.minute import MINUTE_MS
from streams.detect.link.said import Trouble, state_ms
from streams.detect.link.windows import FAR, Windows
from streams.model.intervals import clip, length_ms
from streams.model.retirement import Service
from streams.model.settings import DetectSettings

SETTLE_MS: Final = 900_000
"""The delay. If the allowed lateness is shorter, that is used: nothing changes after it."""


class Spent(Struct, array_like=True):
    """Milliseconds in each state over ``[since_ms, until_ms)``: full minutes; None before the first one."""

    since_ms: int | None = None
    until_ms: int | None = None
    up_ms: int = 0
    degraded_ms: int = 0
    down_ms: int = 0
    unknown_ms: int = 0
    not_in_service_ms: int = 0

    def by_state(self) -> dict[str, int]:
        """Return the milliseconds by name of state."""
        return {
            "up": self.up_ms,
            "degraded": self.degraded_ms,
            "down": self.down_ms,
            "unknown": self.unknown_ms,
            "not_in_service": self.not_in_service_ms,
        }


class Elapsed:
    """Counts a link's time in each state. Call `settle` before its verdicts change, and to read `spent`."""

    def __init__(self, link: str, windows: Windows, settings: DetectSettings, service: Service) -> None:
        self.link, self.windows, self.service = link, windows, service
        self.settle_ms = min(SETTLE_MS, settings.allowed_lateness_ms)
        self.spent = Spent()

    def settle(self, now_ms: int, trouble: Sequence[Trouble]) -> Spent:
        """Count the minutes whose delay has passed at ``now_ms``; return the totals."""
        spent, last_ms = self.spent, (now_ms - self.settle_ms) // MINUTE_MS * MINUTE_MS
        if spent.until_ms is None:
            if self.windows.first_ms >= last_ms:
                return spent
            spent.since_ms = spent.until_ms = self.windows.first_ms
        if spent.until_ms >= last_ms:
            return spent
        if self._is_up(spent.until_ms, last_ms, trouble):
            spent.up_ms += last_ms - spent.until_ms
        else:
            for start_ms in range(spent.until_ms, last_ms, MINUTE_MS):
                self._count(start_ms, trouble)
        spent.until_ms = last_ms
        return spent

    def _is_up(self, start_ms: int, end_ms: int, trouble: Sequence[Trouble]) -> bool:
        """Return whether the link was in service and known to be up all the time, the usual case."""
        if any(begins < end_ms and (ends or FAR) > start_ms for begins, ends, _ in trouble):
            return False
        return self.service.always(self.link) and self.windows.knows_all(start_ms, end_ms)

    def _count(self, start_ms: int, trouble: Sequence[Trouble]) -> None:
        end_ms = start_ms + MINUTE_MS
        spent, known = self.spent, self.windows.known(start_ms, end_ms)
        ends_ms = self.service.until_ms(self.link, end_ms, end_ms + self.settle_ms)
        served_ms = min(max(ends_ms - start_ms, 0), MINUTE_MS)
        seen = clip([(start_ms, start_ms + length_ms(known))], start_ms, start_ms + served_ms)
        states = state_ms(seen, trouble, start_ms, start_ms + served_ms)
        spent.up_ms += states["UP"]
        spent.degraded_ms += states["DEGRADED"]
        spent.down_ms += states["DOWN"]
        spent.unknown_ms += states["UNKNOWN"]
        spent.not_in_service_ms += MINUTE_MS - served_ms
