"""Tampering: each kind is found, by the ledger's own heads or one kept elsewhere; honest ledgers pass."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams.ledger.proof import merkle
from streams.ledger.proof.heads import SignedHead, Statement, sign_head, stored_heads
from streams.ledger.proof.tree import StoredLog, logs
from streams.ledger.proof.verify import verify_ledger
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url, writing
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.schema import (
    exclusion_revisions,
    figures,
    incidents,
    log_nodes,
    outage_revisions,
    outage_years,
    outages,
    tree_heads,
    window_days,
)
from streams.model.record import Record

pytestmark = pytest.mark.slow

KEY = Ed25519PrivateKey.generate()
OTHER_KEY = Ed25519PrivateKey.generate()
LOG = "link.outages/0"


@pytest.fixture(scope="module")
def signed(any_database: str) -> Iterator[tuple[sa.Engine, SignedHead]]:
    """Return a ledger of the worked month with two heads; the second is kept elsewhere too."""
    ledger = open_ledger(any_database, create=True)
    records = month.records()
    apply_records(ledger, records[: len(records) // 2])
    with writing(ledger) as connection:
        sign_head(connection, KEY, 1_000)
    apply_records(ledger, records)
    with writing(ledger) as connection:
        kept = sign_head(connection, KEY, 2_000)
    yield ledger, kept
    ledger.dispose()


@contextmanager
def tampered(engine: sa.Engine, *tampers: Callable[[sa.Connection], None]) -> Iterator[sa.Connection]:
    """Let the ledger be seen as tampered with, and take it all back afterwards."""
    with engine.connect() as connection, connection.begin() as transaction:
        for tamper in tampers:
            tamper(connection)
        yield connection
        transaction.rollback()


def rebuild_tree(connection: sa.Connection) -> None:
    """Recompute the tree of the outages' log from the rows, as a forger would."""
    connection.execute(log_nodes.delete().where(log_nodes.c.log == LOG))
    rows = connection.execute(
        sa.select(outage_revisions).where(outage_revisions.c.log == LOG).order_by(outage_revisions.c.leaf)
    ).all()
    connection.execute(outage_revisions.update().values(leaf=outage_revisions.c.leaf + 1_000_000))
    for leaf, row in enumerate(rows):
        connection.execute(
            outage_revisions.update()
            .where(outage_revisions.c.outage_id == row.outage_id, outage_revisions.c.revision == row.revision)
            .values(leaf=leaf)
        )
    StoredLog(connection, LOG).append(0, [merkle.leaf_hash(bytes(row.body)) for row in rows])


def revision_rows(connection: sa.Connection) -> list:
    """Return the outage revisions by leaf."""
    return connection.execute(sa.select(outage_revisions).order_by(outage_revisions.c.leaf)).all()


def of(row) -> sa.ColumnElement[bool]:
    """Return the condition that means one revision."""
    return sa.and_(outage_revisions.c.outage_id == row.outage_id, outage_revisions.c.revision == row.revision)


def _edit_column(c: sa.Connection) -> None:
    c.execute(outage_revisions.update().where(of(revision_rows(c)[2])).values(start_ms=1))


def _edit_body(c: sa.Connection) -> None:
    row = revision_rows(c)[2]
    body = bytes(row.body).replace(b'"failures":80', b'"failures":10')
    c.execute(outage_revisions.update().where(of(row)).values(body=body))


def _remove_row(c: sa.Connection) -> None:
    c.execute(outage_revisions.delete().where(of(revision_rows(c)[4])))


def _insert_row(c: sa.Connection) -> None:
    row = revision_rows(c)[4]._asdict()
    body = bytes(row["body"]).replace(b"hcmc-npd-", b"forged-")
    forged = row | {"outage_id": row["outage_id"].replace("hcmc-npd-", "forged-"), "leaf": 900, "body": body}
    c.execute(outage_revisions.insert().values(forged))


