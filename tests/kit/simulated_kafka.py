"""Kafka in memory, for stages that run on virtual time: it delays, fails, forgets and rebalances by a seed.

A `Process` is what a real one is: it can be killed at any await of its ports, stopped for longer than its
session, or asked to end. After it was killed its ports never answer again. Its records may arrive without
their acknowledgement, and its group gives its partitions to others once its session is over.
"""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from aiokafka import TopicPartition

from streams.kafka.ports import (
    Batches,
    Bounds,
    BrokerAwayError,
    BrokerRefusedError,
    Commit,
    OutOfRangeError,
    PartitionsMovedError,
    Rebalances,
)

SESSION_SECONDS = 5.0
SEND_TIMEOUT_SECONDS = 20.0


class Message(NamedTuple):
    """A record as a consumer gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    partition: int = 0
    headers: tuple = ()
    timestamp_type: int = 1


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.beginning = self.end = 0
        self.records: list[Message] = []
        self.offsets: list[int] = []

    def append(self, key: bytes | None, value: bytes, timestamp: int, partition: int = 0) -> int:
        """Append a record; return its offset."""
        offset = self.end
        self.records.append(Message(offset, timestamp, key, value, partition))
        self.offsets.append(offset)
        self.end += 1
        return offset

    def read(self, first: int, most: int) -> list[Message]:
        """Return records from an offset on."""
        at = bisect_left(self.offsets, first)
        return self.records[at : at + most]

    def delete_before(self, offset: int) -> None:
        """Forget the head."""
        at = bisect_left(self.offsets, offset)
        del self.records[:at], self.offsets[:at]
        self.beginning = max(self.beginning, offset)

    def truncate(self, end: int) -> None:
        """Lose the tail, as an unclean election does."""
        at = bisect_left(self.offsets, end)
        del self.records[at:], self.offsets[at:]
        self.end = max(end, self.beginning)


class Broker:
    """Topics, groups, and whether it can be reached."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.logs: dict[TopicPartition, Log] = {}
        self.groups: dict[str, Group] = defaultdict(lambda: Group(self))
        self.away = False
        self.clock_ms = 0
        self.lost_acknowledgements = 0.0
        self.refused_sends = 0.0
        self.largest_record = 1 << 30
        self.over = False
        self.clocks_differ = False
        """Whether another leader's clock may be behind the one before."""
        self.on_commit: Callable[[TopicPartition, Commit], None] | None = None

    def make(self, topic: str, partitions: int) -> None:
        """Make a topic, or more partitions of it."""
        for partition in range(partitions):
            self.logs.setdefault(TopicPartition(topic, partition), Log())

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return a topic's partitions."""
        return sorted(one for one in self.logs if one.topic == topic)

    def append(self, partition: TopicPartition, key: bytes | None, value: bytes) -> int:
        """Append a record at the broker's time."""
        self.clock_ms += self.rng.randrange(1, 4)
        if self.clocks_differ and self.rng.random() < 0.02:
            self.clock_ms -= self.rng.randrange(50)
        return self.logs[partition].append(key, value, self.clock_ms, partition.partition)


