"""The backup of the ledger and its key, taken from a real PostgreSQL and restored into another database."""

import os
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams.ledger.store.database import open_ledger
from streams.servers.debian import find_program

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "backup.sh"


@pytest.fixture
def database(postgres):
    """Return the addresses of a fresh ledger and of an empty database, in a real PostgreSQL."""
    engine = sa.create_engine(postgres.url("postgres", driver="psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("kept", "restored"):
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name}"))
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres.url("kept"), postgres.url("restored")


def run(command, database, **more):
    """Run a program of PostgreSQL's, or the script that uses them, against a database."""
    program = find_program("postgres")
    folder = str(Path(program.path).parent)
    address = sa.make_url(database)
    known = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PGHOST": address.host or address.query.get("host"),
        "PGPORT": str(address.port or ""),
        "PGUSER": address.username,
        "PGPASSWORD": address.password,
        "PGDATABASE": address.database,
    }
    env = {**program.env, **{name: value for name, value in known.items() if value}, **more}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def rows(database):
    """Return how many rows each table of a database has."""
    engine = open_ledger(database)
    with engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        counted = {
            name: connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) for name in names
        }
    engine.dispose()
    return counted


def test_a_backup_can_be_restored_and_only_the_last_are_kept(database, tmp_path):
    """The dump holds every table with its rows, the key lies beside it, and older ones go."""
    kept, restored = database
    open_ledger(kept, create=True).dispose()
    key, backups = tmp_path / "ledger-key.pem", tmp_path / "backups"
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
    backups.mkdir()
    for number in range(3):
        (backups / f"ledger-2020010{number}T000000Z.dump").write_text("old")
        (backups / f"ledger-key-2020010{number}T000000Z.pem").write_text("old")
    settings = {"BACKUPS": str(backups), "LEDGER_KEY": str(key), "KEEP": "2"}
    done = run(["/bin/sh", str(SCRIPT)], kept, **settings)
    assert done.returncode == 0, done.stderr
    dump = Path(done.stdout.strip())
    assert sorted(one.name for one in backups.glob("*.dump")) == ["ledger-20200102T000000Z.dump", dump.name]
    saved = backups / dump.name.replace("ledger-", "ledger-key-").replace(".dump", ".pem")
    assert saved.read_bytes() == key.read_bytes()
    assert saved.stat().st_mode & 0o077 == 0
    put_back = run(["pg_restore", "--clean", "--if-exists", "--dbname=restored", str(dump)], restored)
    assert put_back.returncode == 0, put_back.stderr
    assert rows(restored) == rows(kept)
    assert len(rows(kept)) > 5


def test_a_database_that_is_away_leaves_nothing_behind(tmp_path):
    """Without a database there is an error, and neither half a dump nor a key."""
    (tmp_path / "key").write_text("k")
    settings = {"BACKUPS": str(tmp_path), "LEDGER_KEY": str(tmp_path / "key"), "KEEP": "2"}
    done = run(["/bin/sh", str(SCRIPT)], "postgresql://nobody@127.0.0.1:9/none", **settings)
    assert done.returncode != 0
    assert done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["key"]