def _swap_rows(c: sa.Connection) -> None:
    first, second = revision_rows(c)[2:4]
    c.execute(outage_revisions.update().where(of(first)).values(leaf=901))
    c.execute(outage_revisions.update().where(of(second)).values(leaf=first.leaf))
    c.execute(outage_revisions.update().where(of(first)).values(leaf=second.leaf))


def _cut_tail(c: sa.Connection) -> None:
    for row in revision_rows(c)[-2:]:
        c.execute(outage_revisions.delete().where(of(row)))
    rebuild_tree(c)


def _rewrite_history(c: sa.Connection) -> None:
    _edit_body(c)
    rebuild_tree(c)


def _rewrite_history_and_heads(c: sa.Connection) -> None:
    _rewrite_history(c)
    c.execute(tree_heads.delete())
    sign_head(c, KEY, 1_000)
    sign_head(c, KEY, 2_000)


def _sign_with_another_key(c: sa.Connection) -> None:
    c.execute(tree_heads.delete())
    sign_head(c, OTHER_KEY, 3_000)


def _alter_head(c: sa.Connection) -> None:
    row = c.execute(sa.select(tree_heads).where(tree_heads.c.number == 2)).one()
    statement = bytes(row.statement).replace(b'"signed_at_ms":2000', b'"signed_at_ms":2001')
    c.execute(tree_heads.update().where(tree_heads.c.number == 2).values(statement=statement))


def _remove_head(c: sa.Connection) -> None:
    c.execute(tree_heads.delete().where(tree_heads.c.number == 1))


def _edit_node(c: sa.Connection) -> None:
    c.execute(
        log_nodes.update()
        .where(log_nodes.c.log == LOG, log_nodes.c.level == 1, log_nodes.c.position == 0)
        .values(hash=bytes(32))
    )


def _edit_exclusion(c: sa.Connection) -> None:
    c.execute(exclusion_revisions.update().values(end_ms=exclusion_revisions.c.end_ms + 3_600_000))


def _edit_figures(c: sa.Connection) -> None:
    c.execute(figures.update().where(figures.c.grain == "month").values(down_ms=0))


def _edit_years_figures(c: sa.Connection) -> None:
    c.execute(figures.update().where(figures.c.grain == "year").values(down_ms=0))


def _edit_years_outages(c: sa.Connection) -> None:
    c.execute(outage_years.update().values(longest_down_ms=1))


def _edit_windows(c: sa.Connection) -> None:
    row = c.execute(sa.select(window_days).order_by(window_days.c.day_ms).limit(1)).one()
    day = DayOfMinutes.unpack(row.day_ms, bytes(row.columns), bytes(row.details))
    day.columns["failures"][100] = 10
    c.execute(window_days.update().where(window_days.c.day_ms == row.day_ms).values(columns=day.pack()[0]))


def _edit_listed_outage(c: sa.Connection) -> None:
    c.execute(outages.update().where(outages.c.kind == "down").values(kind="degraded"))


def _remove_incident(c: sa.Connection) -> None:
    c.execute(incidents.delete().where(incidents.c.pattern == "single"))


KINDS = [
    _edit_column,
    _edit_body,
    _remove_row,
    _insert_row,
    _swap_rows,
    _cut_tail,
    _rewrite_history,
    _rewrite_history_and_heads,
    _sign_with_another_key,
    _alter_head,
    _remove_head,
    _edit_node,
    _edit_exclusion,
    _edit_figures,
    _edit_years_figures,
    _edit_years_outages,
    _edit_windows,
    _edit_listed_outage,
    _remove_incident,
]


