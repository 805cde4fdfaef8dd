"""Verify a ledger against its signed heads: recompute every revision, leaf, node, head and figure.

The checks, and what each one finds:

    body and columns of each revision agree         an edited row, one that cannot be read
    leaves of each log are numbered without gap     a removed or inserted row
    hashes of the bodies give every stored node     an edited body, swapped rows, an edited node
    there is a key, and there are heads             a ledger that was never signed
    every head's signature, number and predecessor  a forged, altered or removed head
    every head's root is the tree's at its size     history rewritten with all hashes recomputed
    no head is larger than its tree                 a cut-off tail; heads kept elsewhere count too
    no position is before a head's                  a ledger set back
    the derived tables follow from history          edited figures, outages, incidents, windows

An unreadable row is a finding, and the check continues with the next row.

If windows were edited together with all figures computed from them, only a comparison with the topics
(`portallink ledger rebuild --check`) finds it; the heads sign the topics' chains.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct, structs
from zstandard import ZstdError

from streams.ledger.proof import merkle
from streams.ledger.proof.derived import derived_checks
from streams.ledger.proof.heads import SignedHead
from streams.ledger.proof.rawrows import Raw, any_text, raw_rows
from streams.ledger.proof.signed import (
    Finding,
    check_chain,
    check_head,
    check_kept,
    read_heads,
    read_positions,
)
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.rows import exclusion_decoder, outage_decoder, retirement_decoder
from streams.ledger.store.schema import (
    DERIVED,
    exclusion_revisions,
    log_nodes,
    outage_revisions,
    retirement_revisions,
    window_days,
)
from streams.model.border import UNREADABLE

Progress = Callable[[str], None]


class Verified(Struct, frozen=True):
    """The result; without findings the ledger agrees with everything that was signed."""

    revisions: int
    leaves: int
    heads: int
    findings: list[Finding]


def verify_ledger(
    connection: sa.Connection,
    key: Ed25519PublicKey | None = None,
    kept_heads: Iterable[SignedHead] = (),
    *,
    derived: bool = True,
    progress: Progress = lambda _: None,
) -> Verified:
    """Recompute a ledger from its revisions and compare it with its heads and with those kept elsewhere.

    ``key`` is the public key by which heads must be signed. A missing key is a finding, because no head is
    then known to be genuine; so is a ledger without heads. Without ``derived`` only history is checked, not
    the tables derived from it.
    """
    with any_text(connection):
        return _verified(connection, key, kept_heads, derived=derived, progress=progress)


def _verified(
    connection: sa.Connection,
    key: Ed25519PublicKey | None,
    kept_heads: Iterable[SignedHead],
    *,
    derived: bool,
    progress: Progress,
) -> Verified:
    progress("revisions")
    findings: list[Finding] = []
    if key is None:
        findings.append(Finding("key", "public key", "there is none, so that no head is known to be genuine"))
    leaves, revisions = _leaves(connection, findings)
    progress("Merkle logs")
    trees = {log: _tree(connection, log, hashes, findings) for log, hashes in leaves.items()}
    findings += [
        Finding("log", log, "holds leaves of revisions that are gone")
        for log in _stored_logs(connection) - leaves.keys()
    ]
    progress("heads")
    stored = read_heads(connection, findings)
    kept = list(kept_heads)
    if not stored:
        findings.append(Finding("head", "heads", "there is none: nothing says what the ledger once held"))
    findings += check_chain(stored)
    reached = read_positions(connection, findings)
    for origin, head in [("", head) for head in stored] + [("kept ", head) for head in kept]:
        findings += check_head(origin, head, trees, reached, key)
    findings += check_kept(stored, kept)
    if derived:
        progress("windows")
        findings += [
            Finding("row", row.where, what)
            for row in raw_rows(connection, window_days)
            for what in [*row.wrong()] or _not_packed(row)
        ]
        findings += [
            Finding("row", row.where, what)
            for table in DERIVED
            for row in raw_rows(connection, table)
            for what in row.wrong()
        ]
        for kind, where, check in derived_checks(connection):
            progress(where)
            findings += _going_on(kind, where, check)
    worded = sorted({Finding(*(str(word) for word in structs.astuple(one))) for one in findings})
    return Verified(revisions, sum(map(len, leaves.values())), len(stored) + len(kept), worded)


class _Tree:
    """A log's tree, recomputed from the revisions' bodies."""

    def __init__(self, hashes: list[bytes]) -> None:
        self.size = len(hashes)
        self.nodes = {
            (level, index): digest
            for level, index, digest in merkle.appended_nodes(0, hashes, lambda *_: b"")
        }

    def root(self, size: int) -> bytes:
        return merkle.root(size, lambda level, index: self.nodes[level, index])


def _leaves(connection: sa.Connection, findings: list[Finding]) -> tuple[dict[str, list[bytes]], int]:
    """Return the leaf hashes of each log in order, from the bodies of the revisions."""
    numbered: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    revisions = 0
    for table, decode in (
        (outage_revisions, outage_decoder.decode),
        (exclusion_revisions, exclusion_decoder.decode),
        (retirement_revisions, retirement_decoder.decode),
    ):
        for row in raw_rows(connection, table):
            revisions += 1
            odd = list(row.wrong())
            if not odd:
                numbered[row["log"]].append((row["leaf"], merkle.leaf_hash(row["body"])))
                odd = list(_unlike_body(row, decode))
            findings.extend(Finding("revision", row.where, what) for what in odd)
    ordered = {}
    for log, entries in sorted(numbered.items()):
        entries.sort()
        following = 0
        for leaf, _ in entries:
            if leaf > following:
                gone = (
                    f"leaf {following} is"
                    if leaf == following + 1
                    else f"leaves {following} to {leaf - 1} are"
                )
                findings.append(Finding("log", log, f"{gone} missing: a revision was removed"))
            elif leaf < following:
                findings.append(Finding("log", log, f"leaf {leaf} is no place in a log"))
            following = leaf + 1
        ordered[log] = [digest for _, digest in entries]
    return ordered, revisions


def _unlike_body(row: Raw, decode: Callable[[bytes], Any]) -> Iterator[str]:
    """Yield each column of a revision that differs from its body."""
    try:
        published = decode(row["body"])
    except UNREADABLE as error:
        yield f"its body is no revision: {error}"
        return
    for name, value in row.items():
        if name not in ("log", "leaf", "body") and value != getattr(published, name):
            yield f"`{name}` is {value!r}, its body says otherwise"


def _going_on(kind: str, where: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return a check's findings; if it fails on an unreadable row, that is the finding."""
    try:
        return list(check())
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, ZstdError) as error:
        return [Finding(kind, where, f"cannot be counted again: {error or type(error).__name__}")]


