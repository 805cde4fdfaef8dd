"""Settings changed on a running pipeline hold from the named time on; stages on different settings say so."""

import asyncio
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pipeline_logs import lookups, results
from small_logs import START_MS, Fault
from stages import Stage, gather, running

from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.logs.settings_file import read_settings
from streams.model.settings import CHANGE_GRID_MS
from streams.model.topics import LOOKUPS
from streams.replay.analyze import analyze
from streams.servers.process import free_port

pytestmark = pytest.mark.timeout(240)

CHANGE_MS = -(-(START_MS + 600_000) // CHANGE_GRID_MS) * CHANGE_GRID_MS


async def test_settings_change_on_a_running_pipeline_at_the_named_time(kafka, suffix, tmp_path: Path):
    """A longer time-out, named for a time to come and taken in by kill -9 and restart, holds from then on:
    the topics hold the bytes that `analyze` gives for the capture, in which the settings stand.
    """
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={LOOKUPS: 2})
    swallowed = [Fault(second, 120, outcome=None) for second in (200, (CHANGE_MS - START_MS) // 1000 + 100)]
    records = lookups(START_MS, (CHANGE_MS - START_MS) // 1000 + 600, {"npd": swallowed})
    early = [record for record in records if record.logged_at_ms < CHANGE_MS - 60_000]
    names = topics.by_declared_name()
    file = tmp_path / "stages.toml"
    file.write_text("max_links = 500\n")
    first = read_settings(file)
    await publish(iter(early), connection, topic_names=names)
    common = ("--suffix", suffix, "--settings", str(file), "--group")
    measure = Stage("measure", kafka, tmp_path, *common, f"{suffix}-m")
    detect = Stage("detect", kafka, tmp_path, *common, f"{suffix}-d")
    with running(measure, detect):
        before = results(analyze(early, settings=first))
        published = await gather(kafka, topics, before, stages=[measure, detect])
        assert published.canonical() == before
        named = datetime.fromtimestamp(CHANGE_MS / 1000, tz=UTC).isoformat()
        file.write_text(f"max_links = 500\n\n[[changes]]\nfrom = {named}\nlookup_timeout_ms = 90_000\n")
        measure.kill_and_restart()
        detect.kill_and_restart()
        await publish(iter(records[len(early) :]), connection, topic_names=names)
        expected = results(analyze(records, settings=read_settings(file)))
        published = await gather(kafka, topics, expected, stages=[measure, detect])
        assert "settings_compared" not in detect.log()
    assert published.contradictions() == []
    assert published.canonical() == expected
    unchanged = analyze(records, settings=first)
    cut_before = sum(m.watermark_ms < CHANGE_MS for m in unchanged.measurements)
    assert 0 < cut_before < len(expected["measurements"])
    digests = {m.settings: m.watermark_ms >= CHANGE_MS for m in published.measurements}
    assert sorted(digests.values()) == [False, True]
    changed = analyze(records, settings=read_settings(file))
    assert changed.final()[0] == unchanged.final()[0]
    opened = [[one for one in of.outages if one.revision == 1] for of in (unchanged, changed)]
    later_ms = [b.detected_at_ms - a.detected_at_ms for a, b in zip(*opened, strict=True)]
    assert later_ms == [0, 60_000]
    command = [sys.executable, "-m", "streams"]
    wished = ["--topic", LOOKUPS, "--suffix", suffix, "--settings", file, "--bootstrap-servers", kafka]
    for argv in (
        [*command, "capture", tmp_path / "log", *wished],
        [*command, "analyze", tmp_path / "log", "--out", tmp_path / "out"],
    ):
        await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    captured = {path.stem: path.read_bytes().splitlines() for path in (tmp_path / "out").iterdir()}
    assert captured == published.canonical()


async def test_stages_on_different_settings_say_so(kafka, suffix, tmp_path: Path):
    """`detect` that goes by other settings than `measure` logs it once a source, and shows it in a metric."""
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={LOOKUPS: 2})
    file, port = tmp_path / "stages.toml", free_port()
    file.write_text("max_links = 500\n")
    records = lookups(START_MS, 120, {"npd": []})
    await publish(iter(records), connection, topic_names=topics.by_declared_name())
    measure = Stage(
        "measure", kafka, tmp_path, "--suffix", suffix, "--settings", str(file), "--group", suffix
    )
    detect = Stage(
        "detect", kafka, tmp_path, "--suffix", suffix, "--metrics-port", str(port), "--group", f"{suffix}-d"
    )
    with running(measure, detect):
        expected = results(analyze(records, settings=read_settings(file)))
        await gather(kafka, topics, expected, stages=[measure, detect])
        said = [line for line in detect.log().splitlines() if "settings_compared" in line]
        url = f"http://127.0.0.1:{port}/metrics"
        answer = await asyncio.to_thread(urllib.request.urlopen, url)
        metrics = [line for line in answer.read().decode().splitlines() if "_settings_differ{" in line]
    assert len(said) == 2
    assert all('"level":"error"' in line and '"same":false' in line for line in said)
    assert sorted(metrics) == [
        f'portallink_settings_differ{{stage="detect",partition="npd.lookups-{number}"}} 1'
        for number in (0, 1)
    ]
