"""`record` under simulated faults: a ledger in memory that goes away, and what must be in it in the end."""

from random import Random

from aiokafka import TopicPartition
from simulated_kafka import Process
from simulated_world import GROUP, Event, World

from streams import telemetry
from streams.kafka.topics import Topics
from streams.kafka.worker import RetryLaterError
from streams.ledger.store.apply import Applied
from streams.model.record import Record
from streams.record.stage import RecordWorker

TOPICS = Topics()


class MemoryLedger:
    """A `streams.record.stage.LedgerPort` whose transactions are whole or did not happen."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.away = False
        self.unsteady = 0.0
        """How often a call fails, before or after its transaction."""
        self.next: dict[tuple[str, int], int] = {}
        self.read: dict[tuple[str, int], list[tuple[int, bytes]]] = {}
        self.process: Process | None = None

    async def _call(self) -> None:
        if self.process is not None:
            await self.process.step(needs_broker=False)
        if self.away or self._rng.random() < self.unsteady:
            raise RetryLaterError("the ledger does not answer")

    async def positions(self) -> dict[tuple[str, int], int]:
        """Return how far each partition was read."""
        await self._call()
        return dict(self.next)

    async def move_position(self, topic: str, partition: int, next_offset: int) -> None:
        """Go on elsewhere."""
        await self._call()
        self.next[topic, partition] = next_offset

    async def apply(self, records: list[Record]) -> Applied:
        """Write records; what lies before the position was written already."""
        await self._call()
        for record in records:
            place = record.topic, record.partition
            if record.offset >= self.next.get(place, 0):
                self.read.setdefault(place, []).append((record.offset, record.value))
                self.next[place] = record.offset + 1
        await self._call()  # an answer may be lost as well
        return Applied(len(records))

    async def sign_when_due(self) -> None:
        """Sign nothing."""


class _Seen:
    """The ledger as one process sees it."""

    def __init__(self, ledger: MemoryLedger, process: Process) -> None:
        self._ledger, self._process = ledger, process

    def __getattr__(self, name: str):
        self._ledger.process = self._process
        return getattr(self._ledger, name)


class RecordWorld(World):
    """Partitions of outages and windows, recorded."""

    def make(self) -> dict[TopicPartition, list[Event]]:
        """Make the topics, and what is to be recorded of each source partition."""
        rng, broker = self.rng, self.broker
        self.ledger = MemoryLedger(rng)
        self.unsure: set[TopicPartition] = set()
        self.ledger.unsteady = rng.choice((0.0, 0.1))
        for name in (TOPICS.exclusions, TOPICS.retirements):
            broker.make(name, 1)
        for name in (TOPICS.outages, TOPICS.windows):
            broker.make(name, 2)
        self.sources = [TopicPartition(name, n) for name in (TOPICS.outages, TOPICS.windows) for n in (0, 1)]
        return {one: self._events(one, rng.randrange(1, 40)) for one in self.sources}

    def _events(self, partition: TopicPartition, count: int) -> list[Event]:
        return [
            (b"k", b"%s %d %d" % (partition.topic.encode(), n, self.rng.getrandbits(60)))
            for n in range(count)
        ]

    def worker(self, process: Process):
        """Return a worker on the one ledger."""
        return lambda session: RecordWorker(session, _Seen(self.ledger, process), TOPICS)

    def lose(self, kind: str, partition: TopicPartition) -> None:
        """Lose records; what was recorded a moment ago, and is not committed, cannot be known again."""
        commit = self.broker.groups[GROUP].commits.get(partition)
        if kind != "head" and (commit is None or commit.offset < self.broker.logs[partition].end):
            self.unsure.add(partition)
        super().lose(kind, partition)

    def more(self, partition: TopicPartition) -> list[Event]:
        """Return some more."""
        return self._events(partition, 20)

    def losable(self) -> bool:
        """Say so once everything has a commit: before its first nobody can know that a log is another one."""
        return self.losses and set(self.sources) <= set(self.broker.groups[GROUP].commits)

    def done(self) -> bool:
        """Say whether the ledger has read everything."""
        logs = self.broker.logs
        return all(self.ledger.next.get(tuple(one), 0) == logs[one].end for one in self.sources)

    def check(self) -> None:
        """Everything is in the ledger once, in order; what is not was told to be gone."""
        for one in self.sources:
            found = self.ledger.read.get(tuple(one), [])
            written = [(offset, value) for offset, _, _, value in self.written[one]]
            if not self.losses:
                assert found == written, (one, len(found), len(written))
                continue
            if one in self.unsure:
                continue
            present = {(m.offset, m.value) for m in self.broker.logs[one].records}
            new = {entry for entry in present if entry[0] >= self.healed_at[one]}
            assert new <= set(found), (one, sorted(new - set(found))[:3])
            gone = {entry for entry in written if entry not in found}
            told = [t for t in self.told if isinstance(t, telemetry.RecordsLost | telemetry.LogBeganAgain)]
            assert not gone or any((t.topic, t.partition) == tuple(one) for t in told), (
                one,
                sorted(gone)[:3],
            )
