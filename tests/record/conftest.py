"""A ledger on each real database, made by the same migrations."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import worked_month as month
from ledgers import new_postgres_database

from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database that holds nothing yet."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "ledger.db")
    return new_postgres_database(request.getfixturevalue("postgres"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[sa.Engine]:
    """Return an empty ledger."""
    engine = open_ledger(ledger_url, create=True)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a database that holds nothing yet, for one file of tests."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path_factory.mktemp("ledger") / "ledger.db")
    return new_postgres_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="module")
def month_ledger(any_database: str) -> Iterator[sa.Engine]:
    """Return a ledger of the worked month, for tests that only read."""
    engine = open_ledger(any_database, create=True)
    apply_records(engine, month.records())
    yield engine
    engine.dispose()


@pytest.fixture
def new_ledger(tmp_path: Path) -> Iterator[Callable[[str], sa.Engine]]:
    """Return what opens a further ledger, empty and in a file, under a name; closed after the test."""
    opened: list[sa.Engine] = []

    def open_named(name: str) -> sa.Engine:
        opened.append(open_ledger(sqlite_url(tmp_path / f"{name}.db"), create=True))
        return opened[-1]

    yield open_named
    for engine in opened:
        engine.dispose()


@pytest.fixture(autouse=True)
def _all_closed() -> Iterator[None]:
    """Fail a test that leaves a database connection to the garbage collector, which warns of it."""
    yield
    gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the PostgreSQL half, so that `-m "not postgres"` leaves it out."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & {"ledger_url", "any_database"} and "postgresql" in item.name:
            item.add_marker("postgres")
