"""Holding a ledger to what was signed: every revision, leaf, node, head and figure, recomputed.

What is checked, and what each check finds:

    body and columns of each revision agree         an edited row
    leaves of each log are numbered without gap     a removed or inserted row
    hashes of the bodies give every stored node     an edited body, swapped rows, an edited node
    every head's signature, number and predecessor  a forged, altered or removed head
    every head's root is the tree's at its size     history rewritten with all hashes recomputed
    no head is larger than its tree                 a cut tail, by the ledger's heads or any kept elsewhere
    positions do not lie behind a head's            a ledger set back
    the derived tables are what history gives       edited figures, outages, incidents, windows

An edit of windows together with all figures made from them shows when the ledger is compared with the
topics (`portallink ledger rebuild --check`), whose chains the heads sign.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from streams.ledger.proof import merkle
from streams.ledger.proof.heads import Position, SignedHead, Statement, key_id, read_positions, stored_heads
from streams.ledger.store.days import link_lives
from streams.ledger.store.outage_years import year_rows
from streams.ledger.store.regroup import group_all, incident_row
from streams.ledger.store.rows import exclusion_decoder, outage_decoder
from streams.ledger.store.schema import (
    FIGURE_COLUMNS,
    exclusion_revisions,
    figures,
    incidents,
    log_nodes,
    outage_revisions,
    outage_scopes,
    outage_years,
    outages,
)
from streams.ledger.store.settle import (
    counted_times,
    last_revisions,
    month_sums,
    outage_row,
    recount,
    scope_rows,
    year_sums,
)
from streams.model.calendar import DAY_MS, local_date, year_of

Progress = Callable[[str], None]


class Finding(Struct, frozen=True, order=True):
    """Something that is not as it was signed or published; ``where`` names row, log or head."""

    kind: str
    where: str
    what: str


class Verified(Struct, frozen=True):
    """The result: no finding means that nothing was found to differ."""

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
    """Recompute a ledger from its revisions and hold it to its heads and to those kept elsewhere.

    ``key`` is the public key that heads must be signed by; without it signatures are not checked. With
    ``derived`` off only history is checked, not what was counted from it.
    """
    progress("revisions")
    findings: list[Finding] = []
    leaves, revisions = _leaves(connection, findings)
    progress("Merkle logs")
    trees = {log: _tree(connection, log, hashes, findings) for log, hashes in leaves.items()}
    findings += [
        Finding("log", log, "holds leaves of revisions that are gone")
        for log in _stored_logs(connection) - leaves.keys()
    ]
    progress("heads")
    stored = stored_heads(connection)
    kept = list(kept_heads)
    findings += _check_chain(stored)
    reached = {position.partition: position for position in read_positions(connection)}
    for origin, head in [("", head) for head in stored] + [("kept ", head) for head in kept]:
        findings += _check_head(origin, head, trees, reached, key)
    findings += _check_kept(stored, kept)
    if derived:
        progress("outages")
        findings += _check_outages(connection)
        for link in link_lives(connection):
            progress(link)
            findings += _check_figures(connection, link)
        findings += _check_outage_years(connection)
        findings += _check_incidents(connection)
    return Verified(revisions, sum(map(len, leaves.values())), len(stored) + len(kept), sorted(findings))


class _Tree:
    """A log's tree, recomputed from the bodies."""

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
    for table, decode, name in (
        (outage_revisions, outage_decoder.decode, "outage"),
        (exclusion_revisions, exclusion_decoder.decode, "exclusion"),
    ):
        columns = [column.name for column in table.columns if column.name not in ("log", "leaf", "body")]
        for row in connection.execute(sa.select(table)):
            revisions += 1
            where = f"{name} {row[0]} revision {row[1]}"
            numbered[row.log].append((row.leaf, merkle.leaf_hash(bytes(row.body))))
            try:
                published = decode(bytes(row.body))
            except msgspec.DecodeError as error:
                findings.append(Finding("revision", where, f"its body is no revision: {error}"))
                continue
            findings.extend(
                Finding("revision", where, f"`{column}` is {getattr(row, column)!r}, its body says otherwise")
                for column in columns
                if getattr(row, column) != getattr(published, column)
            )
    ordered = {}
    for log, entries in sorted(numbered.items()):
        entries.sort()
        missing = set(range(entries[-1][0] + 1)) - {leaf for leaf, _ in entries}
        findings.extend(
            Finding("log", log, f"leaf {leaf} is missing: a revision was removed") for leaf in sorted(missing)
        )
        ordered[log] = [digest for _, digest in entries]
    return ordered, revisions


def _stored_logs(connection: sa.Connection) -> set[str]:
    return set(connection.scalars(sa.select(log_nodes.c.log).distinct()))


def _tree(connection: sa.Connection, log: str, hashes: list[bytes], findings: list[Finding]) -> _Tree:
    tree = _Tree(hashes)
    rows = connection.execute(
        sa.select(log_nodes.c.level, log_nodes.c.position, log_nodes.c.hash).where(log_nodes.c.log == log)
    )
    stored = {(row.level, row.position): bytes(row.hash) for row in rows}
    places = stored.keys() | tree.nodes.keys()
    wrong = sorted(place for place in places if stored.get(place) != tree.nodes.get(place))
    leaves = [position for level, position in wrong if level == 0]
    if leaves:
        shown = ", ".join(map(str, leaves[:5])) + (" …" if len(leaves) > 5 else "")
        findings.append(Finding("log", log, f"{len(leaves)} leaves are not those of the revisions: {shown}"))
    elif wrong:
        findings.append(Finding("log", log, f"{len(wrong)} nodes are not those of the leaves"))
    return tree


