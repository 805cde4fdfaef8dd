"""Detects that a partition is no longer the log that was read: its end was cut off and grew again.

Offsets alone are not enough. A log that loses its end (an unclean election, a recreated topic) and grows past
the reader's position looks unchanged to a returning reader. Broker times reveal it: no record before the
position can have a later time than everything that was read. Brokers' clocks differ, so times may go back at
a change of leader; that is why the greatest time read is compared, not the last.

A log is never cut while it is being read: its leader, or the reader, was away for longer than
`QUIET_SECONDS`. So it is enough to ask the broker when records arrive again after a silence.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from aiokafka import TopicPartition

from streams.kafka.ports import Batches, Bounds, Consumer

QUIET_SECONDS: Final = 1.0
LOG_APPEND_TIME: Final = 1
"""The timestamp type of a time set by the broker."""
UNKNOWN_MS: Final = -1
_timestamp: Final = attrgetter("timestamp")


class Silences:
    """When each partition was last read."""

    def __init__(self) -> None:
        self._heard_at: dict[TopicPartition, float] = {}

    def ended(self, batches: Batches, now_seconds: float) -> list[TopicPartition]:
        """Return the partitions of a poll that deliver records again after a silence."""
        return [one for one in batches if now_seconds - self._heard_at.get(one, now_seconds) >= QUIET_SECONDS]

    def note(self, batches: Batches, now_seconds: float) -> None:
        """Note that the records of a poll were processed."""
        self._heard_at |= dict.fromkeys(batches, now_seconds)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that will be read from another position."""
        for partition in partitions:
            self._heard_at.pop(partition, None)


def latest_ms(records: Sequence[Any], so_far_ms: int = UNKNOWN_MS) -> int:
    """Return the latest broker time of records and of ``so_far_ms``; -1 if the senders set the times."""
    if not records:
        return so_far_ms
    if records[-1].timestamp_type != LOG_APPEND_TIME:
        return UNKNOWN_MS
    latest: int = max(map(_timestamp, records))
    return max(so_far_ms, latest)


async def first_new(consumer: Consumer, partition: TopicPartition, logged_ms: int, bounds: Bounds) -> int:
    """Return the first offset logged after ``logged_ms``, or the end offset if there is none."""
    found = await consumer.offset_after(partition, logged_ms)
    return bounds.end if found is None else found


async def is_other_log(
    consumer: Consumer, partition: TopicPartition, position: int, logged_ms: int, bounds: Bounds
) -> bool:
    """Return whether a partition is not the log that was read up to a position.

    It ends before the position, or something before the position was logged after all that was read.
    """
    if position > bounds.end:
        return True
    return logged_ms >= 0 and await first_new(consumer, partition, logged_ms, bounds) < position
