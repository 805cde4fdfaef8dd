"""The interface between a stage and the loop that runs it: a worker that turns records into output."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka import TopicPartition
from msgspec import Struct

from streams.kafka.ports import Batches, Bounds, Commit


class StageStoppedError(Exception):
    """The stage stopped itself; the message says why and what to do."""


class RetryLaterError(Exception):
    """Something a worker needs is temporarily unavailable; it must process the same records again later."""


class Place(Struct, frozen=True):
    """An assigned partition: its offsets, and the group's commit for it."""

    bounds: Bounds
    commit: Commit | None


class Worker(Protocol):
    """How a stage handles records. The loop never calls two methods at the same time."""

    topics: Sequence[str]
    commit_first: bool
    """Whether `progress` must be committed before `work` is called again."""

    async def assign(
        self, places: Mapping[TopicPartition, Place], commits: Mapping[TopicPartition, Commit]
    ) -> None:
        """Start with new partitions. ``commits`` holds all commits of the group."""

    async def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget partitions; their progress was committed if that was possible."""

    async def work(self, batches: Batches) -> None:
        """Process the records of a poll and put the output into the outbox.

        Raises `RetryLaterError` to get the same records again later.
        """

    async def head_gone(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Skip past records that were deleted before they could be read."""

    async def began_again(self, partition: TopicPartition, bounds: Bounds) -> None:
        """Continue with a partition whose log was replaced: it no longer holds the records read before."""

    async def rest(self) -> None:
        """Do what is due between two polls."""

    def next_offset(self, partition: TopicPartition) -> int:
        """Return the offset of an assigned partition's next record to process."""

    def logged_ms(self, partition: TopicPartition) -> int:
        """Return the latest broker time of the records before `next_offset`, -1 if unknown."""

    def held(self) -> set[TopicPartition]:
        """Return the partitions to pause for now."""

    def progress(self) -> Mapping[TopicPartition, Commit]:
        """Return what to commit once everything in the outbox is acknowledged."""

    def committed(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Note what was committed."""
