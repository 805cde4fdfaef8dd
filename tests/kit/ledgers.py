"""Ledgers for tests: made on the database asked for, and read back as plain values."""

import uuid

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams.ledger.proof.heads import sign_head
from streams.ledger.proof.signed import Finding
from streams.ledger.proof.verify import verify_ledger
from streams.ledger.store.database import reading, writing
from streams.ledger.store.schema import metadata, tree_heads

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


def findings(engine: sa.Engine) -> list[Finding]:
    """Sign a ledger as it stands and return what verifying it finds."""
    key = Ed25519PrivateKey.generate()
    with writing(engine) as connection:
        connection.execute(tree_heads.delete())
        sign_head(connection, key, 1_000)
    with reading(engine) as connection:
        return verify_ledger(connection, key.public_key()).findings


def new_postgres_database(postgres) -> str:
    """Return the address of a new database on the session's PostgreSQL."""
    name = f"ledger_{uuid.uuid4().hex[:10]}"
    admin = sa.create_engine(postgres.url(driver="psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return postgres.url(name)
