"""Whether a stage is alive and whether it is ready, for its supervisor.

A process that waits for its broker is alive but not ready: a restart would not help. One that was ready but
has made no progress for minutes is not alive, and its supervisor should restart it.
"""

import time
from collections.abc import Callable
from typing import Final

STALL_SECONDS: Final = 300.0


class Health:
    """Liveness and readiness of one process; read by the thread that answers the supervisor."""

    def __init__(
        self, clock_seconds: Callable[[], float] = time.monotonic, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._clock, self._stall = clock_seconds, stall_seconds
        self._moved_at: float | None = None
        self.ready: bool | None = None
        """None until set: a stage that never sets it is ready whenever it answers."""
        self.broker_away = False
        """Whether the broker was reported as away and not yet as back."""
        self.fault: str | None = None
        """A duty that the stage currently cannot fulfil, even if it makes progress otherwise."""

    def moved(self) -> None:
        """Note that the stage made progress, or has nothing to do."""
        self._moved_at = self._clock()

    def stalled(self) -> str | None:
        """Return what is wrong with the stage: its fault, or that it makes no progress; otherwise None."""
        if self.fault is not None:
            return self.fault
        if not self.ready or self._moved_at is None:
            return None
        idle_seconds = self._clock() - self._moved_at
        return f"nothing has moved for {idle_seconds:.0f} s" if idle_seconds > self._stall else None

    def unready(self) -> str | None:
        """Return why the stage cannot work now, None if it can."""
        if self.ready is False or self.broker_away:
            return "waiting for the broker, or for the group to give out partitions"
        return self.stalled()
