"""Check the signed heads against the ledger and against each other."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from streams.ledger.proof.heads import Position, SignedHead, Statement, key_id
from streams.ledger.proof.rawrows import raw_rows
from streams.ledger.proof.tree import log_name
from streams.ledger.store.schema import positions, tree_heads
from streams.model.border import UNREADABLE


class Finding(Struct, frozen=True, order=True):
    """Something that differs from what was signed or published; ``where`` names row, log or head."""

    kind: str
    where: str
    what: str


class Rooted(Protocol):
    """A log's tree: how many leaves it has, and the root of its first ones."""

    size: int

    def root(self, size: int) -> bytes:
        """Return the root over the first ``size`` leaves."""


def read_heads(connection: sa.Connection, findings: list[Finding]) -> list[SignedHead]:
    """Return the ledger's heads by number; an unreadable one is added to ``findings``."""
    heads = []
    for row in raw_rows(connection, tree_heads):
        odd = [Finding("head", row.where, what) for what in row.wrong()]
        if not odd:
            statement, signature = (
                base64.b64encode(row[name]).decode() for name in ("statement", "signature")
            )
            heads.append(SignedHead(statement, signature, row["key_id"]))
            said = statement_of(heads[-1])
            odd = [
                Finding("head", row.where, f"`{name}` is {row[name]}, its statement says otherwise")
                for name in ("number", "signed_at_ms")
                if said is not None and row[name] != getattr(said, name)
            ]
        findings += odd
    return heads


def read_positions(connection: sa.Connection, findings: list[Finding]) -> dict[str, Position]:
    """Return each partition's position by its log's name; an unreadable row is added to ``findings``."""
    reached = {}
    for row in raw_rows(connection, positions):
        odd = [Finding("position", row.where, what) for what in row.wrong()]
        if not odd:
            name = log_name(row["topic"], row["partition"])
            reached[name] = Position(name, row["next_offset"], row["chain"].hex())
        findings += odd
    return reached


def check_chain(stored: list[SignedHead]) -> Iterator[Finding]:
    """Find the first head that does not name the one before it."""
    previous = ""
    for number, head in enumerate(stored, start=1):
        statement = statement_of(head)
        if statement is None or statement.number != number or statement.previous != previous:
            yield Finding(
                "head", f"head {number}", "does not follow the one before: a head is gone or altered"
            )
            return
        previous = hashlib.sha256(head.statement_bytes).hexdigest()


def statement_of(head: SignedHead) -> Statement | None:
    """Return a head's statement, None if it cannot be read."""
    try:
        return head.statement()
    except (*UNREADABLE, ValueError):
        return None


def check_head(
    origin: str,
    head: SignedHead,
    trees: Mapping[str, Rooted],
    reached: dict[str, Position],
    key: Ed25519PublicKey | None,
) -> Iterator[Finding]:
    """Yield a finding if a head is not signed by the key, or disagrees with the trees and positions.

    ``origin`` is put before the head's name in findings.
    """
    statement = statement_of(head)
    if statement is None:
        yield Finding("head", f"{origin}head", "is no statement that can be read")
        return
    where = f"{origin}head {statement.number}"
    if key is not None and (head.key_id != key_id(key) or not head.is_signed_by(key)):
        yield Finding("head", where, "is not signed by the key given")
    for said in statement.logs:
        tree = trees.get(said.log)
        size = 0 if tree is None else tree.size
        if said.size < 0:
            yield Finding("head", where, f"signed {said.size} leaves of {said.log}")
        elif tree is None or size < said.size:
            cut = f"signed {said.size} leaves of {said.log}, the ledger has {size}: it was cut"
            yield Finding("head", where, cut)
        elif tree.root(said.size).hex() != said.root:
            yield Finding("head", where, f"signed another root of the first {said.size} leaves of {said.log}")
    for position in statement.positions:
        now = reached.get(position.partition)
        if now is None or now.next_offset < position.next_offset:
            back = f"had read {position.partition} up to {position.next_offset}, the ledger has not"
            yield Finding("head", where, back)
        elif now.next_offset == position.next_offset and now.chain != position.chain:
            yield Finding("head", where, f"signed another chain of {position.partition}")


def check_kept(stored: list[SignedHead], kept: list[SignedHead]) -> Iterator[Finding]:
    """Find heads kept elsewhere that the ledger no longer has."""
    present = {head.statement_base64 for head in stored}
    for head in kept:
        statement = statement_of(head)
        if statement is not None and head.statement_base64 not in present:
            yield Finding("head", f"kept head {statement.number}", "is not among the heads of the ledger")
