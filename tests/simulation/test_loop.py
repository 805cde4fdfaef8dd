"""The stage loop on virtual time: what stops it, what it waits for, and what it says of both."""

import asyncio
import json

import msgspec
import pytest
from aiokafka import TopicPartition
from partition_logs import SMALL, encoded, requested
from simulated_kafka import Broker, Process, SimulatedConsumer, SimulatedProducer
from simulated_record import MemoryLedger
from virtual_time import run_virtually

from streams import telemetry
from streams.kafka.loop import StageLoop
from streams.kafka.session import LoopSettings, Session
from streams.kafka.topics import Topics
from streams.kafka.worker import StageStoppedError
from streams.measure.stage import MeasureWorker
from streams.model.measurement import Measurement
from streams.record.stage import RecordWorker

TOPICS = Topics()
LOOKUPS = TopicPartition(TOPICS.lookups, 0)


@pytest.fixture
def told(monkeypatch):
    """Return what the stages tell."""
    occurrences: list[object] = []
    monkeypatch.setattr(telemetry, "emit", occurrences.append)
    return occurrences


def made_broker(rng) -> Broker:
    """Return a broker with every topic, each of one partition."""
    broker = Broker(rng)
    broker.clock_ms = 1_700_000_000_000
    for name in TOPICS.by_declared_name().values():
        broker.make(name, 1)
    return broker


def loop_of(broker: Broker, rng, begin, **settings) -> StageLoop:
    """Return a loop whose process begins now."""
    process = Process(broker, rng)
    return StageLoop(
        lambda: Session(SimulatedConsumer(process, "g"), SimulatedProducer(process)),
        begin,
        LoopSettings(**settings),
    )


def measuring(share: float):
    """Return what makes a worker with a dead-letter limit."""
    return lambda session: MeasureWorker(session, SMALL, TOPICS, dead_letter_share=share)


async def run_for(loop: StageLoop, seconds: float) -> None:
    """Run a loop for a while; raise what it raises."""
    task = asyncio.ensure_future(loop.run())
    await asyncio.wait({task}, timeout=seconds)
    if task.done():
        task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def letters(broker: Broker) -> list[int]:
    """Return the offsets of the records that have dead letters."""
    log = broker.logs[TopicPartition(TOPICS.dead_letters, 0)]
    return [json.loads(one.value)["source"]["offset"] for one in log.records]


def test_the_limit_stops_a_stage_once_and_never_repeats_letters(rng, told):
    """What cannot be used stops it; each start goes on behind that; with share 1 it goes on at once."""

    async def play() -> tuple[int, int]:
        broker = made_broker(rng)
        for number in range(1_500):
            broker.append(LOOKUPS, b"k", b"{%d" % number)
        broker.append(LOOKUPS, *encoded(requested("q1", 0)))
        starts = 0
        for _ in range(8):
            starts += 1
            try:
                await run_for(loop_of(broker, rng, measuring(0.5)), 60)
            except StageStoppedError as error:
                assert "--dead-letter-limit 1" in str(error)  # noqa: PT017 - it may not be raised
                continue
            break
        whole = made_broker(rng)
        for number in range(1_500):
            whole.append(LOOKUPS, b"k", b"{%d" % number)
        await run_for(loop_of(whole, rng, measuring(1.0)), 60)
        assert sorted(letters(whole)) == list(range(1_500))
        assert letters(broker) == list(range(1_500))
        return starts

    assert 2 <= run_virtually(play()) <= 3
    assert [type(one) for one in told].count(telemetry.DeadLetterLimitReached) in {1, 2}


def test_a_stage_that_moves_no_more_says_so_and_ends(rng, told):
    """Work that never returns ends the stage after the time that is allowed, with the reason."""

    class Stuck(MeasureWorker):
        async def work(self, _batches) -> None:
            await asyncio.get_running_loop().create_future()

    async def play() -> None:
        broker = made_broker(rng)
        broker.append(LOOKUPS, *encoded(requested("q1", 0)))
        await run_for(
            loop_of(broker, rng, lambda session: Stuck(session, SMALL, TOPICS), stall_seconds=300), 400
        )

    with pytest.raises(StageStoppedError, match=r"nothing has moved for 3[0-9]+ s"):
        run_virtually(play())
    assert [type(one) for one in told].count(telemetry.StageStalled) == 1


def test_a_ledger_that_is_away_is_waited_for(rng, told):
    """While the database does not answer that is said once; when it is back everything is written."""

    async def play() -> MemoryLedger:
        broker = made_broker(rng)
        outages, ledger = TopicPartition(TOPICS.outages, 0), MemoryLedger(rng)
        ledger.away = True
        for number in range(50):
            broker.append(outages, b"k", b"%d" % number)
        asyncio.get_running_loop().call_later(90, setattr, ledger, "away", False)
        loop = loop_of(broker, rng, lambda session: RecordWorker(session, ledger, TOPICS))
        await run_for(loop, 120)
        return ledger

    ledger = run_virtually(play())
    assert ledger.read["link.outages", 0] == [(n, b"%d" % n) for n in range(50)]
    kinds = [type(one) for one in told]
    assert (kinds.count(telemetry.StageBlocked), kinds.count(telemetry.StageUnblocked)) == (1, 1)


def test_partitions_added_to_the_measurements_are_left_alone(rng, told):
    """Links stay on the partitions that existed at first, in any process; added ones are reported."""

    async def play() -> Broker:
        broker = made_broker(rng)
        for second in range(0, 60, 10):
            broker.append(LOOKUPS, *encoded(requested(f"q{second}", second * 1_000)))
        await run_for(loop_of(broker, rng, measuring(1.0)), 10)
        broker.make(TOPICS.measurements, 5)
        for second in range(60, 120, 10):
            broker.append(LOOKUPS, *encoded(requested(f"q{second}", second * 1_000)))
        await run_for(loop_of(broker, rng, measuring(1.0)), 10)
        return broker

    broker = run_virtually(play())
    written = [broker.logs[one].end for one in broker.partitions(TOPICS.measurements)]
    assert written[0] > 8
    assert written[1:] == [0, 0, 0, 0]
    assert [type(one) for one in told].count(telemetry.PartitionsNotUsed) == 1


def test_a_measurement_that_is_too_large_costs_no_other(rng, told, monkeypatch):
    """Its range and counts are sent without its sums, and that is told; those beside it are whole."""
    monkeypatch.setattr("streams.measure.stage.MOST_MEASUREMENT_BYTES", 900)

    async def play() -> list[Measurement]:
        broker = made_broker(rng)
        broker.largest_record = 900
        for second in range(0, 120, 10):
            for number in range(12 if second == 60 else 1):
                large = requested(f"q{second}-{number}", second * 1_000 + number, link=f"link-{number}")
                broker.append(LOOKUPS, *encoded(large))
        await run_for(loop_of(broker, rng, measuring(1.0)), 30)
        log = broker.logs[TopicPartition(TOPICS.measurements, 0)]
        return [msgspec.json.decode(one.value, type=Measurement) for one in log.records]

    measurements = run_virtually(play())
    ranges = [(one.source.first_offset, one.source.next_offset) for one in measurements]
    assert [first for first, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
    incomplete = {one.incomplete: one.links for one in measurements if one.incomplete}
    assert incomplete == {"too_large": []}
    cut = [type(one) for one in told].count(telemetry.MeasurementTooLarge)
    assert cut == sum(bool(one.incomplete) for one in measurements)
    assert sum(bool(one.links) for one in measurements) > 6
