"""Whether a partition is still the log that was read: noticed where its end was cut off and has grown since.

Offsets alone do not tell. A log that loses its end (an unclean election, a topic made again) and grows past
the reader's position looks whole to a reader that comes back to it. The broker's times tell: no record before
the position may have been logged later than everything that was read. Brokers' clocks differ, so times may
fall at a change of leader. That is why the greatest time read counts, and not the last.

No log is cut while it is being read: its leader was away for longer than `QUIET_SECONDS`, or the reader was.
So it is enough to ask the broker when a partition speaks again after a silence.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from aiokafka import TopicPartition

from streams.kafka.ports import Batches, Bounds, Consumer

QUIET_SECONDS: Final = 1.0
LOG_APPEND_TIME: Final = 1
"""The type of a timestamp that the broker has set."""
UNKNOWN_MS: Final = -1
_timestamp: Final = attrgetter("timestamp")


class Silences:
    """When something was read last of each partition."""

    def __init__(self) -> None:
        self._heard_at: dict[TopicPartition, float] = {}

    def ended(self, batches: Batches, now_seconds: float) -> list[TopicPartition]:
        """Return the partitions of a poll that speak again after a silence."""
        return [one for one in batches if now_seconds - self._heard_at.get(one, now_seconds) >= QUIET_SECONDS]

    def note(self, batches: Batches, now_seconds: float) -> None:
        """Note that the records of a poll were worked on."""
        self._heard_at |= dict.fromkeys(batches, now_seconds)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions whose reading begins elsewhere."""
        for partition in partitions:
            self._heard_at.pop(partition, None)


def latest_ms(records: Sequence[Any], so_far_ms: int = UNKNOWN_MS) -> int:
    """Return the greatest broker's time of some records and before, -1 where the senders set the times."""
    if not records:
        return so_far_ms
    if records[-1].timestamp_type != LOG_APPEND_TIME:
        return UNKNOWN_MS
    latest: int = max(map(_timestamp, records))
    return max(so_far_ms, latest)


async def first_new(consumer: Consumer, partition: TopicPartition, logged_ms: int, bounds: Bounds) -> int:
    """Return the first offset of what was logged after ``logged_ms``; the end where there is nothing."""
    found = await consumer.offset_after(partition, logged_ms)
    return bounds.end if found is None else found
