"""An event loop whose clock jumps: nothing waits, and the program alone decides the order of everything."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class DeadlockError(Exception):
    """Nothing is left that could ever happen, and the work is not done."""


class _Clock:
    """In place of a selector: to wait is to move the time."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("every task waits for something that nobody will do")
        self._loop.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs coroutines on virtual time, from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _Clock(self)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run_virtually(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on virtual time; then cancel what it left behind, and let that finish."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _loop, _context: None)  # what dead processes leave unretrieved
    try:
        return loop.run_until_complete(main)
    finally:
        for _ in range(20):
            left = asyncio.all_tasks(loop)
            if not left:
                break
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
