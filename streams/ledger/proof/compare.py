"""Compare two ledgers row by row; heads, the audit trail and settings are not compared."""

from typing import Any, Final

import sqlalchemy as sa

from streams.ledger.store.database import reading
from streams.ledger.store.schema import audit_trail, metadata, settings, tree_heads

NOT_COMPARED: Final = (tree_heads, audit_trail, settings)


def differing_tables(first: sa.Engine, second: sa.Engine) -> list[str]:
    """Return the names of the tables in which two ledgers differ."""
    with reading(first) as one, reading(second) as other:
        return [
            table.name
            for table in metadata.sorted_tables
            if table not in NOT_COMPARED and not _equal(one, other, table)
        ]


def _equal(first: sa.Connection, second: sa.Connection, table: sa.Table) -> bool:
    statement = sa.select(table)
    found, expected = (
        {_key(table, row): tuple(map(_plain, row)) for row in connection.execute(statement)}
        for connection in (first, second)
    )
    return found == expected


def _key(table: sa.Table, row: sa.Row[Any]) -> tuple[Any, ...]:
    return tuple(getattr(row, column.name) for column in table.primary_key)


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value
