"""Rules changed on a running pipeline hold from the named time on, and the capture gives the same bytes."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pipeline_logs import lookups, results
from small_logs import START_MS, Fault
from stages import Stage, gather, running
from typer.testing import CliRunner

from streams.cli.stages.rules import app as rules_app
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import GRID_MS, grid_after_ms, next_revision
from streams.kafka.publish import publish
from streams.kafka.read import topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.model.canonical import encode, final_outages
from streams.model.record import Record
from streams.model.settings import DetectSettings
from streams.model.topics import LOOKUPS, RULES
from streams.replay.analyze import analyze

pytestmark = pytest.mark.timeout(240)

DEAF = Rule(version="deaf", min_duration_ms=3_600_000, min_degraded_ms=3_600_000)
QUICK = Rule(version="quick", min_recovery_ms=9_000)


async def test_rules_change_on_a_running_pipeline_at_the_named_time(kafka: str, suffix: str, tmp_path: Path):
    """Two rules that come and one that goes while events flow hold from their event times on, `detect` being
    killed in between: the topics hold the bytes that `analyze` gives for the capture.
    """
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={LOOKUPS: 2})
    from_ms = grid_after_ms(START_MS + 900_000)
    until_ms = from_ms + 2 * GRID_MS  # edges are looked for in the ten minutes before
    at = [200, (from_ms - START_MS) // 1000 + 100, (until_ms - START_MS) // 1000 + 100]
    faults = [Fault(second, 120) for second in at]
    records = lookups(START_MS, at[-1] + 400, {"npd": faults, "tax": faults})
    said_ms = from_ms - DetectSettings().rule_lead_ms - 1_000
    past = [record for record in records if record.logged_at_ms < said_ms]
    names = topics.by_declared_name()
    await publish(iter(past), connection, topic_names=names)
    measure = Stage("measure", kafka, tmp_path, "--suffix", suffix, "--group", f"{suffix}-m")
    detect = Stage("detect", kafka, tmp_path, "--suffix", suffix, "--group", f"{suffix}-d")
    with running(measure, detect):
        before = results(analyze(past))
        published = await gather(kafka, topics, before, stages=[measure, detect])
        assert published.canonical() == before
        deaf = revision((), DEAF, ["*"], from_ms, said_ms)
        made = [deaf, revision((), QUICK, ["t*"], from_ms, said_ms)]
        made.append(revision([deaf], DEAF, ["*"], until_ms, said_ms, withdrawn=True))
        rules = [Record(RULES, 0, n, said_ms, one.key, encode(one)) for n, one in enumerate(made)]
        await publish(iter(rules), connection, topic_names=names)
        detect.kill_and_restart()
        await publish(iter(records[len(past) :]), connection, topic_names=names)
        expected = results(analyze([*records, *rules]))
        published = await gather(kafka, topics, expected, stages=[measure, detect])
        assert detect.log().count("rule_learned") == 3
    assert published.contradictions() == []
    assert published.canonical() == expected
    starts = [
        (o.link, o.rule_version, (o.start_ms - START_MS) // 1000) for o in final_outages(published.outages)
    ]
    near = [
        (link, rule, min(at, key=lambda second, start=start: abs(second - start)))
        for link, rule, start in starts
    ]
    assert sorted(near) == [
        ("npd", "cusum-1", at[0]),
        ("npd", "cusum-1", at[2]),
        ("tax", "cusum-1", at[0]),
        ("tax", "quick@1", at[1]),
        ("tax", "quick@1", at[2]),
    ]
    command = [sys.executable, "-m", "streams"]
    wished = ["--topic", LOOKUPS, "--topic", RULES, "--suffix", suffix, "--bootstrap-servers", kafka]
    for argv in (
        [*command, "capture", tmp_path / "log", *wished],
        [*command, "analyze", tmp_path / "log", "--out", tmp_path / "out"],
    ):
        await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    captured = {path.stem: path.read_bytes().splitlines() for path in (tmp_path / "out").iterdir()}
    assert captured == published.canonical()


def revision(before, values, links, from_ms, said_ms, *, withdrawn=False):
    """Return the next revision of a rule that the broker took at a time."""
    return next_revision(
        before,
        values.version,
        values,
        links,
        effective_from_ms=from_ms,
        author="office",
        reason="tried",
        recorded_at_ms=said_ms,
        withdrawn=withdrawn,
    )


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
    assert "already withdrawn" in run("withdraw", "patient", "--reason", "done").output
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
