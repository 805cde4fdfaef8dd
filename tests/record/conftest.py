"""A ledger on each real database, made by the same migrations."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from streams.ledger.database import open_ledger, sqlite_url


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


def new_postgres_database(postgres) -> str:
    """Return the address of a new database on the session's PostgreSQL."""
    name = f"ledger_{uuid.uuid4().hex[:10]}"
    admin = sa.create_engine(postgres.url(driver="psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return postgres.url(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the PostgreSQL half, so that `-m "not postgres"` leaves it out."""
    for item in items:
        if "ledger_url" in getattr(item, "fixturenames", ()) and "postgresql" in item.name:
            item.add_marker("postgres")
