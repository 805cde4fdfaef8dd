"""`measure` under simulated faults: a seed makes the log and the faults, and says what must hold."""

import asyncio
from collections import Counter
from itertools import pairwise, zip_longest
from random import Random

import msgspec
from aiokafka import TopicPartition
from partition_logs import SMALL, beat, completed, encoded, requested
from simulated_kafka import Broker, Process, SimulatedConsumer, SimulatedProducer
from virtual_time import run_virtually

from streams import telemetry
from streams.kafka.loop import LoopSettings, Session, StageLoop, StageStoppedError
from streams.kafka.topics import Topics
from streams.measure.letters import letter_decoder
from streams.measure.meter import Meter
from streams.measure.stage import MeasureWorker
from streams.model.canonical import encode, split
from streams.model.digest import digest_of
from streams.model.measurement import Measurement, Source

TOPICS = Topics()
GROUP = "simulated"
FAULTS = ("kill", "stop", "term", "away", "refuse", "lose", "join")
LOSSES = ("head", "tail", "recreate")
PATIENCE_SECONDS = 900.0
_measurement = msgspec.json.Decoder(Measurement)


def made_log(rng: Random, records: int, at_ms: int = 0) -> list[tuple[bytes | None, bytes]]:
    """Return some minutes of one partition: lookups, heartbeats, copies, late ones, and what is no event."""
    events = []
    for number in range(records):
        at_ms += rng.randrange(0, 2_500)
        kind = rng.random()
        if kind < 0.3:
            events.append(encoded(beat(at_ms)))
        elif kind < 0.6:
            events.append(encoded(requested(f"q{number}", at_ms)))
        elif kind < 0.85:
            outcome = rng.choice(("ok", "ok", "timeout", "not_found"))
            events.append(encoded(completed(f"q{max(number - rng.randrange(1, 4), 0)}", at_ms, outcome)))
        elif kind < 0.9:
            events.append(encoded(requested(f"late{number}", max(at_ms - 20_000, 0))))
        elif kind < 0.95 and events:
            events.append(rng.choice(events))
        else:
            events.append((b"k", rng.choice((b"", b"{", b"[]", b"\xff"))))
    return events


