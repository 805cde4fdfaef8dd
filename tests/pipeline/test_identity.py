"""The brokered pipeline and `analyze` agree to the byte, whatever happens on the way."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from stages import Stage, gather, random_kills, running

from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.logs.read import read_log
from streams.replay.analyze import Analysis, analyze
from streams.simulate.generate import Run
from streams.simulate.shell import load_catalogue, load_scenario, write_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """Write one simulated morning with duplicates, disorder and late records, in two partitions a topic."""
    catalogue = load_catalogue()
    path = tmp_path_factory.mktemp("log") / "morning.ndjson"
    run = Run(catalogue, load_scenario("monday-morning", catalogue), seed=7, partitions=2)
    write_log(run, path, lambda _: None)
    return path


@pytest.fixture(scope="module")
def analysis(log: Path) -> Analysis:
    """Return what the pure pipeline makes of the log."""
    return analyze(log)


@pytest.fixture(scope="module")
def expected(analysis: Analysis, tmp_path_factory) -> dict[str, list[bytes]]:
    """Return the lines of the files that `analyze --out` writes."""
    folder = tmp_path_factory.mktemp("expected")
    analysis.write(folder)
    return {file.stem: file.read_bytes().splitlines() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def events(kafka: str, log: Path) -> Topics:
    """Return topics of which the event topics hold the log."""
    topics = Topics().suffixed(f"identity-{uuid.uuid4().hex[:6]}")
    connection = {"bootstrap_servers": kafka}

    async def load() -> None:
        await create_topics(connection, topics, partitions={"npd.lookups": 2, "portal.submissions": 2})
        await publish(read_log(log), connection, topic_names=topics.by_declared_name())

    asyncio.run(load())
    return topics


def test_the_log_has_what_makes_it_hard(analysis: Analysis):
    """The log holds over 200,000 records with duplicates and late ones, and outages are found in it."""
    records = analysis.records
    assert records.applied + records.duplicate + records.late > 200_000
    assert records.duplicate > 100
    assert records.late > 100
    assert records.dead_letter == 0
    assert len(analysis.final()) >= 3


@pytest.mark.parametrize(
    ("max_records", "measures", "seed"),
    [(100, 1, None), (10_000, 2, None), (500, 2, 11), (2_000, 1, 12), (500, 2, 13)],
    ids=["small-polls", "two-processes-large-polls", "killed-11", "killed-12", "killed-13"],
)
async def test_any_run_gives_the_bytes_of_analyze(
    kafka: str, events: Topics, expected, tmp_path: Path, max_records: int, measures: int, seed: int | None
):
    """Poll sizes, processes that share the work, and kill -9 at random moments change not one byte."""
    suffix = f"run-{uuid.uuid4().hex[:6]}"
    topics = replace(Topics().suffixed(suffix), lookups=events.lookups, submissions=events.submissions)
    await create_topics({"bootstrap_servers": kafka}, Topics().suffixed(suffix))
    event_suffix = events.lookups.removeprefix("npd.lookups-")
    common = ("--suffix", suffix, "--events-suffix", event_suffix, "--group", suffix)
    stages = [
        Stage("measure", kafka, tmp_path, *common, "--max-records", str(max_records)) for _ in range(measures)
    ]
    stages.append(
        Stage(
            "detect",
            kafka,
            tmp_path,
            "--suffix",
            suffix,
            "--events-suffix",
            event_suffix,
            "--group",
            f"{suffix}-d",
        )
    )
    with running(*stages):
        kills = [] if seed is None else random_kills(seed, stages, times=4)
        published = await gather(kafka, topics, expected, stages=stages, kills=kills)
    assert published.contradictions() == []
    found = published.canonical()
    for name, lines in expected.items():
        assert found[name] == lines, f"{name}: {len(found[name])} lines, {len(lines)} expected"
