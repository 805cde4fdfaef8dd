"""The loop that `measure` and `record` share: connect, poll, work, publish, commit, and start over.

Order of effects. A worker turns a poll into records for the outbox and says where a restart may resume
(`Worker.progress`). The loop waits until the broker has acknowledged everything sent, and only then commits.
If a record is not acknowledged, nothing more is committed: the session ends, and the next one continues from
the last commit. So a crash, a refused record or a lost broker never loses data; it only repeats work.

A session (`streams.kafka.session`) is a consumer, a producer and a worker that are discarded together. The
outside world is reached only through the ports and the event loop's clock, so the simulation in
`tests/simulation` runs this file unchanged.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from streams import telemetry
from streams.kafka.ports import BrokerAwayError, BrokerRefusedError
from streams.kafka.session import LoopSettings, Running, Session
from streams.kafka.worker import RetryLaterError, StageStoppedError, Worker

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 10.0


def refused(why: str) -> StageStoppedError:
    """Return the error with which a stage ends when the broker refuses it."""
    return StageStoppedError(
        f"the broker refuses this client: {why}. Check the KAFKA_ settings and the broker's access control"
    )


class StageLoop:
    """Runs a worker until cancelled, or until it raises `StageStoppedError`.

    ``connect`` makes the clients of one session, and ``begin`` creates the worker for it. ``refusal`` returns
    why a broker refuses us, None if it is just unreachable.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        begin: Callable[[Session], Worker],
        settings: LoopSettings | None = None,
        *,
        refusal: Callable[[], Any] | None = None,
    ) -> None:
        self._connect, self._begin, self._refusal = connect, begin, refusal
        self._settings = settings or LoopSettings()
        self._away = self._blocked = False

    async def run(self) -> None:
        """Work; wait while the broker is away; start a new session after a temporary failure."""
        wait_seconds = FIRST_WAIT_SECONDS
        while True:
            running = Running(self._connect(), self._begin, self._settings, self._back, self._going_on)
            try:
                await running.run()
            except RetryLaterError as error:
                if not self._blocked:
                    telemetry.emit(telemetry.StageBlocked(str(error)))
                    self._blocked, wait_seconds = True, FIRST_WAIT_SECONDS
            except BrokerAwayError as error:
                if self._refusal is not None and not self._away and (why := await self._refusal()):
                    raise refused(why) from error
                if not self._away:
                    telemetry.emit(telemetry.BrokerAway(str(error)))
                    self._away, wait_seconds = True, FIRST_WAIT_SECONDS
            except BrokerRefusedError as error:
                raise StageStoppedError(f"the broker refused what this stage asked: {error}") from error
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)

    def _back(self) -> None:
        """Report that the broker answers again."""
        if self._away:
            telemetry.emit(telemetry.BrokerBack())
            self._away = False

    def _going_on(self) -> None:
        """Report that the worker could start on its partitions."""
        if self._blocked:
            telemetry.emit(telemetry.StageUnblocked())
            self._blocked = False
