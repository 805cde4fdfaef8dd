"""Check that one signed head continues another. An auditor needs two heads for that, but no ledger.

Both heads must be signed, the later one must be at least as far in every log and partition, and for each log
a proof (RFC 6962 section 2.1.2) must lead from the root in the earlier head to the root in the later one.
Then nothing that the first head covers was changed, moved or removed before the second was signed.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from streams.ledger.proof import merkle
from streams.ledger.proof.heads import LogSize, SignedHead, Statement, key_id
from streams.ledger.proof.proofs import GrowthProof, growth_proof
from streams.ledger.proof.signed import Finding, statement_of


class Grown(Struct, frozen=True):
    """The result: ``pairs`` of heads and ``proofs`` that were checked, and what was found."""

    pairs: int
    proofs: int
    findings: list[Finding]


def proofs_between(connection: sa.Connection, heads: Sequence[SignedHead]) -> list[GrowthProof]:
    """Return the proofs that each head continues the one before, read from a ledger.

    A log that the ledger lacks, or that is shorter than a head says, is omitted; `check_growth` reports it.
    """
    proofs = []
    for earlier, later in _pairs(heads):
        for first, second in _logs(earlier, later):
            if second is not None and 0 < first.size < second.size:
                try:
                    proofs.append(growth_proof(connection, first.log, first.size, second.size))
                except (LookupError, ValueError):
                    continue
    return proofs


def check_growth(heads: Sequence[SignedHead], proofs: Iterable[GrowthProof], key: Ed25519PublicKey) -> Grown:
    """Check that each head continues the one before, by number, with the proofs given.

    The roots in a proof are not trusted; those signed in the heads are used.
    """
    findings = [*_unsigned(heads, key)]
    by_place = {(proof.log, proof.first, proof.second): proof for proof in proofs}
    used = 0
    pairs = list(_pairs(heads))
    for earlier, later in pairs:
        where = f"head {earlier.number} to head {later.number}"
        findings += _set_back(earlier, later, where)
        for first, second in _logs(earlier, later):
            if second is None or second.size < first.size:
                findings.append(Finding("log", where, f"{first.log} has fewer than {first.size} leaves"))
                continue
            proof = by_place.get((first.log, first.size, second.size))
            needed = 0 < first.size < second.size
            if needed and proof is None:
                findings.append(
                    Finding("proof", where, f"none for {first.log} from {first.size} to {second.size} leaves")
                )
            elif not _holds(first, second, proof if needed else None):
                findings.append(
                    Finding(
                        "log",
                        where,
                        f"{first.log} of {first.size} leaves is no beginning of {second.size}",
                    )
                )
            used += needed and proof is not None
    return Grown(len(pairs), used, findings)


def _pairs(heads: Sequence[SignedHead]) -> Iterator[tuple[Statement, Statement]]:
    statements = [statement for head in heads if (statement := statement_of(head)) is not None]
    return pairwise(sorted(statements, key=lambda statement: (statement.number, statement.signed_at_ms)))


def _logs(earlier: Statement, later: Statement) -> Iterator[tuple[LogSize, LogSize | None]]:
    grown = {said.log: said for said in later.logs}
    return ((said, grown.get(said.log)) for said in earlier.logs)


def _unsigned(heads: Sequence[SignedHead], key: Ed25519PublicKey) -> Iterator[Finding]:
    for place, head in enumerate(heads, start=1):
        statement = statement_of(head)
        if statement is None:
            yield Finding("head", f"line {place}", "is no statement that can be read")
        elif head.key_id != key_id(key) or not head.is_signed_by(key):
            yield Finding("head", f"head {statement.number}", "is not signed by the key given")


def _set_back(earlier: Statement, later: Statement, where: str) -> Iterator[Finding]:
    if later.number == earlier.number and later != earlier:
        yield Finding("head", where, "are two heads of one number that say different things")
    if later.signed_at_ms < earlier.signed_at_ms:
        yield Finding("head", where, "the later number was signed earlier")
    reached = {position.partition: position.next_offset for position in later.positions}
    for position in earlier.positions:
        if reached.get(position.partition, -1) < position.next_offset:
            yield Finding("head", where, f"{position.partition} had been read further")


def _holds(first: LogSize, second: LogSize, proof: GrowthProof | None) -> bool:
    try:
        path = [] if proof is None else [bytes.fromhex(digest) for digest in proof.path]
        roots = bytes.fromhex(first.root), bytes.fromhex(second.root)
    except ValueError:
        return False
    if first.size == 0:
        return roots[0] == merkle.EMPTY_ROOT
    return merkle.consistency_holds(first.size, second.size, path, *roots)
