"""Rows as they lie in the database, whatever they hold: SQLite takes any value in any column.

Read in the usual way, one odd value ends the reading of a whole table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

KINDS: Final[dict[type[sa.types.TypeEngine[Any]], type]] = {
    sa.BigInteger: int,
    sa.Integer: int,
    sa.Boolean: bool,
    sa.Float: float,
    sa.String: str,
    sa.Text: str,
    sa.LargeBinary: bytes,
}
LARGEST: Final = 2**53
"""No number of a ledger is greater; a program that counts up to one would not end."""


class Raw(dict[str, Any]):
    """One row by column, read as it is; `wrong` says what of it cannot be what was written."""

    def __init__(self, table: sa.Table, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.table = table

    @property
    def where(self) -> str:
        """The row's table and key."""
        key = " ".join(_shown(self[column.name]) for column in self.table.primary_key)
        return f"{self.table.name} {key}"

    def wrong(self) -> Iterator[str]:
        """Yield what is odd about the row: each column whose value is none of its type."""
        for column in self.table.columns:
            value = self[column.name]
            if value is None and column.nullable:
                continue
            if not _is_of(value, KINDS[type(column.type)]):
                yield f"`{column.name}` cannot be read: it holds {_shown(value)}"


def raw_rows(connection: sa.Connection, table: sa.Table) -> Iterator[Raw]:
    """Yield the rows of a table as they are, in the order of its key."""
    untyped = [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in table.columns]
    for row in connection.execute(sa.select(*untyped).order_by(*table.primary_key)):
        values = {
            name: bytes(value) if isinstance(value, memoryview) else value
            for name, value in row._mapping.items()  # noqa: SLF001 - the documented way to a row's columns
        }
        yield Raw(table, values)


@contextmanager
def any_text(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite give text that is no UTF-8 as text with halves of surrogates, where it would give up."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.text_factory = lambda stored: stored.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        driver.text_factory = str


def _is_of(value: object, kind: type) -> bool:
    if kind is bool:
        return isinstance(value, int) and value in (0, 1)
    if kind is float:
        return isinstance(value, int | float)
    if kind is int:
        return isinstance(value, int) and -LARGEST <= value <= LARGEST
    if kind is str:
        return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, kind)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
