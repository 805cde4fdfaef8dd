"""Real parts for the tests: a broker and a database for the whole session, the others where asked for."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from real_parts import needed_part, program_or_skip
from verapdf import VeraPdf

from streams.servers.alertmanager import Alertmanager
from streams.servers.chromium import Chromium
from streams.servers.debian import Program
from streams.servers.kafka import EmbeddedKafka
from streams.servers.postgres import Postgres
from streams.servers.prometheus import Prometheus

# How long an example takes says nothing on a busy machine, so no test is judged by it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
# Stages of tests run beside each other, and beside those of whoever works on this machine.
os.environ["PORTALLINK_METRICS_PORT"] = "0"

# A test that asks for a part carries its marker, so that `-m "not kafka"` needs no care in the tests.
MARKER_OF_FIXTURE = {
    "kafka": "kafka",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus",
    "amtool": "prometheus",
    "postgres": "postgres",
    "chromium": "browser",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the real parts it uses, and put the files that take long first.

    Whole files go to the next free process, so a long one taken up last would leave the others idle.
    """
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKER_OF_FIXTURE:
                item.add_marker(MARKER_OF_FIXTURE[fixture])
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Apache Kafka that lives as long as the test session."""
    with contextlib.ExitStack() as running:
        with needed_part():
            broker = running.enter_context(EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port=0))
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Return a real PostgreSQL that lives as long as the test session; make a database of your own in it."""
    with contextlib.ExitStack() as running:
        with needed_part():
            server = running.enter_context(Postgres(tmp_path_factory.mktemp("postgres")))
        yield server


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Return a real headless Chromium that lives as long as the test session."""
    with contextlib.ExitStack() as running:
        with needed_part():
            browser = running.enter_context(Chromium(tmp_path_factory.mktemp("chromium")))
        yield browser


@pytest.fixture(scope="session")
def verapdf() -> VeraPdf:
    """Return the reference validator of PDF/UA."""
    with needed_part():
        return VeraPdf()


@pytest.fixture(scope="session")
def promtool() -> Program:
    """Return Prometheus's own checker."""
    return program_or_skip("promtool")


@pytest.fixture(scope="session")
def amtool() -> Program:
    """Return Alertmanager's own checker."""
    return program_or_skip("amtool")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[..., Prometheus]]:
    """Start real Prometheus servers: call it with a configuration file."""
    with contextlib.ExitStack() as running:

        def start(config: Path, **settings: object) -> Prometheus:
            with needed_part():
                return running.enter_context(
                    Prometheus(tmp_path / f"prometheus-{uuid.uuid4().hex[:6]}", config, **settings)
                )

        yield start


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Callable[..., Alertmanager]]:
    """Start real Alertmanagers: call it with a configuration file."""
    with contextlib.ExitStack() as running:

        def start(config: Path) -> Alertmanager:
            with needed_part():
                return running.enter_context(
                    Alertmanager(tmp_path / f"alertmanager-{uuid.uuid4().hex[:6]}", config)
                )

        yield start


@pytest.fixture
def suffix() -> str:
    """Return a name no other test has: `Topics().suffixed(suffix)` keeps tests on one broker apart."""
    return uuid.uuid4().hex[:10]
