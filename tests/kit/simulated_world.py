"""A broker, processes and faults by a seed: what the simulations of the stages have in common."""

import asyncio
from collections.abc import Callable
from random import Random

from aiokafka import TopicPartition
from simulated_kafka import Broker, Process, SimulatedConsumer, SimulatedProducer
from virtual_time import run_virtually

from streams import telemetry
from streams.kafka.loop import StageLoop
from streams.kafka.session import LoopSettings, Session
from streams.kafka.worker import StageStoppedError, Worker

GROUP = "simulated"
FAULTS = ("kill", "stop", "term", "away", "refuse", "lose", "join")
LOSSES = ("head", "tail", "recreate")
PATIENCE_SECONDS = 900.0
BEGAN_MS = 1_700_000_000_000
Event = tuple[bytes | None, bytes]


class World:
    """One seed's broker, processes and faults; the simulation of a stage says what must hold.

    With ``losses`` heads of source partitions are deleted, ends are cut off, and partitions are made again.
    """

    def __init__(self, seed: int, *, losses: bool = False) -> None:
        self.rng = Random(seed)
        self.losses = losses
        self.told: list[object] = []
        self.failure: str | None = None
        self.zombies = False
        self.sources: list[TopicPartition] = []
        self.written: dict[TopicPartition, list[tuple[int, int, bytes | None, bytes]]] = {}
        self.processes: list[Process] = []
        self.joining: list[asyncio.Task[None]] = []
        self.healed_at: dict[TopicPartition, int] = {}
        self.paused_until: dict[TopicPartition, float] = {}
        self.began_again: set[TopicPartition] = set()

    def run(self) -> None:
        """Play the seed; raise AssertionError where something does not hold."""
        kept, telemetry.emit = telemetry.emit, self.told.append
        try:
            run_virtually(self._play())
        finally:
            telemetry.emit = kept

    def make(self) -> dict[TopicPartition, list[Event]]:
        """Make the topics, name the source partitions, and return what is to be written to each."""
        raise NotImplementedError

    def worker(self, process: Process) -> Callable[[Session], Worker]:
        """Return what makes the worker of a process."""
        raise NotImplementedError

    def more(self, partition: TopicPartition) -> list[Event]:
        """Return what is written to a source partition when all faults are over."""
        raise NotImplementedError

    def done(self) -> bool:
        """Say whether the group has read everything, and committed it."""
        raise NotImplementedError

    def check(self) -> None:
        """Check what must hold in the end."""
        raise NotImplementedError

    def losable(self) -> bool:
        """Say whether records may be lost now."""
        return self.losses

    async def _play(self) -> None:
        rng = self.rng
        self.broker = broker = Broker(rng)
        broker.clock_ms = BEGAN_MS
        broker.clocks_differ = not self.losses  # where the end is cut off, only the clock tells
        waiting = self.make()
        self.written = {one: [] for one in self.sources}
        for one, events in waiting.items():
            for _ in range(rng.randrange(len(events) + 1)):
                self.write(one, events.pop(0))
        running = [asyncio.ensure_future(self._supervise()) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        writing = asyncio.ensure_future(self._write_slowly(waiting))
        for _ in range(rng.randrange(0, 9)):
            await asyncio.sleep(rng.choice((1.0, 6.0)) * rng.random())
            await self._fault()
        await writing
        await self._heal()
        await self._quiet()
        broker.over = True
        for task in (*running, *self.joining):
            task.cancel()
        if self.failure:
            raise AssertionError(self.failure)
        self.check()

    def write(self, partition: TopicPartition, event: Event) -> None:
        """Append an event to a source partition."""
        offset = self.broker.append(partition, *event)
        self.written[partition].append((offset, self.broker.clock_ms, *event))

    async def _write_slowly(self, waiting: dict[TopicPartition, list[Event]]) -> None:
        rng = self.rng
        while left := [one for one, events in waiting.items() if events]:
            await asyncio.sleep(rng.random() * 0.6)
            one = rng.choice(left)
            if self.paused_until.get(one, 0.0) <= asyncio.get_running_loop().time():
                for _ in range(min(rng.randrange(1, 5), len(waiting[one]))):
                    self.write(one, waiting[one].pop(0))

    async def _supervise(self) -> None:
        """Run a process, and start another one whenever it has ended."""
        while not self.broker.over:
            process = Process(self.broker, Random(self.rng.random()))
            self.processes.append(process)
            loop = StageLoop(
                lambda process=process: Session(
                    SimulatedConsumer(process, GROUP), SimulatedProducer(process)
                ),
                self.worker(process),
                LoopSettings(max_records=self.rng.choice((3, 10, 40)), poll_ms=500),
            )
            working = asyncio.ensure_future(loop.run())
            process.task = working
            await asyncio.wait({working, process.died}, return_when=asyncio.FIRST_COMPLETED)
            if working.done() and not working.cancelled():
                error = working.exception()
                if not isinstance(error, StageStoppedError | None):
                    self.failure = f"a process ended with {error!r}"
                    return
            self.processes.remove(process)
            await asyncio.sleep(self.rng.random() * 4 + process.downtime)

    async def _fault(self) -> None:
        kind = self.rng.choice((*FAULTS, *LOSSES) if self.losable() else FAULTS)
        if kind in LOSSES:
            self.lose(kind, self.rng.choice(self.sources))
        else:
            self._disturb(kind)

    def _disturb(self, kind: str) -> None:
        rng, broker = self.rng, self.broker
        later = asyncio.get_running_loop().call_later
        process = rng.choice(self.processes) if self.processes else None
        if kind == "kill" and process is not None:
            process.dies_at = process.steps + rng.randrange(1, 60)
            if rng.random() < 0.3:  # away for long enough that its source may change meanwhile
                process.downtime = 12.0
        elif kind == "stop" and process is not None:
            self.zombies = True
            process.running.clear()
            later(rng.random() * 15, process.running.set)
        elif kind == "term" and process is not None:
            process.task.cancel()
        elif kind == "away":
            broker.away = True
            later(rng.random() * 40, setattr, broker, "away", False)
        elif kind == "refuse":
            broker.refused_sends = rng.choice((0.02, 0.3))
        elif kind == "lose":
            broker.lost_acknowledgements = rng.choice((0.02, 0.3))
        elif kind == "join":
            self.joining.append(asyncio.ensure_future(self._supervise()))

    def lose(self, kind: str, partition: TopicPartition) -> None:
        """Delete the head of a source partition, cut off its end, or make it again."""
        log = self.broker.logs[partition]
        if kind == "head":
            log.delete_before(self.rng.randrange(log.beginning, log.end + 1))
            return
        if kind == "tail":
            log.truncate(self.rng.randrange(log.beginning, log.end + 1))
        else:
            self.broker.logs[partition] = type(log)()
        self.began_again.add(partition)
        # No log is cut while it is being read: its leader is away for longer than the stage calls a silence.
        self.paused_until[partition] = asyncio.get_running_loop().time() + 3.0

    async def _heal(self) -> None:
        broker = self.broker
        broker.refused_sends = broker.lost_acknowledgements = 0.0
        broker.away = False
        for process in self.processes:
            process.running.set()
        if self.losses:  # so that what was lost lies before something, and something follows a silence
            await asyncio.sleep(3.0)
            for one in self.sources:
                self.healed_at[one] = broker.logs[one].end
                events = self.more(one)
                for event in events[:-3]:
                    self.write(one, event)
                await asyncio.sleep(3.0)
                for event in events[-3:]:
                    self.write(one, event)

    async def _quiet(self) -> None:
        """Wait until nothing is left to do."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_SECONDS
        calm = 0
        while calm < 3:
            await asyncio.sleep(2.0)
            if self.failure:
                return
            calm = calm + 1 if self.done() else 0
            if loop.time() > give_up_at:
                commits = self.broker.groups[GROUP].commits
                self.failure = self.failure or f"stuck: {commits}"
                return
