"""One record of one source partition, wherever it was read: Kafka, a log file or a test."""

from collections.abc import Iterable
from typing import NamedTuple

from streams.model.digest import Entry

ByPartition = dict[tuple[str, int], list[Entry]]
"""Records by topic and partition, each partition's in order."""


class Record(NamedTuple):
    """A record as it lies in the log; ``logged_at_ms`` is the broker's time, or the original's on replay."""

    topic: str
    partition: int
    offset: int
    logged_at_ms: int
    key: bytes | None
    value: bytes


def by_partition(records: Iterable[Record]) -> ByPartition:
    """Return records by topic and partition.

    >>> by_partition([Record("t", 0, 7, 1, None, b"a"), Record("t", 1, 3, 1, None, b"b")])
    {('t', 0): [(7, 1, None, b'a')], ('t', 1): [(3, 1, None, b'b')]}
    """
    partitions: ByPartition = {}
    for record in records:
        partitions.setdefault(record[:2], []).append(record[2:])
    return partitions
