"""A source partition to which nobody writes does not hold up the clock for ever."""

import asyncio
import uuid
from pathlib import Path

import pytest
from small_logs import Fault, draw_log, encode
from stages import Stage, gather, running

from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.model.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_history_with_silent_partitions_is_judged(kafka: str, tmp_path: Path):
    """Of four partitions one is empty and one falls silent after its first record: the windows come out."""
    suffix = f"idle-{uuid.uuid4().hex[:6]}"
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={"npd.lookups": 4})
    told = sorted(draw_log(3, faults=[Fault(300, 120)]), key=lambda one: one.told_ms)
    offsets = [0, 0, 0]
    records = []
    for one in [told[0], *told]:
        partition = 2 if not records else one.partition
        records.append(
            Record("npd.lookups", partition, offsets[partition], one.told_ms, None, encode(one.event))
        )
        offsets[partition] += 1
    await publish(records, connection, topic_names=topics.by_declared_name())
    stages = [
        Stage("measure", kafka, tmp_path, "--suffix", suffix, "--group", suffix),
        Stage(
            "detect", kafka, tmp_path, "--suffix", suffix, "--group", f"{suffix}-d", "--measure-group", suffix
        ),
    ]
    wanted = {"measurements": [b""], "windows": [b""] * 13, "outages": [b""]}
    with running(*stages):
        await asyncio.sleep(0)
        published = await gather(kafka, topics, wanted, stages=stages, patience_seconds=120)
    assert len({window.start_ms for window in published.windows}) >= 13
    assert [outage.kind for outage in published.outages if outage.revision == 1] == ["down"]
