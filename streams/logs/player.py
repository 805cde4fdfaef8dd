"""Play a log back: which records, in which order, how often. `streams.kafka.publish` sends them.

Values, keys and partitions stay as they are; the order within a partition is the log's. A header carries the
original broker time, so that the stages judge a replay as they judged the original.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Final

from msgspec import Struct

from streams.model.record import Record
from streams.model.topics import LOOKUPS, RULES, SUBMISSIONS

INPUT_TOPICS: Final = (SUBMISSIONS, LOOKUPS, RULES)
"""The topics played by default: the stages produce the results again."""


class Selection(Struct, frozen=True):
    """Which records of a log to play: `[since_ms, until_ms)` by broker time, then `skip`, then `limit`.

    Rules are always played, because they judge later records.
    """

    topics: tuple[str, ...] = INPUT_TOPICS
    since_ms: int | None = None
    until_ms: int | None = None
    skip: int = 0
    limit: int | None = None

    def of(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the selected records."""
        chosen = (
            record
            for record in records
            if record.topic in self.topics and (record.topic == RULES or self._in_time(record.logged_at_ms))
        )
        stop = None if self.limit is None else self.skip + self.limit
        return islice(chosen, self.skip, stop)

    def _in_time(self, logged_at_ms: int) -> bool:
        from_ms = logged_at_ms if self.since_ms is None else self.since_ms
        return from_ms <= logged_at_ms and (self.until_ms is None or logged_at_ms < self.until_ms)


def looped(open_log: Callable[[], Iterable[Record]], times: int) -> Iterator[Record]:
    """Yield a log `times` times, endlessly if 0.

    A stage that still remembers the ids of one round counts the next round as duplicates. Broker times
    continue from round to round, so that pacing never jumps back.
    """
    shift_ms = 0
    for _ in count() if times == 0 else range(times):
        first_ms = last_ms = None
        for record in open_log():
            if first_ms is None:
                first_ms = last_ms = record.logged_at_ms
            last_ms = max(last_ms or 0, record.logged_at_ms)
            yield record._replace(logged_at_ms=record.logged_at_ms + shift_ms) if shift_ms else record
        if first_ms is None or last_ms is None:
            return
        shift_ms += last_ms - first_ms + 1