class Group:
    """A consumer group: eager rebalances, commits fenced by generation."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.commits: dict[TopicPartition, Commit] = {}
        self.members: list[SimulatedConsumer] = []
        self.generation = 0
        self.changed = asyncio.Event()

    def rebalance(self) -> None:
        """Begin a new generation: every member gives up what it has, and gets a new share."""
        self.generation += 1
        self.changed.set()
        self.changed = asyncio.Event()

    def share_of(self, member: "SimulatedConsumer") -> list[TopicPartition]:
        """Return the partitions of a member."""
        every = [one for topic in member.topics for one in self.broker.partitions(topic)]
        mine = self.members.index(member)
        return [one for number, one in enumerate(every) if number % len(self.members) == mine]


class Process:
    """One process: every await of its ports comes by here."""

    def __init__(self, broker: Broker, rng: Random) -> None:
        self.broker, self.rng = broker, rng
        self.alive, self.steps, self.dies_at = True, 0, -1
        self.downtime = 0.0
        self.running = asyncio.Event()
        self.running.set()
        self.died = asyncio.get_running_loop().create_future()

    def die(self) -> None:
        """End as by kill -9."""
        self.alive = False
        if not self.died.done():
            self.died.set_result(None)

    async def step(self, least: float = 0.0, *, needs_broker: bool = True) -> None:
        """Take some time; die here if this is the step; fail while the broker is away."""
        if self.broker.over:
            raise BrokerAwayError("the simulation is over")
        self.steps += 1
        if self.steps == self.dies_at:
            self.die()
        await asyncio.sleep(least + self.rng.random() ** 3 * 0.05)
        while not (self.alive and self.running.is_set()):
            if not self.alive:
                await asyncio.get_running_loop().create_future()
            await self.running.wait()
        if needs_broker and self.broker.away:
            await asyncio.sleep(self.rng.random() * 2)
            if self.broker.away:
                raise BrokerAwayError("the broker is away")


class SimulatedConsumer:
    """A `streams.kafka.ports.Consumer`."""

    def __init__(self, process: Process, group: str) -> None:
        self._process, self._broker = process, process.broker
        self._group = self._broker.groups[group]
        self.topics: Sequence[str] = ()
        self._listener: Rebalances | None = None
        self._positions: dict[TopicPartition, int | None] = {}
        self._held: set[TopicPartition] = set()
        self._generation = self._joined = -1
        self._fenced = True
        self._ends: dict[TopicPartition, int] = {}
        self._settled = asyncio.Event()
        self._coordinating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect."""
        await self._process.step()

    async def stop(self) -> None:
        """Disconnect."""
        if self._coordinating is not None:
            self._coordinating.cancel()
        if self in self._group.members and self._process.alive:
            self._group.members.remove(self)
            self._group.rebalance()

    def subscribe(self, topics: Sequence[str], listener: Rebalances) -> None:
        """Join the group."""
        self.topics, self._listener = topics, listener
        self._coordinating = asyncio.ensure_future(self._coordinate())

    async def _coordinate(self) -> None:
        """Take part in the group; leave it when the process gives no sign for a whole session."""
        group = self._group
        while True:
            if self not in group.members:
                await self._process.step(needs_broker=False)
                group.members.append(self)
                self._expiring = asyncio.ensure_future(self._expire())
                group.rebalance()
            if self._generation != group.generation:
                self._settled.clear()
                await self._process.step(needs_broker=False)
                await self._listener.on_partitions_revoked(list(self._positions))
                self._positions = {}
                joined = self._joined = group.generation
                while joined == group.generation and any(one._joined != joined for one in group.members):
                    await self._process.step(0.1, needs_broker=False)
                if self not in group.members or joined != group.generation:
                    continue
                self._generation = group.generation
                share = group.share_of(self)
                self._positions = dict.fromkeys(share)
                self._fenced = False
                await self._listener.on_partitions_assigned(share)
                self._settled.set()
            else:
                changed = asyncio.ensure_future(group.changed.wait())
                await asyncio.wait({changed}, timeout=2.0)
                changed.cancel()
                await self._process.step(needs_broker=False)

    async def _expire(self) -> None:
        """Take the member out of the group when its process is dead or stopped for longer than a session."""
        silent = 0.0
        while self in self._group.members and not self._broker.over:
            await asyncio.sleep(1.0)
            gone = not self._process.alive or not self._process.running.is_set()
            silent = silent + 1.0 if gone else 0.0
            if silent > SESSION_SECONDS and self in self._group.members:
                self._fenced = True
                self._group.members.remove(self)
                self._group.rebalance()

    async def poll(self, timeout_ms: int, max_records: int) -> Batches:
        """Return the next records."""
        rng = self._process.rng
        found: dict[TopicPartition, list[Message]] = {}
        if not self._broker.away:
            found = self._fetch(rng.randrange(1, max_records + 1))
        await self._process.step(0.0 if found else timeout_ms / 1000, needs_broker=False)
        if rng.random() < 0.7 and not self._settled.is_set():
            await asyncio.sleep(0.05)
        return found

    def _fetch(self, most: int) -> dict[TopicPartition, list[Message]]:
        found: dict[TopicPartition, list[Message]] = {}
        partitions = list(self._positions)
        self._process.rng.shuffle(partitions)
        for partition in partitions:
            position = self._positions[partition]
            if position is None or partition in self._held:
                continue
            log = self._broker.logs[partition]
            self._ends[partition] = log.end
            if not log.beginning <= position <= log.end:
                if found:
                    continue  # told by the next poll
                self._positions[partition] = None
                raise OutOfRangeError({partition: position})
            if records := log.read(position, most):
                found[partition] = records
                self._positions[partition] = records[-1].offset + 1
                most -= len(records)
            if most <= 0:
                break
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read from an offset on."""
        if partition in self._positions:
            self._positions[partition] = offset

    def hold(self, partitions: set[TopicPartition]) -> None:
        """Read all but these."""
        self._held = set(partitions)

    def end_seen(self, partition: TopicPartition) -> int | None:
        """Return the end as the last poll saw it."""
        return self._ends.get(partition)

    async def commit(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Commit, unless others have the partitions."""
        await self._process.step()
        group = self._group
        if self._fenced or not set(offsets) <= set(self._positions):
            raise PartitionsMovedError("not a member of this generation")
        for partition, commit in offsets.items():
            group.commits[partition] = commit
            if self._broker.on_commit is not None:
                self._broker.on_commit(partition, commit)
        await self._process.step()

    async def commits(self) -> Mapping[TopicPartition, Commit]:
        """Return all commits."""
        await self._process.step()
        return dict(self._group.commits)

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        """Return what partitions hold."""
        await self._process.step()
        return {
            one: Bounds(self._broker.logs[one].beginning, self._broker.logs[one].end) for one in partitions
        }

    async def offset_after(self, partition: TopicPartition, logged_ms: int) -> int | None:
        """Return the first offset logged later."""
        await self._process.step()
        later = (one.offset for one in self._broker.logs[partition].records if one.timestamp > logged_ms)
        return next(later, None)

    async def read(self, partition: TopicPartition, first: int, end: int) -> list[Message]:
        """Return the records of a stretch."""
        await self._process.step()
        records = self._broker.logs[partition].read(first, max(end - first, 0))
        return [one for one in records if one.offset < end]


