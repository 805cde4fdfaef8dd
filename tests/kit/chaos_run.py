"""One chaos run: a real broker behind a relay, every stage as a process, a log played while faults come.

Afterwards the event topics are read back, and everything that was published and recorded is held against what
`analyze` makes of them.
"""

import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from heapq import merge
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Self

import msgspec
import psutil
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from ledgers import contents
from relay import Relay
from small_logs import Fault, draw_log, encode
from stages import Published, Stage

from streams.kafka.publish import PublishError, publish
from streams.kafka.read import open_reader, partitions_on, topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import LedgerError, open_ledger, reading, sqlite_url
from streams.ledger.store.schema import positions
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.record.reread import ledger_batches
from streams.replay.analyze import analyze
from streams.servers.kafka import EmbeddedKafka, Listener
from streams.servers.process import free_port

LOOKUPS = "npd.lookups"
EVENT_TIME_SECONDS = 780
WARM_UP_MS = 120_000
"""Of the log: played before anything fails, so that every stage is at work."""
SPEED = 30.0
PATIENCE_SECONDS = 150.0
SETTLE_SECONDS = 3.0
LONGEST_CALM_SECONDS = 40.0
"""With nothing new for so long nothing more will come."""


class Cluster:
    """A broker that can be killed and started again; its clients come through a relay, the test does not."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._relayed = folder, free_port(), free_port()
        self.relay = Relay(self._relayed)
        self.servers = f"127.0.0.1:{self._port}"
        self.connection = {"bootstrap_servers": self.servers}
        self._running = contextlib.ExitStack()

    @property
    def stage_servers(self) -> str:
        """Address of the broker for the stages."""
        return f"127.0.0.1:{self.relay.port}"

    def __enter__(self) -> Self:
        self.relay.__enter__()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        self.relay.__exit__()

    def start(self) -> None:
        """Start the broker, on the ports it had before."""
        listener = Listener("RELAYED", self._relayed, advertised_port=self.relay.port)
        settings = {"log.initial.task.delay.ms": 500}
        broker = EmbeddedKafka(self._folder, port=self._port, listeners=[listener], settings=settings)
        self.broker = self._running.enter_context(broker)

    def stop(self, *, kill: bool) -> None:
        """Stop the broker: by SIGKILL, or in order."""
        if kill:
            for process in psutil.Process(self.broker._held.pid).children(recursive=True):
                process.kill()
        self._running.close()

    @property
    def log_dir(self) -> Path:
        """Folder of the broker's logs."""
        return self._folder / "log"


class Watcher:
    """Reads the results while they are published."""

    def __init__(self, servers: str, topics: Topics) -> None:
        self._servers = servers
        self._kinds = {
            topics.measurements: ("measurements", msgspec.json.Decoder(Measurement)),
            topics.windows: ("windows", msgspec.json.Decoder(Window)),
            topics.outages: ("outages", msgspec.json.Decoder(Outage)),
        }
        self.published = Published()
        self.latest_window_ms = 0

    async def read_again(self) -> None:
        """Read everything that stands on the topics now."""
        self.published = Published()
        async for batch in topic_batches({"bootstrap_servers": self._servers}, list(self._kinds)):
            for record in batch:
                self._take(record.topic, record.value)

    def _take(self, topic: str, value: bytes) -> None:
        kind, decoder = self._kinds[topic]
        decoded = decoder.decode(value)
        getattr(self.published, kind).append(decoded)
        if kind == "windows":
            self.latest_window_ms = max(self.latest_window_ms, decoded.end_ms)

    async def follow(self) -> None:
        """Read for ever; a broker that is away is waited for."""
        while True:
            with contextlib.suppress(KafkaError, OSError):
                await self._follow_once()
            await asyncio.sleep(0.5)

    async def _follow_once(self) -> None:
        consumer = AIOKafkaConsumer(
            *self._kinds, bootstrap_servers=self._servers, auto_offset_reset="earliest"
        )
        async with consumer:
            while True:
                for records in (await consumer.getmany(timeout_ms=300)).values():
                    for record in records:
                        self._take(record.topic, record.value)


