"""Open the ledger's database: SQLite in a file, or PostgreSQL; both use the same migrations.

There is one writer at a time: SQLite takes its write lock at the start of the transaction, PostgreSQL holds
an advisory lock until its end. Readers never wait for a writer (WAL, MVCC) and see one state per transaction.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from streams.ledger.store.address import Address

MIGRATIONS: Final = Path(__file__).with_name("migrations")
WRITER_LOCK: Final = 0x706C_6564  # an arbitrary constant shared by all writers of a ledger
BUSY_TIMEOUT_MS: Final = 60_000


class LedgerError(RuntimeError):
    """The ledger cannot be opened or used; the message says what to do."""


class LedgerDiskError(LedgerError):
    """The ledger's disk is full, or fails."""


DISK_FAILS: Final = frozenset([sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])


def sqlite_url(path: Path) -> str:
    """Return the database URL of a ledger in a file."""
    return f"sqlite:///{path}"


def open_ledger(url: str | Address, *, create: bool = False) -> sa.Engine:
    """Open a ledger; with ``create``, create or migrate its tables first.

    Raises `LedgerError` if there is none, it cannot be reached, or its version differs. No message contains
    the address's password.
    """
    address = url if isinstance(url, Address) else Address(url)
    try:
        parsed = sa.make_url(address.reveal())
    except (sa.exc.ArgumentError, ValueError):
        # Not chained: the parser quotes the address, which may hold a password.
        raise LedgerError(f"{address!r} is no database address: sqlite:///FILE or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        path = Path(parsed.database or "")
        if not create and not path.is_file():
            raise LedgerError(f"there is no ledger at {path}; `portallink ledger rebuild` makes one")
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed)
        _prepare_sqlite(engine)
    elif backend == "postgresql":
        engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
        _prepare_postgresql(engine)
    else:
        raise LedgerError(f"a ledger lives in SQLite or PostgreSQL, not in {backend}")
    try:
        if create:
            _migrate(engine)
        else:
            _check_version(engine)
    except BaseException as error:
        engine.dispose()
        if not isinstance(error, SQLAlchemyError):
            raise
        orig = getattr(error, "orig", None)
        kind = LedgerDiskError if getattr(orig, "sqlite_errorcode", 0) & 0xFF in DISK_FAILS else LedgerError
        raise kind(f"cannot use the ledger at {address}: {address.redact(orig or error)}") from None
    return engine


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection that reads one consistent state of the ledger while others write."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: sa.Engine, *, wait_ms: int = BUSY_TIMEOUT_MS) -> Iterator[sa.Connection]:
    """Open a transaction as the only writer; wait up to ``wait_ms`` for another writer to finish.

    Raises `sqlalchemy.exc.OperationalError` if it does not finish in time.
    """
    with engine.connect() as connection:
        connection.info["write"] = wait_ms
        try:
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait_ms}")
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITER_LOCK)))
                yield connection
        finally:
            connection.info.pop("write", None)


def _prepare_sqlite(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _: Any) -> None:
        # The driver's own transaction handling begins too late for a consistent read.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "cache_size=-65536",
            "mmap_size=1073741824",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        wait_ms = connection.info.get("write")
        if wait_ms is None:
            connection.exec_driver_sql("BEGIN")
            return
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait_ms}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _prepare_postgresql(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _: Any) -> None:
        # Queries read a few hundred rows by index from cached pages. With settings meant for disks, the
        # server would scan whole tables, compile queries that take milliseconds, and reuse one plan for
        # a query whether its period is a day or ten years.
        connection.execute("SET random_page_cost = 1.1")
        connection.execute("SET jit = off")
        connection.execute("SET plan_cache_mode = force_custom_plan")
        connection.commit()


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _migrate(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        command.upgrade(_config(connection), "head")


def _check_version(engine: sa.Engine) -> None:
    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        newest = ScriptDirectory.from_config(_config(connection)).get_current_head()
    if found != newest:
        raise LedgerError(
            f"the ledger's tables are of version {found or 'none'}, this program's of {newest}: "
            "start `portallink run record` or run `portallink ledger migrate`"
        )
