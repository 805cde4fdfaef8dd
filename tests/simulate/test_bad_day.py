"""The bad day, everything at once: published to a real broker, measured and detected there, and scored."""

import asyncio
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest
from stages import Stage, gather, running

from streams.kafka.topics import Topics, create_topics
from streams.model.canonical import encode
from streams.replay.analyze import analyze
from streams.score.score import score
from streams.score.truth import Truth as ScoredTruth
from streams.simulate.generate import Run
from streams.simulate.shell import load_scenario, publish_log, write_truth

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SCALE = 0.3


async def test_bad_day_through_the_broker(kafka: str, catalogue, tmp_path: Path):
    """The day published to Kafka gives the outages of the pure pipeline, and `score` prints its table."""
    scenario = load_scenario("bad-day", catalogue)
    topics = Topics().suffixed(uuid.uuid4().hex[:8])
    connection = {"bootstrap_servers": kafka}
    await create_topics(connection, topics)
    reached: list[int] = []
    truth = await publish_log(
        Run(catalogue, scenario, scale=SCALE),
        connection,
        speed=None,
        progress=reached.append,
        topic_names=topics.by_declared_name(),
    )
    assert reached == sorted(reached)
    analysis = await asyncio.to_thread(analyze, Run(catalogue, scenario, scale=SCALE).records())
    expected = {
        "measurements": [encode(m) for m in analysis.measurements],
        "windows": [encode(w) for w in analysis.windows],
        "outages": [encode(o) for o in analysis.outages],
    }
    suffix = topics.lookups.removeprefix("npd.lookups-")
    options = ("--suffix", suffix, "--group")
    stages = [Stage(name, kafka, tmp_path, *options, f"{suffix}-{name}") for name in ("measure", "detect")]
    with running(*stages):
        published = await gather(kafka, topics, expected, stages=stages, patience_seconds=180)
    assert published.canonical()["outages"] == expected["outages"]

    outages, truth_file = tmp_path / "outages.ndjson", tmp_path / "truth.json"
    outages.write_bytes(b"".join(encode(outage) + b"\n" for outage in published.outages))
    write_truth(truth, truth_file)
    result = score(published.outages, msgspec.json.decode(truth_file.read_bytes(), type=ScoredTruth))
    assert result.all.incidents >= 15
    assert result.all.recall >= 0.85
    assert result.precision >= 0.85
    command = [sys.executable, "-m", "streams", "score", str(outages), str(truth_file)]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    for part in ("all", "10-60/min", "10-60 min", "precision", "per link-week", "availability error"):
        assert part in run.stdout
