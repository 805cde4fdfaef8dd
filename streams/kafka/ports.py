"""What a stage needs from a broker: a consumer in a group and a producer, as two small protocols.

`streams.kafka.clients` implements them with aiokafka. The simulation in `tests/simulation` implements them in
memory, which is why a stage sees nothing else of Kafka.
"""

from asyncio import Future
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition

Batches = Mapping[TopicPartition, Sequence[Any]]
"""Records of one poll by partition, in offset order. A record has the attributes
``offset``, ``timestamp`` (the broker's, in milliseconds), ``key``, ``value`` and ``headers``."""


class BrokerAwayError(Exception):
    """The broker cannot be reached, or did not answer in time. Trying again later may help."""


class BrokerRefusedError(Exception):
    """The broker refuses a request: credentials, rights or a record. Trying again does not help."""


class PartitionsMovedError(Exception):
    """The partitions now belong to another member of the group: this process may not commit for them."""


class OutOfRangeError(Exception):
    """A position is outside the offsets that a partition holds."""

    def __init__(self, positions: Mapping[TopicPartition, int]) -> None:
        super().__init__(", ".join(f"{tp.topic}-{tp.partition} at {at}" for tp, at in positions.items()))
        self.positions = dict(positions)


class Commit(NamedTuple):
    """A committed offset and the text committed with it."""

    offset: int
    metadata: str = ""


class Bounds(NamedTuple):
    """The first offset that a partition holds, and the offset after its last record."""

    beginning: int
    end: int


class Rebalances(Protocol):
    """Is notified when partitions are assigned or revoked. Both calls happen while the group waits."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> Awaitable[None]:
        """Finish with partitions before another member gets them."""

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> Awaitable[None]:
        """Start with partitions; each must be given a position with `Consumer.seek`."""


class Consumer(Protocol):
    """A member of a consumer group that commits manually.

    Every method that talks to the broker may raise `BrokerAwayError` or `BrokerRefusedError`.
    """

    async def start(self) -> None:
        """Connect. May be called again after a failure."""

    async def stop(self) -> None:
        """Leave the group and disconnect; commits nothing."""

    def subscribe(self, topics: Sequence[str], listener: Rebalances) -> None:
        """Join the group for some topics."""

    async def poll(self, timeout_ms: int, max_records: int) -> Batches:
        """Return the next records; raise `OutOfRangeError` if a position is no longer available."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from an offset on. Does nothing if the partition is no longer assigned."""

    def hold(self, partitions: set[TopicPartition]) -> None:
        """Read all assigned partitions but these."""

    def end_seen(self, partition: TopicPartition) -> int | None:
        """Return the end of a partition as the last poll saw it, None before the first."""

    async def commit(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Commit for assigned partitions; raise `PartitionsMovedError` if they are no longer assigned."""

    async def commits(self) -> Mapping[TopicPartition, Commit]:
        """Return everything the group has committed."""

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        """Return the first and end offsets of partitions of any topic."""

    async def offset_after(self, partition: TopicPartition, logged_ms: int) -> int | None:
        """Return the first offset whose broker time is later than ``logged_ms``, None if there is none."""

    async def read(self, partition: TopicPartition, first: int, end: int) -> list[Any]:
        """Return the records ``[first, end)`` of a partition of any topic."""


class Producer(Protocol):
    """A producer whose records are acknowledged one by one, in the order of sending within a partition."""

    async def start(self) -> None:
        """Connect. May be called again after a failure."""

    async def stop(self) -> None:
        """Disconnect, after everything sent was acknowledged or abandoned."""

    async def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has."""

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None, partition: int | None
    ) -> "Future[int]":
        """Send a record; the future gives its offset once the broker has acknowledged it.

        The future raises `BrokerAwayError` or `BrokerRefusedError`, and so may the call itself.
        """
