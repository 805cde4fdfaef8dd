"""`ingest http --follow` as a process: rotations, kill -9, a real broker."""

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from random import Random

import pytest
from followed_logs import (
    PARTITIONS,
    T0,
    copytruncate,
    finished,
    rename,
    told,
)
from gateway_lines import WRITERS, day_of_calls
from typer.testing import CliRunner

from streams.cli import app
from streams.ingest.follow import hold_back_ms, read_state
from streams.ingest.gateway.following import FollowState
from streams.ingest.shell import load_mapper, preset_text
from streams.kafka.read import topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.logs.read import read_log
from streams.model.events import Heartbeat, lookup_decoder
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.replay.analyze import analyze


def test_the_hold_back_is_what_the_settings_do_not_allow_for():
    """Held back is the map's time-out and the gateway's buffer, less the disorder that the settings allow."""
    assert hold_back_ms(load_mapper("kong"), MeasureSettings()) == 60_000
    assert hold_back_ms(load_mapper("kong"), MeasureSettings(out_of_orderness_ms=65_000)) == 0
    assert FollowState().positions == {}


def wait_until(holds, seconds=120.0):
    """Return once something holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def made(connection, topics):
    """Create topics of two partitions."""
    await create_topics(connection, topics, partitions={LOOKUPS: PARTITIONS, SUBMISSIONS: PARTITIONS})


async def read_all(connection, topic):
    """Return all records of a topic of lookups under its declared name."""
    return [
        record._replace(topic=LOOKUPS)
        async for batch in topic_batches(connection, [topic])
        for record in batch
    ]


@pytest.mark.slow
def test_the_command_survives_kill_and_rotation(kafka, suffix, tmp_path):
    """`ingest http --follow`, killed with -9 and rotated in the middle, gives the finished log's outages."""
    connection = {"bootstrap_servers": kafka}
    topics = Topics().suffixed(suffix)
    asyncio.run(made(connection, topics))
    calls = day_of_calls(T0, 600, 180, seconds_=1_200, every_s=10)
    lines = [WRITERS["nginx-json"](call) + "\n" for call in calls]
    expected, ids = finished(tmp_path, "nginx-json", "".join(lines))
    assert len(expected) == 1
    map_file, path, state = tmp_path / "map.yaml", tmp_path / "access.log", tmp_path / "positions.json"
    map_file.write_text(preset_text("nginx-json").replace("60000", "3000"))
    path.touch()
    command = [sys.executable, "-m", "streams", "ingest", "http", path, "--map", map_file, "--follow"]
    command += ["--suffix", suffix, "--state", state]
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka}
    with (tmp_path / "output").open("w") as output, ExitStack() as running:

        def start():
            process = subprocess.Popen(command, stderr=output, stdout=output, env=environment)
            running.callback(process.wait)
            running.callback(process.kill)
            return process

        def sent_past(at_ms):
            return (read_state(state).sent_until_ms or 0) >= at_ms

        process = start()
        cuts = [0, *sorted(Random(1).sample(range(100, len(lines)), 3)), len(lines)]
        for part, (begin, end) in enumerate(pairwise(cuts)):
            with path.open("a") as file:
                file.write("".join(lines[begin:end]))
            last = calls[end - 1]
            if part < 3:
                wait_until(lambda at_ms=last.start_ms - 5_000: sent_past(at_ms))
                process.kill()
                process.wait()
                (rename, copytruncate, rename)[part](path, part)
                process = start()
        wait_until(lambda: sent_past(last.start_ms + last.took_ms + 1_000))
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "output").read_text()
    records = asyncio.run(read_all(connection, topics.lookups))
    sent = [lookup_decoder.decode(record.value) for record in records]
    assert sorted({event.event_id for event in sent if not isinstance(event, Heartbeat)}) == ids
    closing_ms = sent[-1].occurred_at_ms + 60_000
    beat = b'{"type":"observer.heartbeat","occurred_at_ms":%d,"observer":"portal","links":[]}' % closing_ms
    offsets = {record.partition: record.offset + 1 for record in records}
    records += [Record(LOOKUPS, n, offset, closing_ms, None, beat) for n, offset in offsets.items()]
    assert told(analyze(records, outages_only=True).final()) == expected
    assert not path.with_name("output").read_text().count("lost")


@pytest.mark.slow
def test_a_finished_log_goes_to_kafka_as_it_goes_to_a_file(kafka, suffix, tmp_path):
    """Without `--out` the same events reach the topics, each dossier's in one partition and in order."""
    topics = Topics().suffixed(suffix)
    asyncio.run(made({"bootstrap_servers": kafka}, topics))
    calls = day_of_calls(T0, 600, 60, seconds_=900, every_s=10)
    text = "".join(WRITERS["kong"](call) + "\n" for call in calls)
    _, ids = finished(tmp_path, "kong", text)
    words = ["ingest", "http", "--map", "kong", str(tmp_path / "whole.log"), "--suffix", suffix]
    ended = CliRunner().invoke(app, words, env={"KAFKA_BOOTSTRAP_SERVERS": kafka})
    assert ended.exit_code == 0, ended.output
    records = asyncio.run(read_all({"bootstrap_servers": kafka}, topics.lookups))
    written = list(read_log(tmp_path / "whole.ndjson"))
    assert sorted(record[1:] for record in records) == sorted(record[1:] for record in written)
    bad = tmp_path / "bad.log"
    bad.write_text(text + "garbage\n" * 9_000)
    ended = CliRunner().invoke(
        app, [*words[:4], str(bad), "--suffix", suffix], env={"KAFKA_BOOTSTRAP_SERVERS": kafka}
    )
    assert (ended.exit_code, "can be used: not a JSON object" in ended.stderr) == (2, True)
    assert len(asyncio.run(read_all({"bootstrap_servers": kafka}, topics.lookups))) == len(records)
    assert len(ids) + PARTITIONS == len(records)
    bad.write_text(text * 9 + "garbage\n" * 19_000)
    ended = CliRunner().invoke(
        app, [*words[:4], str(bad), "--suffix", suffix], env={"KAFKA_BOOTSTRAP_SERVERS": kafka}
    )
    assert (ended.exit_code, "events before it were sent to Kafka" in ended.stderr) == (2, True)


def test_what_following_needs_is_said(tmp_path):
    """`--follow` ends with 2 beside what it cannot do, and where another process follows the log."""
    path = tmp_path / "access.log"
    path.touch()
    words = ["ingest", "http", str(path), "--map", "kong", "--follow"]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    for more in (["--check"], ["--out", "x"], ["--json"], ["-"]):
        ended = CliRunner().invoke(app, words + more, env=environment)
        assert (ended.exit_code, "leave out" in ended.stderr) == (2, True)
    state = tmp_path / "positions.json"
    with state.with_name("positions.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = CliRunner().invoke(app, [*words, "--state", str(state)], env=environment)
    assert (ended.exit_code, "another process" in ended.stderr) == (2, True)
    ended = CliRunner().invoke(app, [*words, "--state", str(state)], env=environment)
    assert (ended.exit_code, "no connection to the broker" in ended.stderr) == (1, True)
    state.write_text("{")
    ended = CliRunner().invoke(app, [*words, "--state", str(state)], env=environment)
    assert (ended.exit_code, "file of positions" in ended.stderr) == (2, True)
