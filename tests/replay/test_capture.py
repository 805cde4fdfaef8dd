"""Capture and replay on the real broker: nothing lost, nothing changed, interruptions survived."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from random import Random

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from replay_logs import T0, make_log, submissions

from streams import replay
from streams.kafka.publish import publish
from streams.logs.capture import CaptureError, Wish, capture
from streams.logs.folder import read_manifest
from streams.logs.pseudonym import Pseudonymiser
from streams.logs.read import read_log
from streams.logs.write import log_writer
from streams.model.record import Record

COMMAND = [sys.executable, "-m", "streams"]
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


async def create(bootstrap, topic, partitions):
    """Create a topic of that many partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()


def start(*arguments, bootstrap=None, limit_bytes=None):
    """Start the command line as a process of its own, its files limited in size if asked."""
    command = [*COMMAND, *map(str, arguments)]
    if limit_bytes:
        command = [sys.executable, "-c", LIMITED, str(limit_bytes), *command[1:]]
    return subprocess.Popen(
        command,
        env=os.environ | ({"KAFKA_BOOTSTRAP_SERVERS": bootstrap} if bootstrap else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments, **options):
    """Run the command line to its end; return exit code, standard output and standard error."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def by_partition(records):
    """Return each partition's records in order, without their offsets."""
    found = {}
    for record in records:
        found.setdefault((record.topic, record.partition), []).append(record[3:])
    return found


@pytest.mark.parametrize("file_format", ["ndjson", "parquet"])
async def test_capture_replay_capture_gives_the_same_records(kafka, suffix, tmp_path, file_format):
    """Records survive topic → files → topic → files, with keys, partitions, order and original times."""
    topic, again = f"first-{suffix}", f"second-{suffix}"
    for name in (topic, again):
        await create(kafka, name, 3)
    connection = {"bootstrap_servers": kafka}
    odd = [
        Record("lookups", 2, n, T0 + n, key, value)
        for n, (key, value) in enumerate(
            [(None, b"\xff\xfe"), (b"\x00", b"{ }"), (b"k", b""), (b"k", b'{"a":"\xc3\xa9"}\n')]
        )
    ]
    records = [record._replace(topic="lookups") for record in make_log(seconds=200, failing=())] + odd
    await publish(records, connection, topic_names={"lookups": topic})
    first = await capture(tmp_path / "one", connection, [Wish(topic)], file_format=file_format)
    assert first.complete
    assert first.records == len(records)
    captured = list(read_log(tmp_path / "one"))
    assert by_partition(captured) == {
        (topic, partition): said_of for (_, partition), said_of in by_partition(records).items()
    }
    await publish(read_log(tmp_path / "one"), connection, topic_names={topic: again})
    second = await capture(tmp_path / "two", connection, [Wish(again)], file_format=file_format)
    assert [part.checks for part in second.segments] == [part.checks for part in first.segments]
    assert [record._replace(topic=topic) for record in read_log(tmp_path / "two")] == captured


async def test_ranges_by_offset_and_time(kafka, suffix, tmp_path):
    """Offset ranges and time ranges are half-open, and times are those of the original broker."""
    topic = f"ranges-{suffix}"
    await create(kafka, topic, 2)
    connection = {"bootstrap_servers": kafka}
    records = [Record(topic, n % 2, n // 2, T0 + n * 1000, b"k", b"%d" % n) for n in range(100)]
    await publish(records, connection)
    await capture(tmp_path / "offsets", connection, [Wish(topic, 1, 10, 20)])
    assert (
        list(read_log(tmp_path / "offsets")) == [record for record in records if record.partition == 1][10:20]
    )
    await capture(tmp_path / "times", connection, [Wish(topic)], since_ms=T0 + 30_000, until_ms=T0 + 60_000)
    assert sorted(int(record.value) for record in read_log(tmp_path / "times")) == list(range(30, 60))
    code, out, _ = run("capture", tmp_path / "cli", "--topic", f"{topic}/0=5:8", "--json", bootstrap=kafka)
    assert code == 0
    assert json.loads(out)["ranges"] == [
        {"topic": topic, "partition": 0, "first_offset": 5, "next_offset": 8}
    ]


async def test_a_capture_is_gone_on_with_and_never_mixed(kafka, suffix, tmp_path):
    """Run again it adds what has come; other settings, a foreign folder and a gap are refused."""
    topic = f"resume-{suffix}"
    await create(kafka, topic, 1)
    connection = {"bootstrap_servers": kafka}
    records = [Record(topic, 0, n, T0 + n, b"k", b"%d" % n) for n in range(90)]
    await publish(records[:50], connection)
    await capture(tmp_path / "log", connection, [Wish(topic)])
    await publish(records[50:70], connection)
    manifest = await capture(tmp_path / "log", connection, [Wish(topic)])
    assert list(read_log(tmp_path / "log")) == records[:70]
    assert len(manifest.segments) == 2
    assert await capture(tmp_path / "log", connection, [Wish(topic)]) == manifest
    with pytest.raises(CaptureError, match="was started with file_format ndjson"):
        await capture(tmp_path / "log", connection, [Wish(topic)], file_format="parquet")
    with pytest.raises(CaptureError, match="pseudonym_key None"):
        await capture(tmp_path / "log", connection, [Wish(topic)], pseudonymiser=Pseudonymiser(b"k" * 16))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    with pytest.raises(CaptureError, match="not empty"):
        await capture(tmp_path / "other", connection, [Wish(topic)])
    with pytest.raises(CaptureError, match="no-such-topic is not on the broker"):
        await capture(tmp_path / "third", connection, [Wish("no-such-topic")])
    await publish(records[70:], connection)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=80)})
    await admin.close()
    with pytest.raises(CaptureError, match="offsets 70 to 79 are gone"):
        await capture(tmp_path / "log", connection, [Wish(topic)])
    assert list(read_log(tmp_path / "log")) == records[:70]
    with pytest.raises(CaptureError, match="gone by retention"):
        await capture(tmp_path / "fourth", connection, [Wish(topic, 0, 3, 90)])


