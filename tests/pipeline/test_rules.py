"""Rules changed on a running pipeline hold from the named time on, and the capture gives the same bytes."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_logs import START_MS, Fault, draw_log
from stages import Stage, gather, running
from typer.testing import CliRunner

from streams.cli.rules import app as rules_app
from streams.detect.rule.rules import GRID_MS, grid_after_ms
from streams.kafka.publish import publish
from streams.kafka.read import topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.model.canonical import encode, final_outages
from streams.model.events import LOOKUPS, RULES, Heartbeat
from streams.model.record import Record
from streams.model.settings import DetectSettings
from streams.model.times import local_time
from streams.replay.analyze import analyze

pytestmark = pytest.mark.timeout(240)

DEAF = "version = 'deaf'\nmin_duration_ms = 3_600_000\nmin_degraded_ms = 3_600_000\n"
QUICK = "version = 'quick'\nmin_recovery_ms = 9_000\n"


def lookups(start_ms: int, seconds: int, faults: dict[str, list[Fault]]) -> list[Record]:
    """Return the records of some links from a time on, as they are logged."""
    told = [
        t for link, chosen in faults.items() for t in draw_log(1, seconds=seconds, link=link, faults=chosen)
    ]
    records, offsets = [], {}
    for one in sorted(told, key=lambda one: one.told_ms):
        offset = offsets[one.partition] = offsets.get(one.partition, -1) + 1
        key = None if isinstance(one.event, Heartbeat) else one.event.dossier_id.encode()
        moved = msgspec.structs.replace(
            one.event, occurred_at_ms=one.event.occurred_at_ms - START_MS + start_ms
        )
        at_ms = one.told_ms - START_MS + start_ms
        records.append(Record(LOOKUPS, one.partition, offset, at_ms, key, encode(moved)))
    return records


def results(analysis) -> dict[str, list[bytes]]:
    """Return what an analysis found, line by line."""
    return {
        "measurements": [encode(one) for one in analysis.measurements],
        "windows": [encode(one) for one in analysis.windows],
        "outages": [encode(one) for one in analysis.outages],
    }


async def test_rules_change_on_a_running_pipeline_at_the_named_time(kafka: str, suffix: str, tmp_path: Path):
    """Two rules applied and one withdrawn while events flow hold from their event times on, `detect` being
    killed in between: the topics hold the bytes that `analyze` gives for the capture.
    """
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={LOOKUPS: 2})

    async def command(*arguments: object) -> str:
        argv = [sys.executable, "-m", "streams", *map(str, arguments), "--suffix", suffix]
        argv += ["--bootstrap-servers", kafka]
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    now_ms = int(time.time() * 1000)
    from_ms = grid_after_ms(now_ms + DetectSettings().rule_lead_ms + 60_000)
    until_ms = from_ms + 2 * GRID_MS  # edges are looked for in the ten minutes before
    start_ms = from_ms - 2 * GRID_MS - 300_000
    seconds = (until_ms + GRID_MS - start_ms) // 1000
    at = [200, (from_ms - start_ms) // 1000 + 100, (until_ms - start_ms) // 1000 + 100]
    faults = [Fault(second, 120) for second in at]
    records = lookups(start_ms, seconds, {"npd": faults, "tax": faults})
    past = [record for record in records if record.logged_at_ms < now_ms]
    names = topics.by_declared_name()
    await publish(iter(past), connection, topic_names=names)
    measure = Stage("measure", kafka, tmp_path, "--suffix", suffix, "--group", f"{suffix}-m")
    detect = Stage("detect", kafka, tmp_path, "--suffix", suffix, "--group", f"{suffix}-d")
    with running(measure, detect):
        before = results(analyze(past))
        published = await gather(kafka, topics, before, stages=[measure, detect])
        assert published.canonical() == before
        rule_file = {name: tmp_path / f"{name}.toml" for name in ("deaf", "quick")}
        rule_file["deaf"].write_text(DEAF)
        rule_file["quick"].write_text(QUICK)
        common = ("--from", local_time(from_ms).replace(" ", "T"), "--reason", "tried", "--json")
        said = json.loads(await command("rules", "apply", rule_file["deaf"], *common))
        assert said["effective_ms"] == from_ms
        await command("rules", "apply", rule_file["quick"], "--link", "t*", *common)
        await command(
            "rules", "withdraw", "deaf", "--reason", "deaf", "--from", local_time(until_ms).replace(" ", "T")
        )
        detect.kill_and_restart()
        await publish(iter(records[len(past) :]), connection, topic_names=names)
        told = [
            r._replace(topic=RULES)
            async for batch in topic_batches(connection, [topics.rules])
            for r in batch
        ]
        expected = results(analyze([*records, *told]))
        published = await gather(kafka, topics, expected, stages=[measure, detect])
    assert published.contradictions() == []
    assert published.canonical() == expected
    found = [
        (o.link, o.rule_version, (o.start_ms - start_ms) // 1000) for o in final_outages(published.outages)
    ]
    near = [(link, rule, min(at, key=lambda second: abs(second - start))) for link, rule, start in found]
    assert sorted(near) == [
        ("npd", "cusum-1", at[0]),
        ("npd", "cusum-1", at[2]),
        ("tax", "cusum-1", at[0]),
        ("tax", "quick@1", at[1]),
        ("tax", "quick@1", at[2]),
    ]
    await command("capture", tmp_path / "log", "--topic", LOOKUPS, "--topic", RULES)
    argv = [sys.executable, "-m", "streams", "analyze", tmp_path / "log", "--out", tmp_path / "out"]
    await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    captured = {path.stem: path.read_bytes().splitlines() for path in (tmp_path / "out").iterdir()}
    assert captured == published.canonical()


def test_the_commands_refuse_what_cannot_be(kafka: str, suffix: str, tmp_path: Path):
    """Whatever is wrong with a rule ends with exit 2, is named, and writes nothing; the history stays."""
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    asyncio.run(create_topics(connection, topics))
    file, wrong = tmp_path / "rule.yaml", tmp_path / "wrong.yaml"
    file.write_text("version: patient\nslow_factor: 4.0\n")
    wrong.write_text("version: wrong\nslow_facter: 4.0\n")

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(
            rules_app, [*map(str, arguments), "--suffix", suffix, "--bootstrap-servers", kafka]
        )

    for arguments, named in [
        (("apply", wrong, "--reason", "x"), "slow_facter"),
        (("apply", file, "--reason", "x", "--from", "2025-01-01T00:00"), "the earliest is"),
        (("apply", file, "--reason", "x", "--from", "2099-01-01T00:05"), "as at 2099-01-01 00:10"),
        (("apply", file, "--reason", ""), "reason"),
        (("apply", file, "--reason", "x", "--id", "with space"), "rule_id"),
        (("withdraw", "nobody", "--reason", "x"), "there is no rule 'nobody'"),
        (("show", "nobody"), "there is no rule 'nobody'"),
    ]:
        refused = run(*arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert named in refused.output
    assert json.loads(run("list", "--json").stdout) == []
    for link in ("a-*", "b-*", "b-*"):
        assert run("apply", file, "--reason", "slow", "--author", "office", "--link", link).exit_code == 0
    assert run("withdraw", "patient", "--reason", "done").exit_code == 0
    assert "withdrawn already" in run("withdraw", "patient", "--reason", "done").output
    shown = json.loads(run("show", "patient", "--json").stdout)
    assert [(one["revision"], one["links"], one["withdrawn"]) for one in shown] == [
        (1, ["a-*"], False),
        (2, ["b-*"], False),
        (3, ["b-*"], True),
    ]
    assert [one["differs"] for one in shown] == [{"slow_factor": 4.0}] * 3
    assert "slow_factor = 4" in run("show", "patient").stdout
    assert "patient" in run("list").stdout
    spans = json.loads(run("list", "--link", "a-1", "--json").stdout)
    assert spans[0] == {"from_ms": None, "rule": "cusum-1"}
    records = asyncio.run(keys(connection, topics.rules))
    assert len(set(records)) == len(records) == 3


async def keys(connection: dict[str, Any], topic: str) -> list[bytes]:
    """Return the keys of a topic's records."""
    return [record.key async for batch in topic_batches(connection, [topic]) for record in batch]
