"""Exclusions through the broker: what they revise is what `analyze` says, whoever dies in between."""

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest
from small_logs import Fault, draw_log
from stages import Stage, gather, running

from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.model.canonical import encode
from streams.model.events import LOOKUPS, Heartbeat
from streams.model.exclusion import Exclusion, new_exclusion, withdraw
from streams.model.record import Record
from streams.model.times import local_time
from streams.record.send import send_exclusion
from streams.replay.analyze import EXCLUSIONS, analyze

pytestmark = pytest.mark.timeout(240)


def records_of(log):
    """Return a log of lookups as records, by partition."""
    records, offsets = [], {}
    for told in sorted(log, key=lambda told: told.told_ms):
        offset = offsets[told.partition] = offsets.get(told.partition, -1) + 1
        key = None if isinstance(told.event, Heartbeat) else told.event.dossier_id.encode()
        value = msgspec.json.encode(told.event)
        records.append(Record(LOOKUPS, told.partition, offset, told.told_ms, key, value))
    return records


def results(records, exclusions):
    """Return what `analyze` makes of lookups and exclusions, line by line."""
    told = [
        Record(EXCLUSIONS, 0, offset, one.recorded_at_ms, one.link.encode(), encode(one))
        for offset, one in enumerate(exclusions)
    ]
    analysis = analyze([*records, *told])
    return {
        "measurements": [encode(measurement) for measurement in analysis.measurements],
        "windows": [encode(window) for window in analysis.windows],
        "outages": [encode(outage) for outage in analysis.outages],
    }


async def add(suffix: str, servers: str, start_ms: int, end_ms: int) -> Exclusion:
    """Exclude a time with the command, and return what it put on the topic."""
    command = [
        sys.executable, "-m", "streams", "exclusions", "add", "npd", "--json", "--suffix", suffix,
        "--from", local_time(start_ms).replace(" ", "T"), "--to", local_time(end_ms).replace(" ", "T"),
        "--reason", "agreed", "--author", "office", "--bootstrap-servers", servers,
    ]  # fmt: skip
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    return msgspec.convert({name: said[name] for name in Exclusion.__struct_fields__}, Exclusion)


async def test_exclusions_revise_as_in_analyze(kafka: str, tmp_path: Path):
    """One recorded while events flow, one added by the command behind them, and its withdrawal, each
    with `detect` killed: the topics hold the bytes of `analyze`, with reason `exclusion`.
    """
    records = records_of(draw_log(1, faults=[Fault(300, 120)]))
    start_ms = records[0].logged_at_ms
    suffix = f"excluded-{uuid.uuid4().hex[:6]}"
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={"npd.lookups": 2})
    during = new_exclusion(
        "npd", start_ms + 310_000, start_ms + 350_000, kind="exclusion", author="office", reason="power",
        recorded_at_ms=start_ms + 600_000,
    )  # fmt: skip
    await send_exclusion(connection, during, topics)
    await publish(iter(records), connection, topic_names=topics.by_declared_name())
    options = ("--suffix", suffix, "--group")
    measure = Stage("measure", kafka, tmp_path, *options, f"{suffix}-m")
    detect = Stage("detect", kafka, tmp_path, *options, f"{suffix}-d")
    said = [during]
    with running(measure, detect):
        first = results(records, said)
        published = await gather(kafka, topics, first, stages=[measure, detect])
        assert published.canonical() == first
        behind = await add(suffix, kafka, start_ms, start_ms + 800_000)
        for more in (behind, withdraw(behind, "office", "mistaken", behind.recorded_at_ms + 1)):
            if more.withdrawn:
                await send_exclusion(connection, more, topics)
            detect.kill_and_restart()
            said.append(more)
            expected = results(records, said)
            published = await gather(kafka, topics, expected, stages=[measure, detect])
            assert published.contradictions() == []
            assert published.canonical() == expected
    reasons = [outage.reason for outage in published.outages if outage.revision > 2]
    assert set(reasons) == {"exclusion"}
    assert {outage.status for outage in published.outages} == {"open", "closed", "retracted"}