def _not_packed(row: Raw) -> Iterator[str]:
    try:
        DayOfMinutes.unpack(row["day_ms"], row["columns"], row["details"])
    except (ValueError, ZstdError) as error:
        yield f"its minutes cannot be unpacked: {error}"


def _stored_logs(connection: sa.Connection) -> set[str]:
    return set(connection.scalars(sa.select(log_nodes.c.log).distinct()))


def _tree(connection: sa.Connection, log: str, hashes: list[bytes], findings: list[Finding]) -> _Tree:
    tree = _Tree(hashes)
    rows = connection.execute(
        sa.select(
            log_nodes.c.level, log_nodes.c.position, sa.type_coerce(log_nodes.c.hash, sa.types.NullType())
        ).where(log_nodes.c.log == log)
    )
    stored = {
        (level, position): bytes(hash_) if isinstance(hash_, memoryview) else hash_
        for level, position, hash_ in rows
    }
    places = stored.keys() | tree.nodes.keys()
    wrong = [place for place in places if stored.get(place) != tree.nodes.get(place)]
    leaves = sorted(position for level, position in wrong if level == 0 and isinstance(position, int))
    if leaves:
        shown = ", ".join(map(str, leaves[:5])) + (" …" if len(leaves) > 5 else "")
        findings.append(Finding("log", log, f"{len(leaves)} leaves are not those of the revisions: {shown}"))
    elif wrong:
        findings.append(Finding("log", log, f"{len(wrong)} nodes are not those of the leaves"))
    return tree
