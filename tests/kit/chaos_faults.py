"""Faults that a chaos run does to itself. Each returns when what it broke is whole again."""

import asyncio
import contextlib
import resource
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from chaos_run import ChaosRun

from streams.kafka.topics import create_topics

STOPPED_SECONDS = 20.0
"""Longer than any stage's session."""
AWAY_SECONDS = 15.0

Fault = Callable[[ChaosRun], Awaitable[None]]


def killed(name: str) -> Fault:
    """Kill a stage by SIGKILL; its supervisor starts it again."""

    async def fault(run: ChaosRun) -> None:
        await asyncio.to_thread(run.stages[name].kill_and_restart)

    return fault


def ended(name: str) -> Fault:
    """End a stage by SIGTERM, and start it again."""

    async def fault(run: ChaosRun) -> None:
        await asyncio.to_thread(run.stages[name].restart)

    return fault


def stopped(name: str) -> Fault:
    """Stop a stage for longer than its session, by SIGSTOP."""

    async def fault(run: ChaosRun) -> None:
        run.stages[name].signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED_SECONDS)
        run.stages[name].signal(signal.SIGCONT)

    return fault


def joined(name: str) -> Fault:
    """Let a second process share a stage's work for a while: two rebalances."""

    async def fault(run: ChaosRun) -> None:
        second = await asyncio.to_thread(run.stage, name)
        run.extra.append(second)
        await asyncio.sleep(12)
        await asyncio.to_thread(second.stop)

    return fault


def broker_away(*, kill: bool, seconds: float) -> Fault:
    """Stop the broker, and start it again after a while."""

    async def fault(run: ChaosRun) -> None:
        await asyncio.to_thread(run.cluster.stop, kill=kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(run.cluster.start)

    return fault


async def slow_network(run: ChaosRun) -> None:
    """Delay every piece between the stages and the broker."""
    run.cluster.relay.delay(0.3)
    await asyncio.sleep(10)
    run.cluster.relay.pass_all()


async def cut_network(run: ChaosRun) -> None:
    """Close all connections between the stages and the broker, and each new one."""
    run.cluster.relay.cut()
    await asyncio.sleep(AWAY_SECONDS)
    run.cluster.relay.pass_all()


async def hanging_network(run: ChaosRun) -> None:
    """Pass nothing between the stages and the broker, with all connections open."""
    run.cluster.relay.hang()
    await asyncio.sleep(AWAY_SECONDS)
    run.cluster.relay.pass_all()


async def locked_ledger(run: ChaosRun) -> None:
    """Hold the database's write lock."""

    def hold() -> sqlite3.Connection:
        connection = sqlite3.connect(_ledger_file(run), timeout=30, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    with contextlib.closing(await asyncio.to_thread(hold)):
        await asyncio.sleep(AWAY_SECONDS)


async def full_disk(run: ChaosRun) -> None:
    """Let `record` write no file any further, as on a full disk."""
    for process in run.stages["record"].processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.rlimit(psutil.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    await asyncio.sleep(AWAY_SECONDS)
    for process in run.stages["record"].processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def refused_measurements(run: ChaosRun) -> None:
    """Let the broker refuse every measurement for a while, as too large."""
    await _configure(run, run.topics.measurements, "max.message.bytes", "70")
    await asyncio.sleep(8)
    await _configure(run, run.topics.measurements, "max.message.bytes", str(8 * 1024 * 1024))


async def grown_measurements(run: ChaosRun) -> None:
    """Give `link.measurements` more partitions than links are spread over."""
    async with _admin(run) as admin:
        await admin.create_partitions({run.topics.measurements: NewPartitions(5)})


async def grown_events(run: ChaosRun) -> None:
    """Give `npd.lookups` a partition to which nobody writes."""
    async with _admin(run) as admin:
        await admin.create_partitions({run.topics.lookups: NewPartitions(3)})


async def deleted_head(run: ChaosRun) -> None:
    """Delete, while `measure` is down, records that it has not read."""
    run.down.add("measure")
    await asyncio.to_thread(run.stages["measure"].kill)
    await asyncio.sleep(4)
    async with _admin(run) as admin:
        end = await run.ends(run.topics.lookups)
        source = TopicPartition(run.topics.lookups, 0)
        await admin.delete_records({source: RecordsToDelete(before_offset=end[source] - 5)})
    run.down.discard("measure")
    await asyncio.to_thread(run.stages["measure"].restart)


async def cut_off_end(run: ChaosRun) -> None:
    """Lose the last records of a source partition, as an unclean election does."""
    await asyncio.sleep(2)
    await asyncio.to_thread(run.cluster.stop, kill=True)
    await asyncio.to_thread(_cut, run.cluster.log_dir / f"{run.topics.lookups}-1")
    await asyncio.to_thread(run.cluster.start)


def made_again(name: str) -> Fault:
    """Make a topic again under its name."""

    async def fault(run: ChaosRun) -> None:
        topic = run.topics.by_declared_name()[name]
        async with _admin(run) as admin:
            await admin.delete_topics([topic])
        await asyncio.sleep(3)
        partitions = {"npd.lookups": 2, "portal.submissions": 1}
        await create_topics(run.cluster.connection, run.topics, partitions=partitions)

    return fault


LOSSLESS: dict[str, Fault] = {
    **{f"kill -9 {name}": killed(name) for name in ("measure", "detect", "record")},
    **{f"SIGTERM {name}": ended(name) for name in ("measure", "detect", "record")},
    **{f"SIGSTOP {name}": stopped(name) for name in ("measure", "detect", "record")},
    **{f"second {name}": joined(name) for name in ("measure", "detect", "record")},
    "kill -9 broker": broker_away(kill=True, seconds=0),
    "restart broker": broker_away(kill=False, seconds=0),
    "broker away": broker_away(kill=True, seconds=AWAY_SECONDS),
    "slow network": slow_network,
    "cut network": cut_network,
    "hanging network": hanging_network,
    "locked ledger": locked_ledger,
    "full disk": full_disk,
    "measurements refused": refused_measurements,
    "link.measurements grown": grown_measurements,
    "npd.lookups grown": grown_events,
}
"""Faults after which nothing may differ."""
LOSSY: dict[str, Fault] = {
    "head deleted": deleted_head,
    "end cut off": cut_off_end,
    **{
        f"{name} made again": made_again(name)
        for name in ("npd.lookups", "link.measurements", "link.windows", "link.outages")
    },
}
"""Faults by which records are gone: that must be told."""
RECORDS_GONE = {"link.windows made again", "link.outages made again"}
"""Those of which the ledger alone keeps what is gone."""


def _ledger_file(run: ChaosRun) -> Path:
    return run.folder / "ledger.db"


@contextlib.asynccontextmanager
async def _admin(run: ChaosRun):
    admin = AIOKafkaAdminClient(**run.cluster.connection)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _configure(run: ChaosRun, topic: str, name: str, value: str) -> None:
    async with _admin(run) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])


def _cut(folder: Path, lost_batches: int = 3) -> None:
    """Cut the last batches off a partition's log on the disk of a broker that is not running."""
    log = max(folder.glob("*.log"))
    data = log.read_bytes()
    starts, at = [], 0
    while at + 12 <= len(data):
        starts.append(at)
        at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
    log.write_bytes(data[: starts[-lost_batches]])
    for index in (*folder.glob("*.index"), *folder.glob("*.timeindex")):
        index.unlink()
    for mark in (folder.parent / ".kafka_cleanshutdown", folder / "partition.metadata.tmp"):
        mark.unlink(missing_ok=True)
