"""The Merkle logs in SQL: one per partition of a topic, stored as full subtrees, see `merkle.py`."""

from collections.abc import Sequence

import sqlalchemy as sa

from streams.ledger.proof import merkle
from streams.ledger.store.rows import chunks
from streams.ledger.store.schema import log_nodes


def log_name(topic: str, partition: int) -> str:
    """Return the name of a partition's log.

    >>> log_name("link.outages", 3)
    'link.outages/3'
    """
    return f"{topic}/{partition}"


class StoredLog:
    """One log in the database, read over one connection."""

    def __init__(self, connection: sa.Connection, name: str) -> None:
        self.name = name
        self._connection = connection
        self._read: dict[tuple[int, int], bytes] = {}

    def size(self) -> int:
        """Return the number of leaves."""
        last = self._connection.scalar(
            sa.select(sa.func.max(log_nodes.c.position)).where(
                log_nodes.c.log == self.name, log_nodes.c.level == 0
            )
        )
        return 0 if last is None else int(last) + 1

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a full subtree; raise LookupError if it is missing."""
        known = self._read.get((level, index))
        if known is None:
            found = self._connection.scalar(
                sa.select(log_nodes.c.hash).where(
                    log_nodes.c.log == self.name, log_nodes.c.level == level, log_nodes.c.position == index
                )
            )
            if found is None:
                raise LookupError(f"{self.name} lacks the node at level {level}, position {index}")
            known = self._read[level, index] = bytes(found)
        return known

    def append(self, size: int, leaves: Sequence[bytes]) -> None:
        """Append leaf hashes to a log of ``size`` leaves."""
        added = merkle.appended_nodes(size, leaves, self.node)
        for chunk in chunks(added):
            self._connection.execute(
                log_nodes.insert(),
                [
                    {"log": self.name, "level": level, "position": index, "hash": digest}
                    for level, index, digest in chunk
                ],
            )

    def root(self, size: int) -> bytes:
        """Return the root over the first ``size`` leaves."""
        return merkle.root(size, self.node)


def logs(connection: sa.Connection) -> list[StoredLog]:
    """Return all logs by name."""
    # Step from name to name by index: for distinct names a database would read every node of the few logs.
    found: list[StoredLog] = []
    name = connection.scalar(sa.select(sa.func.min(log_nodes.c.log)))
    while name is not None:
        found.append(StoredLog(connection, name))
        name = connection.scalar(sa.select(sa.func.min(log_nodes.c.log)).where(log_nodes.c.log > name))
    return sorted(found, key=lambda log: log.name)
