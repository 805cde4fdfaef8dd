"""Ledgers for tests: made on the database asked for, and read back as plain values."""

import uuid

import sqlalchemy as sa

from streams.ledger.store.database import reading
from streams.ledger.store.schema import metadata

NOT_COMPARED = {"tree_heads", "audit_trail"}


def contents(engine: sa.Engine) -> dict[str, list[tuple]]:
    """Return everything in a ledger but what only its own keeper adds, in a fixed order."""
    with reading(engine) as connection:
        return {
            table.name: sorted(
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
                for row in connection.execute(sa.select(table)).all()
            )
            if table.name not in ("outages", "incidents")
            else sorted((tuple(row) for row in connection.execute(sa.select(table)).all()), key=repr)
            for table in metadata.sorted_tables
            if table.name not in NOT_COMPARED
        }


def new_postgres_database(postgres) -> str:
    """Return the address of a new database on the session's PostgreSQL."""
    name = f"ledger_{uuid.uuid4().hex[:10]}"
    admin = sa.create_engine(postgres.url(driver="psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return postgres.url(name)
