"""A worker's view of one partition of `link.measurements`."""

import asyncio
import time
from typing import Any

from streams.detect.detector import Detector
from streams.detect.link.snapshot import Place


class Follower:
    """One partition of `link.measurements`: its detector, and the measurements not yet acknowledged.

    The detector has applied everything before ``next_position`` without a gap, whichever process followed
    the partition. Results of measurements before ``published_until`` had been published at the start.
    """

    def __init__(self, detector: Detector, next_position: int, published_until: int) -> None:
        self.detector = detector
        self.next_position = next_position
        self.published_until = published_until
        self.heard_at = time.monotonic()
        self.unacknowledged: list[Any] = []
        self.sent: list[Any] = []
        self.saved_at = time.monotonic()

    @property
    def place(self) -> Place:
        """The place up to which the partition was followed."""
        return Place(self.next_position, self.detector.logged_ms)

    def begin_again(self, position: int) -> None:
        """Continue in another log, from a position; source ranges reveal repeats."""
        self.next_position = self.published_until = position
        self.unacknowledged.clear()
        self.detector.wait_for_nothing()

    async def confirm(self) -> None:
        """Wait until the broker has acknowledged everything sent so far."""
        sent, self.sent = self.sent, []
        await asyncio.gather(*sent)


def logged_ms_of(message: Any) -> int:
    """Return the time of a message in ms; Faust gives seconds."""
    logged_ms: int = round(message.timestamp * 1000)
    return logged_ms
