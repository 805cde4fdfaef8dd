"""One record of one source partition, wherever it was read: Kafka, a log file or a test."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from streams.model.digest import Entry

LOGGED_AT_HEADER: Final = "portallink-logged-at-ms"
"""The Kafka header in which a replayed record carries its original broker time, as decimal text."""
TIME_DIGITS: Final = 15

ByPartition = dict[tuple[str, int], list[Entry]]
"""Records by topic and partition, each partition's in order."""


class Record(NamedTuple):
    """A record as stored in the log; ``logged_at_ms`` is the broker's time, or the original's on replay."""

    topic: str
    partition: int
    offset: int
    logged_at_ms: int
    key: bytes | None
    value: bytes


def original_ms(headers: Iterable[tuple[str, bytes | None]], timestamp_ms: int) -> int:
    """Return the broker time to use: a replayed record's original one, otherwise the record's own.

    The header can only make a record older. If it could set a later time, a sender could choose how far ahead
    of the broker's clock an event may be.

    >>> original_ms([(LOGGED_AT_HEADER, b"17")], 99), original_ms([], 99)
    (17, 99)
    >>> original_ms([(LOGGED_AT_HEADER, b"100")], 99), original_ms([(LOGGED_AT_HEADER, None)], 99)
    (99, 99)
    """
    for name, value in headers:
        if name == LOGGED_AT_HEADER and value is not None and len(value) <= TIME_DIGITS and value.isdigit():
            return min(int(value), timestamp_ms)
    return timestamp_ms


def by_partition(records: Iterable[Record]) -> ByPartition:
    """Return records by topic and partition.

    >>> by_partition([Record("t", 0, 7, 1, None, b"a"), Record("t", 1, 3, 1, None, b"b")])
    {('t', 0): [(7, 1, None, b'a')], ('t', 1): [(3, 1, None, b'b')]}
    """
    partitions: ByPartition = {}
    for record in records:
        partitions.setdefault(record[:2], []).append(record[2:])
    return partitions