@pytest.mark.parametrize("tamper", KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_tampering_is_found(signed, tamper: Callable[[sa.Connection], None]) -> None:
    """A ledger tampered with does not verify, and one left alone does."""
    engine, kept = signed
    with tampered(engine) as connection:
        assert verify_ledger(connection, KEY.public_key(), [kept]).findings == []
    with tampered(engine, tamper) as connection:
        findings = verify_ledger(connection, KEY.public_key(), [kept]).findings
    assert findings, tamper.__name__
    assert all(finding.where and finding.what for finding in findings)


def test_only_a_head_kept_elsewhere_shows_a_rewritten_past(signed) -> None:
    """A keeper who rewrites history, tree and heads with the real key is caught by a kept head alone."""
    engine, kept = signed
    with tampered(engine, _rewrite_history_and_heads) as connection:
        alone = verify_ledger(connection, KEY.public_key(), derived=False).findings
        against = verify_ledger(connection, KEY.public_key(), [kept], derived=False).findings
    assert alone == []
    assert any("another root" in finding.what for finding in against)


def test_proofs_link_two_heads(signed) -> None:
    """Proofs alone show that the later head's logs continue the earlier's, and that a leaf is in each."""
    engine, _ = signed
    with reading(engine) as connection:
        first, second = (head.statement() for head in stored_heads(connection))
        sizes = {said.log: said for said in second.logs}
        for earlier in first.logs:
            later = sizes[earlier.log]
            log = StoredLog(connection, earlier.log)
            proof = merkle.consistency_proof(earlier.size, later.size, log.node)
            roots = bytes.fromhex(earlier.root), bytes.fromhex(later.root)
            assert merkle.consistency_holds(earlier.size, later.size, proof, *roots)
            path = merkle.inclusion_proof(0, later.size, log.node)
            assert merkle.inclusion_holds(log.node(0, 0), 0, later.size, path, roots[1])


def test_a_head_is_canonical_and_readable(signed) -> None:
    """A head published as JSON reads back, says what it is, and is a few hundred bytes a log."""
    engine, kept = signed
    again = msgspec.json.decode(msgspec.json.encode(kept), type=SignedHead)
    statement = again.statement()
    assert isinstance(statement, Statement)
    assert statement.number == 2
    assert again.is_signed_by(KEY.public_key())
    assert not again.is_signed_by(OTHER_KEY.public_key())
    assert len(base64.b64decode(again.statement_base64)) < 2_000
    with reading(engine) as connection:
        assert [log.name for log in logs(connection)] == ["link.exclusions/0", LOG]


@pytest.mark.slow
def test_a_hundred_thousand_revisions_verify_quickly(tmp_path) -> None:
    """History of 100,000 revisions verifies in under 10 s, and finds the one byte changed in it."""
    engine = open_ledger(sqlite_url(tmp_path / "large.db"), create=True)
    template = month.revisions()[0]
    batch = []
    for i in range(100_000):
        start_ms = month.START + (i // 2) * 600_000
        revision = msgspec.structs.replace(
            template,
            outage_id=f"o{i // 2:06}",
            revision=1 + i % 2,
            supersedes=None if i % 2 == 0 else 1,
            status="open" if i % 2 == 0 else "closed",
            reason="opened" if i % 2 == 0 else "closed",
            start_ms=start_ms,
            end_ms=None if i % 2 == 0 else start_ms + 60_000,
            detected_at_ms=start_ms + 15_000 + i % 2 * 60_000,
        )
        batch.append(Record("link.outages", i // 2 % 4, i, 0, None, msgspec.json.encode(revision)))
    apply_records(engine, batch)
    with writing(engine) as connection:
        sign_head(connection, KEY, 1_000)
    began = time.process_time()
    with reading(engine) as connection:
        result = verify_ledger(connection, KEY.public_key(), derived=False)
    seconds = time.process_time() - began
    assert (result.revisions, result.findings) == (100_000, [])
    assert seconds < 10
    print(f"verified {result.revisions} revisions in {seconds:.2f} s")
    with writing(engine) as connection:
        _edit_body(connection)
    with reading(engine) as connection:
        assert verify_ledger(connection, KEY.public_key(), derived=False).findings
    engine.dispose()
