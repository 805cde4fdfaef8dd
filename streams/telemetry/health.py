"""Whether a stage is alive and whether it is ready, for its supervisor.

A process that waits for its broker is alive and not ready: a restart would not help it. One that has not
moved for minutes, though it said it could work, is not alive, and its supervisor should start it again.
"""

import time
from collections.abc import Callable
from typing import Final

STALL_SECONDS: Final = 300.0


class Health:
    """Liveness and readiness of one process; read from the thread that answers its supervisor."""

    def __init__(
        self, clock_seconds: Callable[[], float] = time.monotonic, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._clock, self._stall = clock_seconds, stall_seconds
        self._moved_at: float | None = None
        self.ready: bool | None = None
        """None while nobody has said: a stage that never says is ready whenever it answers."""
        self.broker_away = False
        """Whether it was told that the broker is away, and not yet that it is back."""
        self.fault: str | None = None
        """What the stage cannot do now though it must, whether it moves or not."""

    def moved(self) -> None:
        """Note that the stage moved, or has nothing to do."""
        self._moved_at = self._clock()

    def stalled(self) -> str | None:
        """Return what is wrong with a stage: a fault that it told, or that it moves no more; else None."""
        if self.fault is not None:
            return self.fault
        if not self.ready or self._moved_at is None:
            return None
        idle_seconds = self._clock() - self._moved_at
        return f"nothing has moved for {idle_seconds:.0f} s" if idle_seconds > self._stall else None

    def unready(self) -> str | None:
        """Return why the stage cannot work now, None where it can."""
        if self.ready is False or self.broker_away:
            return "waiting for the broker, or for the group to give out partitions"
        return self.stalled()
