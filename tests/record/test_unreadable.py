"""A ledger with anything in any cell: checking it ends, names what cannot be read, and goes on."""

from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from streams.cli.ledger.ledger import app as ledger_app
from streams.ledger.proof.heads import sign_head
from streams.ledger.proof.verify import verify_ledger
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url, writing
from streams.ledger.store.schema import DERIVED, HISTORY, exclusion_revisions, outage_revisions, tree_heads
from streams.model.exclusion import new_exclusion
from streams.model.record import Record
from streams.model.retirement import retire

KEY = Ed25519PrivateKey.generate()
UNCHECKED = {"refusals", "links"}
"""Tables from which nothing is counted, and the one that says which days are there to be counted."""
TABLES = [table for table in (*HISTORY, *DERIVED, tree_heads) if table.name not in UNCHECKED]
GARBAGE = {
    "a word": "x'6f6e65' || 'one'",
    "no text": "CAST(x'ff00fe' AS TEXT)",
    "bytes": "x'ff00fe'",
    "empty": "''",
    "below zero": "-1",
    "huge": str(2**62),
    "a fraction": "1.5",
    "nothing": "NULL",
    "nested": f"CAST('{'[' * 2000}' AS BLOB)",
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """Return the ledger of an hour: an outage in two revisions, an exclusion, windows and two heads."""
    engine = open_ledger(sqlite_url(tmp_path_factory.mktemp("odd") / "ledger.db"), create=True)
    start, end = month.at(3, 8, 30), month.at(3, 9, 40)
    kept = [
        one for one in month.records() if one.topic == "link.exclusions" or start < one.logged_at_ms < end
    ]
    part = new_exclusion(
        month.LINK, start, month.at(3, 9), kind="exclusion", author="ops", reason="x", recorded_at_ms=end
    )
    following = 1 + max(one.offset for one in kept if one.topic == "link.exclusions")
    kept.append(Record("link.exclusions", 0, following, end, b"", msgspec.json.encode(part)))
    retired = retire(None, month.LINK, month.at(20, 0), "ops", "replaced", end)
    kept.append(Record("link.retirements", 0, 0, end, b"", msgspec.json.encode(retired)))
    for records in (kept[: len(kept) // 2], kept[len(kept) // 2 :]):
        apply_records(engine, records)
        with writing(engine) as connection:
            sign_head(connection, KEY, 1_000)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_checking_a_ledger_with_anything_in_it_ends(ledger: sa.Engine, table: sa.Table) -> None:
    """Whatever one cell of a table holds, checking ends with findings and never with an error."""
    silent = []
    for column in table.columns:
        for name, garbage in GARBAGE.items():
            with ledger.connect() as connection, connection.begin() as transaction:
                spoilt = spoil(connection, table, column.name, garbage)
                if spoilt and not verify_ledger(connection, KEY.public_key()).findings:
                    silent.append((column.name, name))
                transaction.rollback()
    assert silent == []


def spoil(connection: sa.Connection, table: sa.Table, column: str, garbage: str) -> bool:
    """Put something into a column of a table's first row; say whether it is there and was not before."""
    keys = " AND ".join(f"{key.name} = ?" for key in table.primary_key)
    first = connection.execute(sa.select(*table.primary_key).order_by(*table.primary_key).limit(1)).one()
    differs = f"typeof({column}) || quote({column}) != typeof({garbage}) || quote({garbage})"
    change = f"UPDATE {table.name} SET {column} = {garbage} WHERE {keys} AND {differs}"  # noqa: S608 - names of ours
    try:
        return bool(connection.exec_driver_sql(change, tuple(first)).rowcount)
    except sa.exc.IntegrityError:
        return False


def test_what_can_be_read_is_still_checked(ledger: sa.Engine) -> None:
    """Beside rows that cannot be read, edits of other rows are found as before."""
    with ledger.connect() as connection, connection.begin() as transaction:
        rows = connection.execute(sa.select(outage_revisions).order_by(outage_revisions.c.leaf)).all()
        of = outage_revisions.c.leaf
        connection.execute(outage_revisions.update().where(of == rows[0].leaf).values(body=b"\xff"))
        connection.execute(outage_revisions.update().where(of == rows[-1].leaf).values(start_ms=1))
        connection.execute(exclusion_revisions.update().values(end_ms=exclusion_revisions.c.end_ms + 1))
        connection.exec_driver_sql("UPDATE window_days SET columns = x'00'")
        connection.exec_driver_sql("UPDATE incidents SET links = 'x'")
        found = verify_ledger(connection, KEY.public_key()).findings
        transaction.rollback()
    said = "\n".join(f"{one.kind} {one.where}: {one.what}" for one in found)
    for row, what in ((rows[0], "its body is no revision"), (rows[-1], "`start_ms` is 1")):
        assert f"revision outage_revisions {row.outage_id} {row.revision}: {what}" in said
    assert said.count("revision exclusion_revisions") >= 4
    assert "row window_days" in said
    assert "incident" in said


def test_a_ledger_without_key_or_heads_is_not_fine(ledger: sa.Engine, tmp_path) -> None:
    """No key and no head are findings, by function and by command, and no key is made on the way."""
    with reading(ledger) as connection:
        assert [one.kind for one in verify_ledger(connection, None).findings] == ["key"]
    bare = sqlite_url(tmp_path / "bare.db")
    engine = open_ledger(bare, create=True)
    apply_records(engine, month.records()[:5])
    with reading(engine) as connection:
        kinds = {one.kind for one in verify_ledger(connection, KEY.public_key()).findings}
    engine.dispose()
    assert kinds == {"head"}
    key = tmp_path / "data" / "portallink" / "ledger-key.pem"
    result = CliRunner().invoke(
        ledger_app, ["verify", "--ledger", bare, "--json"], env={"XDG_DATA_HOME": str(tmp_path / "data")}
    )
    assert result.exit_code == 1
    kinds = {one["kind"] for one in msgspec.json.decode(result.stdout.partition("error:")[0])["findings"]}
    assert kinds == {"head", "key"}
    assert not key.parent.exists()
