"""Occurrences that any stage may emit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from streams.telemetry.contract import (
    CONSUMER_LAG,
    DEAD_LETTERS,
    LOGS_BEGAN_AGAIN,
    PARTITIONS_ASSIGNED,
    RECORDS,
    RECORDS_LOST,
    STAGE_PROGRESS_AGE,
    STAGE_READY,
    WATERMARK_LAG,
)
from streams.telemetry.health import Health
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
class StageStarted(Quiet):
    """A stage is ready to work; ``settings`` are those that affect it (no secrets)."""

    name: ClassVar[str] = "stage_started"
    settings: Mapping[str, object] = field(default_factory=dict)

    def fields(self) -> Mapping[str, object]:
        """Return the settings."""
        return self.settings


@dataclass(frozen=True, slots=True)
class StageStopped(Quiet):
    """A stage ended normally."""

    name: ClassVar[str] = "stage_stopped"
    reason: str

    def fields(self) -> Mapping[str, object]:
        """Return the reason."""
        return {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class StageFailed(Quiet):
    """A stage ends because of an error, whose text says what to do about it.

    ``exception`` is the traceback of an unexpected error.
    """

    name: ClassVar[str] = "stage_failed"
    level: ClassVar[Level] = "error"
    error: str
    exception: str = ""

    def fields(self) -> Mapping[str, object]:
        """Return the error, and its traceback if there is one."""
        return {"error": self.error} | ({"exception": self.exception} if self.exception else {})


@dataclass(frozen=True, slots=True)
class StageAdvised(Quiet):
    """A warning about the way a stage was started."""

    name: ClassVar[str] = "stage_advised"
    level: ClassVar[Level] = "warning"
    advice: str

    def fields(self) -> Mapping[str, object]:
        """Return the advice."""
        return {"advice": self.advice}


@dataclass(frozen=True, slots=True)
class StageReady:
    """Whether the stage can work: it is connected and has its partitions."""

    name: ClassVar[str] = "stage_ready"
    level: ClassVar[Level] = "debug"
    ready: bool

    def fields(self) -> Mapping[str, object]:
        """Return whether it is ready."""
        return {"ready": self.ready}

    def move(self, store: Store, stage: str, /) -> None:
        """Set the gauge and the answer of `/readyz`."""
        store.ledger(Health).ready = self.ready
        store.set(STAGE_READY, (stage,), int(self.ready))


@dataclass(frozen=True, slots=True)
class StageMoved:
    """The stage processed records, or has none to process."""

    name: ClassVar[str] = "stage_moved"
    level: ClassVar[Level] = "debug"

    def fields(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}

    def move(self, store: Store, stage: str, /) -> None:
        """Reset the age of its progress, and the answer of `/healthz`."""
        store.ledger(Health).moved()
        store.set(STAGE_PROGRESS_AGE, (stage,), store.now_ms())


@dataclass(frozen=True, slots=True)
class BrokerAway(Quiet):
    """The broker cannot be reached; the stage waits for it. Reported once until it is back."""

    name: ClassVar[str] = "broker_away"
    level: ClassVar[Level] = "warning"
    error: str

    def fields(self) -> Mapping[str, object]:
        """Return the client's error."""
        return {"error": self.error}

    def is_news(self, store: Store, /) -> bool:
        """Return whether this was not reported yet."""
        health = store.ledger(Health)
        told, health.broker_away = health.broker_away, True
        return not told


@dataclass(frozen=True, slots=True)
class BrokerBack(Quiet):
    """The broker answers again; the stage continues from its last commit."""

    name: ClassVar[str] = "broker_back"

    def fields(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}

    def is_news(self, store: Store, /) -> bool:
        """Return whether the broker was reported as away."""
        health = store.ledger(Health)
        told, health.broker_away = health.broker_away, False
        return told


@dataclass(frozen=True, slots=True)
class StageBlocked(Quiet):
    """The stage cannot process its records now and tries again; nothing is committed meanwhile."""

    name: ClassVar[str] = "stage_blocked"
    level: ClassVar[Level] = "warning"
    reason: str

    def fields(self) -> Mapping[str, object]:
        """Return what it waits for."""
        return {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class StageUnblocked(Quiet):
    """What the stage waited for is back."""

    name: ClassVar[str] = "stage_unblocked"

    def fields(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}


@dataclass(frozen=True, slots=True)
class StageStalled(Quiet):
    """The stage made no progress for a long time although there are records to read, so it ends."""

    name: ClassVar[str] = "stage_stalled"
    level: ClassVar[Level] = "error"
    idle_seconds: float

    def fields(self) -> Mapping[str, object]:
        """Return for how long."""
        return {"idle_seconds": round(self.idle_seconds, 1)}


@dataclass(frozen=True, slots=True)
class LastCommitFailed(Quiet):
    """The last commit before stopping failed: its records will be read again, and nothing is lost."""

    name: ClassVar[str] = "last_commit_failed"
    level: ClassVar[Level] = "warning"
    error: str

    def fields(self) -> Mapping[str, object]:
        """Return the error."""
        return {"error": self.error}


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
class AddressServed(Quiet):
    """This process, or a server it started, answers at an address."""

    name: ClassVar[str] = "address_served"
    what: str
    address: str

    def fields(self) -> Mapping[str, object]:
        """Return what answers, and where."""
        return {"what": self.what, "address": self.address}


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