@pytest.fixture
async def large(kafka, suffix):
    """Put 240,000 records of random text on a topic of two partitions, the second far larger."""
    topic = f"large-{suffix}"
    await create(kafka, topic, 2)
    random = Random(3)
    records = [
        Record(topic, partition, n, T0 + n, b"k", random.randbytes(24).hex().encode())
        for partition, count in ((0, 20_000), (1, 220_000))
        for n in range(count)
    ]
    await publish(records, {"bootstrap_servers": kafka})
    return topic, records


async def test_a_killed_capture_keeps_what_it_wrote_and_goes_on(kafka, large, tmp_path):
    """Killed with -9 in the middle, the folder is a valid log so far; run again it is the whole topic."""
    topic, records = large
    folder = tmp_path / "log"
    process = start("capture", folder, "--topic", topic, bootstrap=kafka)
    while len(list(folder.glob("*.zst"))) < 2:
        assert process.poll() is None
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    manifest = read_manifest(folder)
    assert not manifest.complete
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.zst")}
    code, out, err = run("capture", folder, "--topic", topic, bootstrap=kafka)
    assert code == 0, err
    assert "240,000 records" in out
    assert sorted(read_log(folder)) == records
    entered = {segment.file for segment in manifest.segments}
    assert entered
    assert all((folder / name).stat().st_mtime_ns == kept[name] for name in entered)


async def test_a_full_disk_loses_nothing_written(kafka, large, tmp_path):
    """Where a segment does not fit, the command says so, keeps the others, and goes on once there is room."""
    topic, records = large
    folder = tmp_path / "log"
    code, _, err = run("capture", folder, "--topic", topic, bootstrap=kafka, limit_bytes=1_100_000)
    assert code == 1
    assert "free some space and run the same command again" in err
    manifest = read_manifest(folder)
    assert [segment.partition for segment in manifest.segments] == [0]
    assert not list(folder.glob("*.partial"))
    code, _, err = run("capture", folder, "--topic", topic, bootstrap=kafka)
    assert code == 0, err
    assert sorted(read_log(folder)) == records


def write(path, records):
    """Write a log file."""
    with log_writer(path) as writer:
        writer.write(records)
    return path


async def captured(kafka, folder, *topics):
    """Capture whole topics and return their records."""
    await capture(folder, {"bootstrap_servers": kafka}, [Wish(topic) for topic in topics])
    return list(read_log(folder))