def _check_chain(stored: list[SignedHead]) -> Iterator[Finding]:
    previous = ""
    for number, head in enumerate(stored, start=1):
        statement = _statement(head)
        if statement is None or statement.number != number or statement.previous != previous:
            yield Finding(
                "head", f"head {number}", "does not follow the one before: a head is gone or altered"
            )
            return
        previous = hashlib.sha256(head.statement_bytes).hexdigest()


def _statement(head: SignedHead) -> Statement | None:
    try:
        return head.statement()
    except (msgspec.DecodeError, ValueError):
        return None


def _check_head(
    origin: str,
    head: SignedHead,
    trees: dict[str, _Tree],
    reached: dict[str, Position],
    key: Ed25519PublicKey | None,
) -> Iterator[Finding]:
    statement = _statement(head)
    if statement is None:
        yield Finding("head", f"{origin}head", "is no statement that can be read")
        return
    where = f"{origin}head {statement.number}"
    if key is not None and (head.key_id != key_id(key) or not head.is_signed_by(key)):
        yield Finding("head", where, "is not signed by the key given")
    for said in statement.logs:
        tree = trees.get(said.log)
        size = 0 if tree is None else tree.size
        if tree is None or size < said.size:
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


def _check_kept(stored: list[SignedHead], kept: list[SignedHead]) -> Iterator[Finding]:
    present = {head.statement_base64 for head in stored}
    for head in kept:
        statement = _statement(head)
        if statement is not None and head.statement_base64 not in present:
            yield Finding("head", f"kept head {statement.number}", "is not among the heads of the ledger")


def _check_outages(connection: sa.Connection) -> Iterator[Finding]:
    """Compare the last revisions, and what they name, with what was published."""
    published = last_revisions(connection)
    stored = {row.outage_id: row for row in connection.execute(sa.select(outages))}
    counted = counted_times(connection, published.values())
    for outage_id in sorted(published.keys() | stored.keys()):
        row, outage = stored.get(outage_id), published.get(outage_id)
        if row is None or outage is None:
            odd = "is published and not listed" if row is None else "was never published"
            yield Finding("outage", outage_id, odd)
            continue
        expected = outage_row(outage) | counted[outage_id]
        for column, value in expected.items():
            if column != "incident_id" and getattr(row, column) != value:
                yield Finding("outage", outage_id, f"`{column}` is {getattr(row, column)!r}, not {value!r}")
    scopes = {(row.scope, row.name, row.outage_id) for row in connection.execute(sa.select(outage_scopes))}
    named = {
        (row["scope"], row["name"], row["outage_id"])
        for outage in published.values()
        for row in scope_rows(outage)
    }
    for scope, name, outage_id in sorted(scopes ^ named):
        odd = "added" if (scope, name, outage_id) in scopes else "left out"
        yield Finding("outage", outage_id, f"{scope} {name!r} is {odd}")


def _check_figures(connection: sa.Connection, link: str) -> Iterator[Finding]:
    life = link_lives(connection)[link]
    days = list(range(life.first_day_ms, life.end_ms, DAY_MS))
    right = {
        "day": _by_place(recount(connection, link, days)),
        "month": _by_place(month_sums(connection, link, days)),
        "year": _by_place(year_sums(connection, link, days)),
    }
    for grain, expected in right.items():
        rows = connection.execute(sa.select(figures).where(figures.c.link == link, figures.c.grain == grain))
        stored = _by_place(row._asdict() for row in rows)
        for calendar, start_ms in sorted(stored.keys() | expected.keys()):
            if stored.get((calendar, start_ms)) != expected.get((calendar, start_ms)):
                where = f"{link} {calendar} {grain} {local_date(start_ms)}"
                yield Finding("figures", where, "are not what its windows and outages give")


def _check_outage_years(connection: sa.Connection) -> Iterator[Finding]:
    """Compare what is said of outages by year with what the outages' own rows give."""
    years: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for link, start_ms in connection.execute(sa.select(outages.c.link, outages.c.start_ms)):
        years[link].add(year_of(start_ms))
    expected = {
        tuple(row.values()) for link, spans in years.items() for row in year_rows(connection, link, spans)
    }
    stored = {tuple(row) for row in connection.execute(sa.select(outage_years))}
    for calendar, start_ms, link in sorted({row[:3] for row in expected ^ stored}):
        where = f"{link} {calendar} year {local_date(start_ms).year}"
        yield Finding("figures", where, "are not what its outages give")


def _by_place(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, int], tuple[int, ...]]:
    return {
        (row["calendar"], row["start_ms"]): tuple(int(row[name]) for name in FIGURE_COLUMNS) for row in rows
    }


def _check_incidents(connection: sa.Connection) -> Iterator[Finding]:
    groups = group_all(connection)
    expected = {incident.incident_id: incident_row(incident) for incident in groups}
    stored = {row.incident_id: row._asdict() for row in connection.execute(sa.select(incidents))}
    for incident_id in sorted(expected.keys() | stored.keys()):
        if expected.get(incident_id) != stored.get(incident_id):
            yield Finding("incident", incident_id, "is not what its outages make up")
    part_of = {outage_id: incident.incident_id for incident in groups for outage_id in incident.outage_ids}
    for row in connection.execute(sa.select(outages.c.outage_id, outages.c.incident_id)):
        if row.incident_id != part_of.get(row.outage_id):
            yield Finding("incident", row.outage_id, "is told as part of another incident than it is")
