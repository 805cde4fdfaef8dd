"""Occurrences that any stage may emit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from streams.telemetry.contract import (
    CONSUMER_LAG,
    DEAD_LETTERS,
    LOGS_BEGAN_AGAIN,
    PARTITIONS_ASSIGNED,
    RECORDS,
    RECORDS_LOST,
    WATERMARK_LAG,
)
from streams.telemetry.hub import Level
from streams.telemetry.store import Store

TopicPartition = tuple[str, int]


def partition_label(topic: str, partition: int) -> str:
    """Return the label value of a source partition, as Kafka's own tools write it.

    >>> partition_label("npd.lookups", 3)
    'npd.lookups-3'
    """
    return f"{topic}-{partition}"


class Quiet:
    """An occurrence without metrics of its own; it is still counted by name."""

    level: ClassVar[Level] = "info"

    def move(self, _store: Store, _stage: str, /) -> None:
        """Change no metric."""


@dataclass(frozen=True, slots=True)
class RecordsLost:
    """The records ``[first_offset, next_offset)`` were deleted from a source before they were read."""

    name: ClassVar[str] = "records_lost"
    level: ClassVar[Level] = "error"
    topic: str
    partition: int
    first_offset: int
    next_offset: int

    def fields(self) -> Mapping[str, object]:
        """Return the range."""
        return {
            "source": partition_label(self.topic, self.partition),
            "first_offset": self.first_offset,
            "next_offset": self.next_offset,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the records."""
        lost = max(self.next_offset - self.first_offset, 0)
        store.add(RECORDS_LOST, (stage, partition_label(self.topic, self.partition)), lost)


@dataclass(frozen=True, slots=True)
class LogBeganAgain:
    """A source partition no longer holds the records read before: it was recreated or cut off."""

    name: ClassVar[str] = "log_began_again"
    level: ClassVar[Level] = "error"
    topic: str
    partition: int
    read_until: int
    next_offset: int

    def fields(self) -> Mapping[str, object]:
        """Return how far it had been read, and where reading continues."""
        return {
            "source": partition_label(self.topic, self.partition),
            "read_until": self.read_until,
            "next_offset": self.next_offset,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count it."""
        store.add(LOGS_BEGAN_AGAIN, (stage, partition_label(self.topic, self.partition)))


@dataclass(frozen=True, slots=True)
class _PartitionsMoved:
    """The source partitions that moved; ``total`` is how many this process now has."""

    level: ClassVar[Level] = "info"
    partitions: tuple[TopicPartition, ...]
    total: int

    def fields(self) -> Mapping[str, object]:
        """Return the partitions."""
        return {"partitions": [partition_label(*one) for one in self.partitions], "total": self.total}

    def move(self, store: Store, stage: str, /) -> None:
        """Set the number of partitions."""
        store.set(PARTITIONS_ASSIGNED, (stage,), self.total)


@dataclass(frozen=True, slots=True)
class PartitionsAssigned(_PartitionsMoved):
    """These source partitions are now read by this process."""

    name: ClassVar[str] = "partitions_assigned"


@dataclass(frozen=True, slots=True)
class PartitionsRevoked(_PartitionsMoved):
    """These source partitions are now read elsewhere."""

    name: ClassVar[str] = "partitions_revoked"

    def move(self, store: Store, stage: str, /) -> None:
        """Set the number of partitions and drop their series: their next reader exposes them."""
        _PartitionsMoved.move(self, store, stage)
        for one in self.partitions:
            labels = (stage, partition_label(*one))
            store.forget(WATERMARK_LAG, labels)
            store.forget(CONSUMER_LAG, labels)


@dataclass(frozen=True, slots=True)
class ConsumerLag:
    """How many records of each assigned partition are written but not yet read."""

    name: ClassVar[str] = "consumer_lag"
    level: ClassVar[Level] = "debug"
    records: Mapping[TopicPartition, int]

    def fields(self) -> Mapping[str, object]:
        """Return the lag by partition."""
        return {"records": {partition_label(*one): lag for one, lag in self.records.items()}}

    def move(self, store: Store, stage: str, /) -> None:
        """Set the gauges."""
        for one, lag in self.records.items():
            store.set(CONSUMER_LAG, (stage, partition_label(*one)), lag)


@dataclass(frozen=True, slots=True)
class RecordsRead:
    """``count`` records were read with the same ``result``, one of the contract's results."""

    name: ClassVar[str] = "records_read"
    level: ClassVar[Level] = "debug"
    result: str
    count: int

    def fields(self) -> Mapping[str, object]:
        """Return the result and the count."""
        return {"result": self.result, "count": self.count}

    def move(self, store: Store, stage: str, /) -> None:
        """Count the records."""
        store.add(RECORDS, (stage, self.result), self.count)


@dataclass(frozen=True, slots=True)
class RecordRejected:
    """A record that a stage after `measure` cannot use went to the dead-letter topic."""

    name: ClassVar[str] = "record_rejected"
    level: ClassVar[Level] = "error"
    reason: str
    topic: str
    partition: int
    offset: int
    detail: str = ""

    def fields(self) -> Mapping[str, object]:
        """Return the record's place and what is wrong with it."""
        return {
            "reason": self.reason,
            "source": partition_label(self.topic, self.partition),
            "offset": self.offset,
            "detail": self.detail,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the record among those read, and by reason."""
        store.add(RECORDS, (stage, "dead_letter"))
        store.add(DEAD_LETTERS, (stage, self.reason))
