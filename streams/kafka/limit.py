"""The dead-letter limit: a stage stops when too many records of one source partition are unusable.

A faulty deploy may send nothing but unreadable records. Continuing would only fill the dead-letter topic, so
an operator has to decide.
"""

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 60.0
LEAST_RECORDS: Final = 1_000
"""With fewer records in the window the limit does not apply: a few bad ones are not a faulty deploy."""


class DeadLetterLimit:
    """The share of dead letters among a source partition's records of the last minute.

    ``share`` is the greatest share allowed; 1 allows everything.
    """

    def __init__(
        self, share: float, least_records: int = LEAST_RECORDS, window_seconds: float = WINDOW_SECONDS
    ) -> None:
        self.share, self._least, self._window = share, least_records, window_seconds
        self._polls: deque[tuple[float, int, int]] = deque()
        self.records = self.dead_letters = 0

    def add(self, now_seconds: float, records: int, dead_letters: int) -> bool:
        """Add the counts of one poll; return True if the stage has to stop."""
        self._polls.append((now_seconds, records, dead_letters))
        self.records += records
        self.dead_letters += dead_letters
        while self._polls[0][0] < now_seconds - self._window:
            _, old_records, old_dead = self._polls.popleft()
            self.records -= old_records
            self.dead_letters -= old_dead
        return self.records >= self._least and self.dead_letters > self.share * self.records