class ChaosRun:
    """The stages over one log; faults are done to it while it is played."""

    def __init__(self, cluster: Cluster, folder: Path, seed: int, seconds: int, rate: float) -> None:
        self.cluster, self.folder, self.rng = cluster, folder, Random(seed)
        self.seconds, self.rate = seconds, rate
        """Of event time; lookups a second of it."""
        self.suffix = f"chaos-{seed}-{time.time_ns() % 1_000_000}"
        self.topics = Topics().suffixed(self.suffix)
        self.log_seed = seed
        self.ledger_url = sqlite_url(folder / "ledger.db")
        self.key = folder / "key.pem"
        self.played_until_ms = 0
        self.stages: dict[str, Stage] = {}
        self.extra: list[Stage] = []
        self.down: set[str] = set()
        """Stages that a fault keeps down."""
        self.recovered_seconds: list[float] = []

    def stage(self, name: str) -> Stage:
        """Start a process of a stage."""
        common = ("--suffix", self.suffix, "--group", f"{self.suffix}-{name}")
        options = {
            "measure": (),
            "detect": ("--measure-group", f"{self.suffix}-measure"),
            "record": ("--ledger", self.ledger_url, "--key", str(self.key)),
        }
        return Stage(name, self.cluster.stage_servers, self.folder, *common, *options[name])

    async def prepare(self) -> None:
        """Make topics, stages and the log."""
        await create_topics(
            self.cluster.connection, self.topics, partitions={LOOKUPS: 2, "portal.submissions": 1}
        )
        faults = [Fault(self.rng.randrange(200, 500), self.rng.randrange(60, 160))]
        told = sorted(
            draw_log(self.log_seed, seconds=self.seconds, faults=faults, rate=self.rate),
            key=lambda t: t.told_ms,
        )
        self.log = [Record(LOOKUPS, t.partition, 0, t.told_ms, None, encode(t.event)) for t in told]
        self.log_ends_ms = self.log[-1].logged_at_ms
        for name in ("measure", "detect", "record"):
            self.stages[name] = self.stage(name)
        self.watcher = Watcher(self.cluster.servers, self.topics)

    async def play(self, faults: list[tuple[float, object]]) -> None:
        """Play the log, do each fault at its share of the time, and wait until everything has settled."""
        await self.prepare()
        watching = asyncio.ensure_future(self.watcher.follow())
        supervising = asyncio.ensure_future(self._supervise())
        try:
            await self._publish_until(self.log[0].logged_at_ms + WARM_UP_MS)
            await self._working()
            playing = asyncio.ensure_future(self._publish())
            seconds = (self.seconds - WARM_UP_MS / 1000) / SPEED
            injecting = [asyncio.ensure_future(self._do(share * seconds, fault)) for share, fault in faults]
            await asyncio.gather(playing, *injecting)
            await self._settle()
        finally:
            watching.cancel()
            supervising.cancel()
            await asyncio.gather(watching, supervising, return_exceptions=True)

    async def _do(self, after_seconds: float, fault) -> None:
        await asyncio.sleep(after_seconds)
        await fault(self)
        # Recovered is what has published, and recorded, the minute that was played when the fault was over.
        healed_at = time.monotonic()
        target_ms = min(self.played_until_ms, self.log_ends_ms - 70_000)
        while self.watcher.latest_window_ms < target_ms:
            if time.monotonic() - healed_at > PATIENCE_SECONDS:
                raise AssertionError(f"not recovered within {PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(0.1)
        published = await self._to_read()
        for _ in range(int(PATIENCE_SECONDS / 0.2)):
            if await asyncio.to_thread(self.read_by_ledger) >= published:
                break
            await asyncio.sleep(0.2)
        self.recovered_seconds.append(time.monotonic() - healed_at)

    async def _working(self) -> None:
        """Wait until every stage is at work: what was played first is published, and recorded."""
        began = time.monotonic()
        while not (self.watcher.latest_window_ms and self.read_by_ledger() > 0):
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise AssertionError(f"the stages do not work:\n{self.logs()[-2000:]}")
            await asyncio.sleep(0.2)

    async def _publish(self) -> None:
        """Publish the rest of the log in pieces, as its time comes."""
        began, first_ms = time.monotonic(), self.played_until_ms
        while self.log:
            await asyncio.sleep(0.5)
            await self._publish_until(first_ms + (time.monotonic() - began) * SPEED * 1000)

    async def _publish_until(self, until_ms: float) -> None:
        """Publish the log up to a time; a piece is sent until the broker has it."""
        piece = list(takewhile(lambda record: record.logged_at_ms <= until_ms, self.log))
        while piece:
            try:
                names = self.topics.by_declared_name()
                await asyncio.wait_for(publish(piece, self.cluster.connection, topic_names=names), 30)
            except (PublishError, KafkaError, TimeoutError, OSError):
                await asyncio.sleep(1)
                continue
            self.played_until_ms = piece[-1].logged_at_ms
            break
        del self.log[: len(piece)]

    async def _supervise(self) -> None:
        """Start a stage again that has ended by itself, as its supervisor would."""
        while True:
            await asyncio.sleep(1)
            for name, stage in self.stages.items():
                if name not in self.down and not stage.alive():
                    await asyncio.to_thread(stage.restart)

    async def events(self) -> list[Record]:
        """Return what stands on the event topics, in the order of logging."""
        declared = {name: one for one, name in self.topics.by_declared_name().items()}
        logs: dict[tuple[str, int], list[Record]] = {}
        names = [self.topics.lookups, self.topics.submissions]
        async for batch in topic_batches(self.cluster.connection, names):
            for record in batch:
                logs.setdefault(record[:2], []).append(record._replace(topic=declared[record.topic]))
        return list(merge(*logs.values(), key=lambda record: record.logged_at_ms))

    async def _settle(self) -> None:
        """Wait until nothing new has come for a while, and the ledger has read everything."""
        deadline, calm_since, before = time.monotonic() + PATIENCE_SECONDS, time.monotonic(), None
        expected = self.expected(await self.events())
        wanted = [len(expected[kind]) for kind in ("measurements", "windows", "outages")]
        while time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            found = self.watcher.published.canonical()
            now = [len(found[kind]) for kind in ("measurements", "windows", "outages")], self.read_by_ledger()
            if now != before:
                before, calm_since = now, time.monotonic()
            calm_seconds = time.monotonic() - calm_since
            whole = now[0] >= wanted and now[1] >= await self._to_read()
            if whole and calm_seconds > SETTLE_SECONDS:
                return
            if calm_seconds > LONGEST_CALM_SECONDS:
                return

    async def _to_read(self) -> int:
        return sum((await self.ends(self.topics.outages, self.topics.windows)).values())

    async def ends(self, *topics: str) -> dict[TopicPartition, int]:
        """Return the ends of topics' partitions."""
        async with open_reader(self.cluster.connection) as reader:
            sources = await partitions_on(self.cluster.connection, list(topics))
            return await reader.end_offsets(sources)

    def read_by_ledger(self) -> int:
        """Return how many records of outages and windows the ledger has read."""
        with contextlib.suppress(sa.exc.SQLAlchemyError, LedgerError):
            engine = open_ledger(self.ledger_url)
            try:
                with reading(engine) as connection:
                    return connection.scalar(sa.select(sa.func.sum(positions.c.next_offset))) or 0
            finally:
                engine.dispose()
        return -1

    def expected(self, events: list[Record]) -> dict[str, list[bytes]]:
        """Return the lines of the files that `analyze --out` writes for the events."""
        folder = self.folder / f"expected-{time.monotonic_ns()}"
        analyze(iter(events)).write(folder)
        return {file.stem: file.read_bytes().splitlines() for file in folder.iterdir()}

    async def check(self) -> None:
        """Hold everything that was published and recorded against what `analyze` makes of the events."""
        expected = self.expected(await self.events())
        await self.watcher.read_again()
        published = self.watcher.published
        assert published.contradictions() == []
        found = published.canonical()
        for kind, lines in expected.items():
            assert found[kind] == lines, f"{kind}: {len(found[kind])} lines, {len(lines)} expected"
        await self.check_ledger()

    async def check_lossy(self) -> None:
        """Hold what was recorded against what was published, and ask that every loss was told.

        Where time is said to be unknown, every window of it is; where none is, nothing may differ.
        """
        await self.watcher.read_again()
        published = self.watcher.published
        assert published.contradictions() == []
        gaps = [span for line in self.logs().splitlines() if (span := _gap_in(line))]
        if gaps:
            last = {(window.link, window.start_ms): window for window in published.windows}
            for window in last.values():
                if any(start <= window.start_ms and window.end_ms <= end for start, end in gaps):
                    assert window.state_ms.get("UNKNOWN") == window.end_ms - window.start_ms, window
        else:
            expected = self.expected(await self.events())
            assert published.canonical()["windows"] == expected["windows"], "nothing was told"
            assert published.canonical()["outages"] == expected["outages"], "nothing was told"
        await self.check_ledger()

    async def check_records(self) -> None:
        """Ask that what stands on the results' topics is recorded; what is not was told to be gone."""
        seen = {(one.outage_id, one.revision) for one in self.watcher.published.outages}
        await self.watcher.read_again()
        told = "log_began_again" in self.stages["record"].logs()
        expected = self.expected(await self.events())
        assert self.watcher.published.canonical()["measurements"] == expected["measurements"]
        await self.check_ledger(whole=not told)
        standing = {(one.outage_id, one.revision) for one in self.watcher.published.outages}
        recorded = self._recorded("outage_revisions", 2)
        assert standing <= recorded
        assert seen <= recorded or told, "nothing was told"

    def _recorded(self, table: str, columns: int) -> set[tuple[object, ...]]:
        engine = open_ledger(self.ledger_url)
        try:
            return {row[:columns] for row in contents(engine)[table]}
        finally:
            engine.dispose()

    async def check_ledger(self, *, whole: bool = True) -> None:
        """Ask that the ledger is what its topics give, to the Merkle roots, and that every head holds.

        Where its topics are not ``whole``, it may hold more than they give.
        """
        again = open_ledger(sqlite_url(self.folder / "again.db"), create=True)
        engine = open_ledger(self.ledger_url)
        try:
            async for batch in ledger_batches(self.cluster.connection, self.topics):
                apply_records(again, batch)
            found, wanted = contents(engine), contents(again)
            del found["settings"], wanted["settings"]  # each ledger's own
            if whole:
                assert [table for table in wanted if found[table] != wanted[table]] == []
        finally:
            engine.dispose()
            again.dispose()
        argv = [sys.executable, "-m", "streams", "ledger", "verify", "--ledger", self.ledger_url]
        verified = await asyncio.to_thread(
            subprocess.run, [*argv, "--key", str(self.key)], capture_output=True, text=True, check=False
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def stop(self) -> None:
        """End all stages, in order."""
        for stage in (*self.stages.values(), *self.extra):
            stage.signal(18)  # SIGCONT: one that is stopped cannot end
            stage.stop()

    def logs(self) -> str:
        """Return what all stages have logged."""
        return "".join(stage.logs() for stage in (*self.stages.values(), *self.extra))


def _gap_in(line: str) -> tuple[int, int] | None:
    """Return the time that a log line says to be unknown."""
    found = re.search(r"source_gap\b.*", line)
    if found is None:
        return None
    times = {name: int(value) for name, value in re.findall(r'"?(start_ms|end_ms)"?[=:] ?(\d+)', line)}
    return times["start_ms"], times["end_ms"]


@contextlib.asynccontextmanager
async def chaos(
    cluster: Cluster, folder: Path, seed: int, *, seconds: int = EVENT_TIME_SECONDS, rate: float = 1.0
) -> AsyncIterator[ChaosRun]:
    """Hold a run; its stages end with it, whichever way it comes."""
    run = ChaosRun(cluster, folder, seed, seconds, rate)
    try:
        yield run
    finally:
        await asyncio.to_thread(run.stop)
