"""A log replayed onto a real broker gives its outages to the byte, however it is replayed and shared."""

import asyncio
import uuid
from pathlib import Path

import msgspec
import pytest
from replay_logs import make_log
from stages import Stage, gather, running

from streams.kafka.publish import Pace, publish
from streams.kafka.topics import Topics, create_topics
from streams.logs.read import read_log
from streams.logs.write import log_writer
from streams.model.canonical import encode, final_outages
from streams.replay.analyze import analyze

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def write_log(path: Path, partitions: int) -> Path:
    """Write 100 seconds of a link that fails for 25 of them, on so many partitions."""
    log = make_log(seconds=80, failing=((15, 40),), per_second=8, tail=20, partitions=partitions)
    with log_writer(path) as writer:
        writer.write(log)
    return path


def told(outages) -> list[object]:
    """Return what outages say but for where their evidence lies: on other partitions, elsewhere."""
    return [msgspec.structs.replace(outage, evidence=[]) for outage in final_outages(outages)]


def test_the_outage_is_the_same_on_any_number_of_partitions(tmp_path):
    """One, four and twelve partitions give one outage with the same figures."""
    found = [told(analyze(write_log(tmp_path / f"{n}.ndjson", n)).outages) for n in (1, 4, 12)]
    assert len(found[0]) == 1
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("speed", "paused", "partitions", "processes"),
    [
        (1.0, False, 1, 1),
        (60.0, False, 4, 2),
        (None, False, 12, 3),
        (None, False, 4, 1),
        (25.0, True, 12, 2),
        (25.0, False, 1, 2),
    ],
    ids=[
        "x1-on-1-by-1",
        "x60-on-4-by-2",
        "flat-on-12-by-3",
        "flat-on-4-by-1",
        "paused-on-12-by-2",
        "x25-on-1-by-2",
    ],
)
async def test_any_replay_gives_the_same_outages(
    kafka, tmp_path, speed: float | None, paused: bool, partitions: int, processes: int
):
    """At any speed, paused and resumed, on any partitions shared by any processes: the bytes of `analyze`."""
    log = write_log(tmp_path / "log.ndjson", partitions)
    expected = analyze(log)
    suffix = f"replay-{uuid.uuid4().hex[:6]}"
    topics = Topics().suffixed(suffix)
    connection = {"bootstrap_servers": kafka}
    counts = {"npd.lookups": partitions, "portal.submissions": partitions, "link.measurements": partitions}
    await create_topics(connection, topics, partitions=counts)
    common = ("--suffix", suffix, "--group")
    stages = [Stage("measure", kafka, tmp_path, *common, suffix) for _ in range(processes)]
    stages += [Stage("detect", kafka, tmp_path, *common, f"{suffix}-d") for _ in range(processes)]
    wanted = {
        "measurements": [encode(item) for item in expected.measurements],
        "windows": [encode(item) for item in expected.windows],
        "outages": [encode(item) for item in expected.outages],
    }
    pace = Pace(speed)
    with running(*stages):
        replaying = asyncio.create_task(
            publish(read_log(log), connection, topic_names=topics.by_declared_name(), pace=pace)
        )
        if paused:
            await asyncio.sleep(1.5)
            pace.pause()
            await asyncio.sleep(4)
            pace.resume()
        published = await gather(kafka, topics, wanted, stages=stages)
        await replaying
    assert published.contradictions() == []
    final = [encode(outage) for outage in final_outages(published.outages)]
    assert final == [encode(outage) for outage in expected.final()]
    assert len(final) == 1
