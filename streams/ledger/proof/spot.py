"""Check one revision against the newest signed head, without reading the whole ledger."""

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from streams.ledger.proof.heads import SignedHead, key_id, latest_head
from streams.ledger.proof.proofs import LeafProof, proof_of
from streams.ledger.proof.signed import statement_of


class SpotCheck(Struct, frozen=True):
    """The result for one revision.

    ``included``: its stored bytes are a leaf of its log. ``covered``: the root of that log in the newest
    signed head includes the revision; None without a head, or if the revision is newer. ``signed``: the head
    is signed by the key; None without a head or a key.
    """

    proof: LeafProof
    included: bool
    head: SignedHead | None
    covered: bool | None
    signed: bool | None

    @property
    def holds(self) -> bool:
        """Whether nothing that could be checked is wrong."""
        return self.included and self.covered is not False and self.signed is not False


def spot_check(
    connection: sa.Connection, outage_id: str, revision: int, key: Ed25519PublicKey | None
) -> SpotCheck:
    """Check a revision against its Merkle log, the log against the newest head, and the head's signature.

    Raises LookupError if there is no such revision.
    """
    proof = proof_of(connection, outage_id, revision)
    head = latest_head(connection)
    statement = None if head is None else statement_of(head)
    signed = None
    if head is not None and key is not None:
        signed = head.key_id == key_id(key) and head.is_signed_by(key)
    covered = None
    said = next((one for one in statement.logs if one.log == proof.log), None) if statement else None
    if said is not None and said.size > proof.leaf:
        try:
            then = proof_of(connection, outage_id, revision, said.size)
        except ValueError:
            covered = False  # the log is shorter than it was when the head was signed
        else:
            covered = then.holds and then.root == said.root
    elif head is not None and statement is None:
        covered = False
    return SpotCheck(proof, proof.holds, head, covered, signed)
