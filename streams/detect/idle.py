"""Finds the source partitions to which nobody writes: the clock must not wait for them for ever.

An observer sends a heartbeat a second into every partition. A partition that gets no more records, and that
`measure` has read to its end, is idle: its observers are gone or never wrote there. While catching up, a
partition may be far behind the others and still have records to read; the clock waits for that one.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from msgspec import Struct

from streams.kafka.read import open_reader
from streams.kafka.worker import StageStoppedError
from streams.model.border import UNREADABLE

EMPTY_SECONDS: Final = 5.0
"""How long a partition that never had a record holds up the clock."""
SILENT_SECONDS: Final = 60.0
"""How long a partition holds up the clock after all its records have been measured."""

UNSHARED_SECONDS: Final = 60.0


class IdleSources:
    """Watches the ends of source partitions; ``group`` is the consumer group of `measure`."""

    def __init__(self, connection: Mapping[str, Any], topic: str, group: str) -> None:
        self._connection, self._topic, self._group = connection, topic, group
        self._since: dict[int, tuple[int, float]] = {}

    async def among(self, partitions: Iterable[int]) -> list[int]:
        """Return which of the partitions are idle. Raises aiokafka's `KafkaError`."""
        now = asyncio.get_running_loop().time()
        sources = [TopicPartition(self._topic, one) for one in partitions]
        async with open_reader(self._connection) as reader:
            ends = await reader.end_offsets(sources)
        silent = []
        for source, end in ends.items():
            known, since = self._since.get(source.partition, (-1, now))
            if known != end:
                self._since[source.partition] = end, now
            elif now - since >= (EMPTY_SECONDS if end == 0 else SILENT_SECONDS):
                silent.append((source, end))
        if not any(end for _, end in silent):
            return [source.partition for source, _ in silent]
        read = await self._read_until()
        return [source.partition for source, end in silent if end == 0 or read.get(source, -1) >= end]

    async def _read_until(self) -> dict[TopicPartition, int]:
        """Return how far `measure` has read each partition, including what it has not measured yet."""
        admin = AIOKafkaAdminClient(**self._connection)
        try:
            await admin.start()
            commits = await admin.list_consumer_group_offsets(self._group)
        finally:
            await admin.close()
        return {source: _told_until(commit.metadata or "") for source, commit in commits.items()}


class _Progress(Struct):
    """The part of what `measure` commits that is needed here."""

    told_until: int = -1


def _told_until(metadata: str) -> int:
    try:
        return msgspec.json.decode(metadata, type=_Progress).told_until
    except UNREADABLE:
        return -1


class Share:
    """Notices when a worker has no partition although there are enough for every member of its group.

    Faust leaves out a topic that does not exist at a rebalance, and does not look again once it is made.
    """

    def __init__(self, connection: Mapping[str, Any], group: str, topic: str) -> None:
        self._connection, self._group, self._topic = connection, group, topic
        self._had_at: float | None = None

    async def check(self, assigned: Iterable[TopicPartition]) -> None:
        """Raise `StageStoppedError` after `UNSHARED_SECONDS` without a partition among ``assigned``."""
        now = asyncio.get_running_loop().time()
        if self._had_at is None or any(one.topic == self._topic for one in assigned):
            self._had_at = now
        if now - self._had_at < UNSHARED_SECONDS:
            return
        self._had_at = now
        admin = AIOKafkaAdminClient(**self._connection)
        try:
            await admin.start()
            (answer,) = await admin.describe_consumer_groups([self._group])
            (described,) = await admin.describe_topics([self._topic])
        finally:
            await admin.close()
        members = answer.groups[0][5]
        if 0 < len(members) <= len(described["partitions"]):
            raise StageStoppedError(
                f"the group gave out no partition of {self._topic}: the worker has to begin again"
            )
