"""Proofs from the ledger's Merkle logs, for checking a revision or a later head."""

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.proof import merkle
from streams.ledger.proof.tree import StoredLog
from streams.ledger.store.schema import exclusion_revisions, outage_revisions


class LeafProof(Struct, frozen=True):
    """Proves that a revision is a leaf of a log with ``size`` leaves and ``root``; hashes in hexadecimal."""

    log: str
    leaf: int
    size: int
    root: str
    leaf_hash: str
    path: list[str]

    @property
    def holds(self) -> bool:
        """Whether the path leads from the leaf to the root."""
        path = [bytes.fromhex(digest) for digest in self.path]
        root, leaf = bytes.fromhex(self.root), bytes.fromhex(self.leaf_hash)
        return merkle.inclusion_holds(leaf, self.leaf, self.size, path, root)


class GrowthProof(Struct, frozen=True):
    """Proves that a log of ``second`` leaves continues its first ``first``; hashes in hexadecimal."""

    log: str
    first: int
    second: int
    first_root: str
    second_root: str
    path: list[str]


def proof_of(connection: sa.Connection, outage_id: str, revision: int, size: int | None = None) -> LeafProof:
    """Return the proof that an outage's revision is in its log; raise LookupError if there is no such one.

    The leaf is hashed from the revision as stored now, so the proof of an edited one does not hold.
    """
    return _proof(connection, outage_revisions, outage_revisions.c.outage_id == outage_id, revision, size)


def exclusion_proof_of(
    connection: sa.Connection, exclusion_id: str, revision: int, size: int | None = None
) -> LeafProof:
    """Return the proof that an exclusion's revision is in its log; raise LookupError if absent."""
    table = exclusion_revisions
    return _proof(connection, table, table.c.exclusion_id == exclusion_id, revision, size)


def growth_proof(connection: sa.Connection, log: str, first: int, second: int | None) -> GrowthProof:
    """Return the proof that a log continues its beginning.

    Raise LookupError if there is no such log, ValueError for sizes that it never had.
    """
    stored = StoredLog(connection, log)
    present = stored.size()
    if not present:
        raise LookupError(f"the ledger has no log {log!r}")
    second = present if second is None else second
    if second > present:
        raise ValueError(f"the log {log} has {present} leaves, not {second}")
    path = merkle.consistency_proof(first, second, stored.node)
    first_root, second_root = (stored.root(size).hex() for size in (first, second))
    return GrowthProof(log, first, second, first_root, second_root, [digest.hex() for digest in path])


def _proof(
    connection: sa.Connection,
    table: sa.Table,
    meant: sa.ColumnElement[bool],
    revision: int,
    size: int | None,
) -> LeafProof:
    row = connection.execute(sa.select(table).where(meant, table.c.revision == revision)).one_or_none()
    if row is None:
        raise LookupError(f"there is no such revision {revision}")
    log = StoredLog(connection, row.log)
    size = log.size() if size is None else size
    if size > log.size():
        raise ValueError(f"the log {row.log} has {log.size()} leaves, not {size}")
    path = merkle.inclusion_proof(row.leaf, size, log.node)
    leaf = merkle.leaf_hash(bytes(row.body)).hex()
    hashes = [digest.hex() for digest in path]
    return LeafProof(row.log, row.leaf, size, log.root(size).hex(), leaf, hashes)