class SimulatedProducer:
    """A `streams.kafka.ports.Producer`: in order within a partition, acknowledged later, or not at all."""

    def __init__(self, process: Process) -> None:
        self._process, self._broker = process, process.broker
        self._queue: list[tuple[TopicPartition, bytes | None, bytes, asyncio.Future[int]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._filled = asyncio.Event()

    async def start(self) -> None:
        """Connect."""
        await self._process.step()
        self._sending = asyncio.ensure_future(self._send_queued())

    async def stop(self) -> None:
        """Disconnect."""
        if self._sending is not None:
            self._sending.cancel()
        for *_, acknowledged in self._queue:
            if not acknowledged.done():
                acknowledged.set_exception(BrokerAwayError("the producer was stopped"))

    async def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        await self._process.step()
        return len(self._broker.partitions(topic))

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None, partition: int | None
    ) -> "asyncio.Future[int]":
        """Queue a record."""
        if self._process.rng.random() < 0.1:
            await self._process.step(needs_broker=False)
        if len(value) > self._broker.largest_record:
            raise BrokerRefusedError("the record is too large")
        acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append((TopicPartition(topic, partition or 0), key, value, acknowledged))
        self._filled.set()
        return acknowledged

    async def _send_queued(self) -> None:
        rng, broker = self._process.rng, self._broker
        while True:
            await self._filled.wait()
            await self._process.step(0.02, needs_broker=False)
            if broker.away:
                await self._wait_or_give_up()
                continue
            batch, self._queue = self._queue, []
            self._filled.clear()
            for partition, key, value, acknowledged in batch:
                if rng.random() < broker.refused_sends:
                    acknowledged.set_exception(BrokerAwayError("not enough replicas"))
                    continue
                offset = broker.append(partition, key, value)
                if rng.random() < broker.lost_acknowledgements:
                    acknowledged.set_exception(BrokerAwayError("no answer"))
                else:
                    acknowledged.set_result(offset)

    async def _wait_or_give_up(self) -> None:
        """Keep what is queued while the broker is away, up to the time after which it has expired."""
        waiting = list(self._queue)
        waited = 0.0
        while self._broker.away and waited < SEND_TIMEOUT_SECONDS:
            await self._process.step(0.5, needs_broker=False)
            waited += 0.5
        if self._broker.away:
            self._queue = [one for one in self._queue if one not in waiting]
            for *_, acknowledged in waiting:
                acknowledged.set_exception(BrokerAwayError("timed out"))
