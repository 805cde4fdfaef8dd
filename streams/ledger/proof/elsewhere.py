"""Which heads must still be published elsewhere, and whether they continue those published there."""

import hashlib
from itertools import pairwise

from streams.ledger.proof.heads import SignedHead


class HeadsDivergeError(ValueError):
    """The ledger's heads do not continue the last one that was published; the message says where."""


def unpublished(last: SignedHead | None, stored: list[SignedHead]) -> list[SignedHead]:
    """Return the heads to publish after ``last``, by number; only the newest if none was published yet.

    ``stored`` are the ledger's heads from ``last`` on. Raises `HeadsDivergeError` if the ledger no longer has
    that head, or a later one does not name its predecessor: history was rewritten.
    """
    if last is None:
        return stored[-1:]
    published = last.statement().number
    if not stored or stored[0] != last:
        raise HeadsDivergeError(f"the ledger does not hold head {published} as it was published")
    for before, after in pairwise(stored):
        statement = after.statement()
        if statement.previous != hashlib.sha256(before.statement_bytes).hexdigest():
            raise HeadsDivergeError(f"head {statement.number} does not continue the one before")
    return stored[1:]