async def test_replay_selects_loops_and_creates(kafka, suffix, tmp_path):
    """Topics are made where missing; seek, limit, topic choice and loops play just what they say."""
    log = write(
        tmp_path / "log.ndjson.zst",
        sorted(submissions(60) + make_log(seconds=30), key=lambda r: r.logged_at_ms),
    )
    names = [f"portal.submissions-{suffix}", f"npd.lookups-{suffix}"]
    code, out, err = run("replay", log, "--suffix", suffix, "--create", "--json", bootstrap=kafka)
    assert code == 0, err
    assert json.loads(out)["records"] == len(list(read_log(log)))
    found = await captured(kafka, tmp_path / "all", *names)
    assert by_partition(found) == {
        (f"{topic}-{suffix}", partition): records
        for (topic, partition), records in by_partition(read_log(log)).items()
    }
    only = ["--topic", "portal.submissions"]
    other = f"{suffix}-2"
    arguments = [*only, "--suffix", other, "--skip", 10, "--limit", 15, "--repeat", 3]
    code, _, err = run("replay", log, *arguments, "--create", bootstrap=kafka)
    assert code == 0, err
    found = await captured(kafka, tmp_path / "some", f"portal.submissions-{other}")
    chosen = sorted(submissions(60), key=lambda record: record.logged_at_ms)[10:25]
    assert sorted(record.value for record in found) == sorted([record.value for record in chosen] * 3)
    since = ["--since", "2023-06-12 08:00:20", "--until", "2023-06-12T01:00:25Z"]
    third = f"{suffix}-3"
    assert run("replay", log, *only, *since, "--suffix", third, "--create", bootstrap=kafka)[0] == 0
    found = await captured(kafka, tmp_path / "span", f"portal.submissions-{third}")
    assert sorted(json.loads(record.value)["event_id"] for record in found) == [
        f"s-{n}" for n in range(20, 25)
    ]
    code, _, err = run("replay", "--from-topic", names[0], bootstrap=kafka)
    assert code == 2
    assert "--suffix" in err


async def test_replay_from_topic_to_topic(kafka, suffix, tmp_path):
    """What lies on a topic can be replayed onto another without a file between."""
    source = f"source-{suffix}"
    await create(kafka, source, 2)
    await create(kafka, f"{source}-copy", 2)
    await publish(make_log(seconds=20), {"bootstrap_servers": kafka}, topic_names={"npd.lookups": source})
    code, _, err = run("replay", "--from-topic", source, "--suffix", "copy", bootstrap=kafka)
    assert code == 0, err
    found = await captured(kafka, tmp_path / "copy", f"{source}-copy")
    assert [part[1] for part in sorted(by_partition(found).items())] == [
        part[1] for part in sorted(by_partition(make_log(seconds=20)).items())
    ]


async def test_replay_pauses_stops_and_goes_on(kafka, suffix, tmp_path):
    """A signal pauses and resumes; an interrupt ends it with a count by which it goes on without a gap."""
    log = write(tmp_path / "log.ndjson", make_log(seconds=60))
    total = len(list(read_log(log)))
    arguments = ["replay", log, "--suffix", suffix]
    assert run(*arguments, "--create", "--limit", 0, bootstrap=kafka)[0] == 0
    process = start(*arguments, "--speed", 10, bootstrap=kafka)
    topic = f"npd.lookups-{suffix}"

    async def lying(number):
        return len(await captured(kafka, tmp_path / f"seen-{number}", topic))

    tries = 0
    while await lying(tries) < 20:
        assert process.poll() is None
        tries += 1
    process.send_signal(signal.SIGUSR1)
    await asyncio.sleep(0.3)
    held = await lying("held")
    await asyncio.sleep(1.0)
    assert await lying("held-still") == held < total
    process.send_signal(signal.SIGUSR1)
    while await lying(tries := tries + 1) <= held:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    skip = int(err.split("--skip ")[1].split()[0])
    assert held < skip < total
    assert await lying("ended") == skip
    started = time.monotonic()
    assert run(*arguments, "--skip", skip, bootstrap=kafka)[0] == 0
    assert time.monotonic() - started < 30
    found = await captured(kafka, tmp_path / "whole", topic)
    assert sorted(by_partition(found).values()) == sorted(by_partition(read_log(log)).values())


async def test_a_broken_log_is_refused_after_what_was_whole(kafka, suffix, tmp_path):
    """A log cut off in the middle: the records before are on the topic, the rest is named by line."""
    log = write(tmp_path / "log.ndjson", make_log(seconds=20))
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:50]) + lines[50][:20])
    code, _, err = run("replay", log, "--suffix", suffix, "--create", bootstrap=kafka)
    assert code == 2
    assert f"{log}:51: the file is cut off in the middle of a record" in err


async def test_pseudonymised_capture_gives_the_same_outages(kafka, suffix, tmp_path):
    """Captured with a key, no dossier of the original is left and the outages are the same."""
    topic = f"npd.lookups-{suffix}"
    await create(kafka, topic, 2)
    await publish(make_log(), {"bootstrap_servers": kafka}, topic_names={"npd.lookups": topic})
    (tmp_path / "key").write_bytes(b"not to be guessed by anybody\n")
    folder = tmp_path / "log"
    code, _, err = run(
        "capture", folder, "--topic", topic, "--pseudonymise", tmp_path / "key", bootstrap=kafka
    )
    assert code == 0, err
    records = [record._replace(topic="npd.lookups") for record in read_log(folder)]
    assert b'"D0' not in b"".join(record.value for record in records)
    found = replay.diff(replay.analyze(make_log()), replay.analyze(records))
    assert found.same == 1
    assert [*found.gained, *found.lost, *found.changed] == []
