"""Real parts for the whole session: each is started once, by the first test that asks for it."""

import contextlib
import os
import uuid
from collections.abc import Iterator

import pytest

from streams.parts.errors import PartUnavailableError
from streams.parts.kafka import EmbeddedKafka

# A test that asks for the fixture carries the marker, so that `-m "not kafka"` needs no care in the tests.
MARKER_OF_FIXTURE = {"kafka": "kafka"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the real parts it uses."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKER_OF_FIXTURE:
                item.add_marker(MARKER_OF_FIXTURE[fixture])


@contextlib.contextmanager
def needed_part() -> Iterator[None]:
    """Skip what needs a part that is not to be had, naming it; in CI nothing is skipped unseen."""
    try:
        yield
    except PartUnavailableError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Apache Kafka that lives as long as the test session."""
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    with needed_part():
        broker.__enter__()
    try:
        yield broker.bootstrap_servers
    finally:
        broker.__exit__(None, None, None)


@pytest.fixture
def suffix() -> str:
    """Return a name no other test has: `Topics().suffixed(suffix)` keeps tests on one broker apart."""
    return uuid.uuid4().hex[:10]
