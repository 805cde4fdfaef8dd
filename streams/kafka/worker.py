"""What a stage is to the loop that runs it: a worker that turns records into what it has to say."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka import TopicPartition
from msgspec import Struct

from streams.kafka.ports import Batches, Bounds, Commit


class StageStoppedError(Exception):
    """The stage stopped itself; the message says why and what to do."""


class RetryLaterError(Exception):
    """What a worker needs is away for a while; the same records have to be worked on again later."""


class Place(Struct, frozen=True):
    """An assigned partition: what it holds, and what the group has committed for it."""

    bounds: Bounds
    commit: Commit | None


class Worker(Protocol):
    """What a stage does with records. The loop never calls two methods at the same time."""

    topics: Sequence[str]
    commit_first: bool
    """Whether `progress` has to be committed before `work` is called again."""

    async def assign(
        self, places: Mapping[TopicPartition, Place], commits: Mapping[TopicPartition, Commit]
    ) -> None:
        """Begin with new partitions. ``commits`` are all those of the group."""

    async def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget partitions; their progress has been committed where that was possible."""

    async def work(self, batches: Batches) -> None:
        """Take in the records of a poll and hand what they make known to the outbox.

        Raises `RetryLaterError` to be given the same records again.
        """

    async def head_gone(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Go on with a partition whose next records were deleted before they were read."""

    async def began_again(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Go on with a partition that does not hold what was read of it any more: it is another log."""

    async def rest(self) -> None:
        """Do what is due between two polls."""

    def next_offset(self, partition: TopicPartition) -> int:
        """Return the offset of the next record to work on, of an assigned partition."""

    def logged_ms(self, partition: TopicPartition) -> int:
        """Return the greatest broker's time of the records before `next_offset`, -1 where not known."""

    def held(self) -> set[TopicPartition]:
        """Return the partitions that must not be read for now."""

    def progress(self) -> Mapping[TopicPartition, Commit]:
        """Return what to commit once everything handed to the outbox so far is acknowledged."""

    def committed(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Note what was committed."""
