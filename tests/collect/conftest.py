"""What the tests of `collect` share."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import pytest
from collecting import Collect, collecting

from streams.kafka.topics import Topics, create_topics
from streams.servers.process import free_port


@pytest.fixture
def collect(kafka, suffix, tmp_path) -> Iterator[Callable[..., contextlib.AbstractContextManager[Collect]]]:
    """Return what runs `collect` on topics of the test's own: call it with options."""
    topics = Topics().suffixed(suffix)
    asyncio.run(create_topics({"bootstrap_servers": kafka}, topics))
    return lambda *options, **how: collecting(kafka, topics, suffix, tmp_path, *options, **how)


@pytest.fixture
def nobody() -> str:
    """Return an address at which no broker listens."""
    return f"127.0.0.1:{free_port()}"