class World:
    """One seed's broker, processes and faults."""

    def __init__(self, seed: int, *, losses: bool = False) -> None:
        self.rng = Random(seed)
        self.losses = losses
        self.told: list[object] = []
        self.failure: str | None = None
        self.zombies = False
        self.processes: list[Process] = []
        self.joining: list[asyncio.Task[None]] = []
        self.first_commits: dict[TopicPartition, int] = {}
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

    async def _play(self) -> None:
        rng = self.rng
        self.broker = broker = Broker(rng)
        broker.clock_ms = 1_700_000_000_000
        self.targets = rng.choice((1, 1, 2, 3))
        self.sources = [TopicPartition(TOPICS.lookups, n) for n in range(rng.choice((1, 1, 2, 3)))]
        broker.make(TOPICS.lookups, len(self.sources))
        broker.make(TOPICS.submissions, 1)
        broker.make(TOPICS.measurements, self.targets)
        broker.make(TOPICS.dead_letters, 1)
        broker.on_commit = self._check_commit
        logs = {one: made_log(rng, rng.randrange(5, 90)) for one in self.sources}
        self.written = {one: [] for one in self.sources}
        for one, events in logs.items():
            upfront = rng.randrange(len(events) + 1)
            for _ in range(upfront):
                self._write(one, events.pop(0))
        self.tasks = [self._supervise() for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        running = [asyncio.ensure_future(task) for task in self.tasks]
        writing = asyncio.ensure_future(self._write_slowly(logs))
        for _ in range(rng.randrange(0, 9)):
            await asyncio.sleep(rng.choice((1.0, 8.0)) * rng.random())
            await self._fault()
        await writing
        await self._heal()
        await self._quiet()
        self.broker.over = True
        for task in (*running, *self.joining):
            task.cancel()
        if self.failure:
            raise AssertionError(self.failure)
        self._check_results()

    def _write(self, partition: TopicPartition, event: tuple[bytes | None, bytes]) -> None:
        self.broker.clock_ms = max(self.broker.clock_ms, 1_700_000_000_000)
        offset = self.broker.append(partition, *event)
        self.written[partition].append((offset, self.broker.clock_ms, *event))

    async def _write_slowly(self, logs) -> None:
        while waiting := [one for one, events in logs.items() if events]:
            await asyncio.sleep(self.rng.random() * 0.4)
            one = self.rng.choice(waiting)
            if self.paused_until.get(one, 0.0) <= asyncio.get_running_loop().time():
                self._write(one, logs[one].pop(0))

    async def _supervise(self) -> None:
        """Run a process, and start another one whenever it has ended."""
        while not self.broker.over:
            process = Process(self.broker, Random(self.rng.random()))
            self.processes.append(process)
            loop = StageLoop(
                lambda process=process: Session(
                    SimulatedConsumer(process, GROUP), SimulatedProducer(process)
                ),
                lambda session: MeasureWorker(session, SMALL, TOPICS, dead_letter_share=1.0),
                LoopSettings(max_records=self.rng.choice((3, 10, 40))),
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
        rng, broker = self.rng, self.broker
        # Before its first commit nobody can know that a log is another one.
        known = self.losses and set(self.sources) <= set(self.first_commits)
        kinds = (*FAULTS, *LOSSES) if known else FAULTS
        kind = rng.choice(kinds)
        process = rng.choice(self.processes) if self.processes else None
        if kind == "kill" and process is not None:
            process.dies_at = process.steps + rng.randrange(1, 60)
            if rng.random() < 0.3:  # away for long enough that its source may change meanwhile
                process.downtime = 12.0
        elif kind == "stop" and process is not None:
            self.zombies = True
            process.running.clear()
            asyncio.get_running_loop().call_later(rng.random() * 15, process.running.set)
        elif kind == "term" and process is not None:
            process.task.cancel()
        elif kind == "away":
            broker.away = True
            asyncio.get_running_loop().call_later(rng.random() * 60, setattr, broker, "away", False)
        elif kind == "refuse":
            broker.refused_sends = rng.choice((0.02, 0.3))
        elif kind == "lose":
            broker.lost_acknowledgements = rng.choice((0.02, 0.3))
        elif kind == "join":
            self.joining.append(asyncio.ensure_future(self._supervise()))
        elif kind == "head":
            one = rng.choice(self.sources)
            log = broker.logs[one]
            log.delete_before(rng.randrange(log.beginning, log.end + 1))
        elif kind == "tail":
            one = rng.choice(self.sources)
            log = broker.logs[one]
            log.truncate(rng.randrange(log.beginning, log.end + 1))
            self._pause_writing(one)
        elif kind == "recreate":
            one = rng.choice(self.sources)
            broker.logs[one] = type(broker.logs[one])()
            self._pause_writing(one)

    def _pause_writing(self, partition: TopicPartition) -> None:
        """Keep still for longer than a fetch: a log that shrinks and grows within one is not noticed."""
        self.began_again.add(partition)
        self.paused_until[partition] = asyncio.get_running_loop().time() + 3.0

    async def _heal(self) -> None:
        broker = self.broker
        broker.refused_sends = broker.lost_acknowledgements = 0.0
        broker.away = False
        for process in self.processes:
            process.running.set()
        if self.losses:  # so that what was lost lies before something
            await asyncio.sleep(3.0)
            for one in self.sources:
                self.healed_at[one] = broker.logs[one].end
                for event in made_log(self.rng, 25, 300_000):
                    self._write(one, event)

    async def _quiet(self) -> None:
        """Wait until nothing is left to do."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_SECONDS
        calm = 0
        while calm < 3:
            await asyncio.sleep(2.0)
            if self.failure:
                return
            calm = calm + 1 if self._done() else 0
            if loop.time() > give_up_at:
                commits = self.broker.groups[GROUP].commits
                self.failure = self.failure or f"stuck: {commits}"
                return

    def _done(self) -> bool:
        """Say whether the group has read everything, and committed it."""
        commits = self.broker.groups[GROUP].commits
        for one in self.sources:
            commit, end = commits.get(one), self.broker.logs[one].end
            if end == 0:
                continue
            if commit is None or msgspec.json.decode(commit.metadata).get("told_until", 0) != end:
                return False
        return True

    def _check_commit(self, partition: TopicPartition, commit) -> None:
        """Nothing is committed whose measurements do not stand on every target partition."""
        if "digest" in commit.metadata:
            self.first_commits.setdefault(partition, commit.offset)
        if partition not in self.sources or self.losses:
            return
        for target in range(self.targets):
            reached = 0
            for first, end in sorted(self._ranges(target, partition.partition)):
                if first > reached:
                    break
                reached = max(reached, end)
            if commit.offset > reached:
                self.failure = f"{partition} committed {commit.offset}, measured {reached} on {target}"

    def _ranges(self, target: int, partition: int) -> list[tuple[int, int]]:
        return [_span(source)[:2] for source in self._sources(target, partition)]

    def published(self, target: int) -> list[Measurement]:
        """Return what stands on one partition of measurements."""
        log = self.broker.logs[TopicPartition(TOPICS.measurements, target)]
        return [_measurement.decode(one.value) for one in log.records]

    def letters(self) -> Counter[tuple[int, int]]:
        """Return how often each record is among the dead letters."""
        log = self.broker.logs[TopicPartition(TOPICS.dead_letters, 0)]
        sources = [letter_decoder.decode(one.value).source for one in log.records]
        return Counter((one.partition, one.offset) for one in sources)

    def _check_results(self) -> None:
        if self.losses:
            self._check_lossy()
            return
        letters = self.letters()
        wanted_letters = set()
        for one in self.sources:
            meter = Meter(TOPICS.lookups, one.partition, SMALL)
            meter.feed(self.written[one])
            wanted_letters |= {(one.partition, letter.offset) for letter in meter.dead_letters}
            for target in range(self.targets):
                wanted = [encode(split(m, self.targets)[target]) for m in meter.measurements]
                found: dict[int, bytes] = {}
                for m in self.published(target):
                    if m.source.partition == one.partition and m.source.topic == TOPICS.lookups:
                        assert found.setdefault(m.source.first_offset, encode(m)) == encode(m)
                ordered = [found[first] for first in sorted(found)]
                differing = [(a, b) for a, b in zip_longest(ordered, wanted) if a != b]
                assert differing == [], (len(ordered), len(wanted), differing[:1])
        assert set(letters) == wanted_letters, (set(letters) - wanted_letters, wanted_letters - set(letters))
        if not self.zombies:
            assert set(letters.values()) <= {1}, letters

    def _check_lossy(self) -> None:
        """Check that what came after the losses is measured as it stands, and that every hole was told."""
        for one in self.sources:
            log = self.broker.logs[one]
            entries = [(m.offset, m.timestamp, m.key, m.value) for m in log.records]
            told = [
                (t.first_offset, t.next_offset)
                for t in self.told
                if isinstance(t, telemetry.RecordsLost) and t.partition == one.partition
            ]
            for target in range(self.targets):
                ranges = self._sources(target, one.partition)
                if one not in self.began_again:  # no range may pass over records that nobody read
                    for source in ranges:
                        inside = [
                            w for w in self.written[one] if source.first_offset <= w[0] < source.next_offset
                        ]
                        assert source.digest == digest_of(inside), source
                last = max(source.incarnation for source in ranges)
                spans = sorted({s[:2] for s in map(_span, ranges) if s[2] == last})
                for (_, end), (first, _) in pairwise(spans):
                    hole_told = any(begin <= end and first <= until for begin, until in told)
                    assert first <= end or hole_told or first <= self.first_commits.get(one, 1 << 62), (
                        end,
                        first,
                    )
                measured = set()
                for source in ranges:
                    inside = [e for e in entries if source.first_offset <= e[0] < source.next_offset]
                    whole = source.first_offset >= log.beginning  # else what it held is deleted by now
                    if inside and (not whole or source.digest == digest_of(inside)):
                        measured |= {entry[0] for entry in inside}
                new = [entry[0] for entry in entries if entry[0] >= self.healed_at[one]]
                until = max(measured, default=-1) + 1
                assert new[0] < until, (new[0], until)
                missed = [offset for offset in new if offset < until and offset not in measured]
                assert missed == [], missed

    def _sources(self, target: int, partition: int) -> list[Source]:
        every = [m.source for m in self.published(target)]
        return [s for s in every if (s.topic, s.partition) == (TOPICS.lookups, partition)]


def _span(source: Source) -> tuple[int, int, int]:
    return source.first_offset, source.next_offset, source.incarnation
