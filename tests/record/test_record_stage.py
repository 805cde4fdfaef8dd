"""`record` on a real broker: what is in the topics ends in the ledger once, whoever dies in between."""

import asyncio
import contextlib

import pytest
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledgers import contents

from streams import telemetry
from streams.kafka.publish import publish
from streams.kafka.read import RereadError, topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.ledger.proof.heads import stored_heads
from streams.ledger.proof.verify import verify_ledger
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import reading
from streams.ledger.store.schema import positions
from streams.record.ledger import RecordSettings
from streams.record.reread import ledger_batches
from streams.record.stage import RecordStage

KEY = Ed25519PrivateKey.generate()


@pytest.fixture
async def published(kafka: str, suffix: str) -> tuple[dict[str, str], Topics, list]:
    """Publish the worked month to topics of its own, and return how to read it."""
    connection, topics = {"bootstrap_servers": kafka}, Topics().suffixed(suffix)
    await create_topics(connection, topics)
    records = month.records(partition=1)
    await publish(records, connection, topic_names=topics.by_declared_name())
    return connection, topics, records


async def record_until(stage: RecordStage, ledger: sa.Engine, total: int) -> None:
    """Run a stage until the ledger has read so many records, then stop it."""
    task = asyncio.create_task(stage.run())
    async with asyncio.timeout(90):
        while True:
            with reading(ledger) as connection:
                read = connection.scalar(sa.select(sa.func.sum(positions.c.next_offset))) or 0
            if read >= total or task.done():
                break
            await asyncio.sleep(0.05)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_topics_to_ledger(published, ledger: sa.Engine, new_ledger) -> None:
    """Killed between batches and started again, twice, `record` leaves what one quiet run would have."""
    connection, topics, records = published
    telemetry.configure("record", level="warning")
    small = RecordSettings(max_records=2_000, head_seconds=0.0)
    for total in (3_000, 20_000, len(records)):
        stage = RecordStage(
            connection, ledger, KEY, settings=small, topics=topics, group=f"g-{topics.outages}"
        )
        await record_until(stage, ledger, total)
    quiet = new_ledger("quiet")
    apply_records(quiet, records)
    found, expected = contents(ledger), contents(quiet)
    found.pop("settings")
    expected.pop("settings")
    assert found == expected
    with reading(ledger) as reader:
        assert stored_heads(reader)
        assert verify_ledger(reader, KEY.public_key()).findings == []


async def test_two_processes_share_the_work(published, ledger: sa.Engine) -> None:
    """Two stages of one group write one ledger, each its own partitions."""
    connection, topics, records = published
    telemetry.configure("record", level="warning")
    stages = [
        RecordStage(connection, ledger, KEY, topics=topics, group=f"two-{topics.outages}") for _ in range(2)
    ]
    await asyncio.gather(*(record_until(stage, ledger, len(records)) for stage in stages))
    with reading(ledger) as reader:
        assert verify_ledger(reader, KEY.public_key()).findings == []
        read = reader.scalar(sa.select(sa.func.sum(positions.c.next_offset)))
    assert read == len(records)


async def test_rebuild_from_the_topics_alone(published, ledger: sa.Engine, new_ledger) -> None:
    """A ledger made again by reading the topics from their beginning equals the one kept all along."""
    connection, topics, records = published
    apply_records(ledger, records)
    again = new_ledger("again")
    async for batch in ledger_batches(connection, topics):
        apply_records(again, batch)
    assert contents(again) == contents(ledger)


async def test_topics_are_read_again_to_the_byte(published) -> None:
    """A topic comes back whole, in order, to the byte; one that the broker lacks is an error that says so."""
    connection, topics, records = published
    wanted = [record for record in records if record.topic == "link.windows"]
    found = [record async for batch in topic_batches(connection, [topics.windows]) for record in batch]
    assert [(r.offset, r.value) for r in found] == [(r.offset, r.value) for r in wanted]
    with pytest.raises(RereadError, match="not on the broker"):
        async for _ in topic_batches(connection, ["no.such.topic"]):
            pass
