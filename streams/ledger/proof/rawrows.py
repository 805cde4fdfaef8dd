"""Rows as stored in the database, with any value: SQLite accepts any type in any column.

Read in the usual way, one invalid value would end the reading of the whole table.
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
"""The greatest number in a valid ledger; counting up to a greater one would never end."""


class Raw(dict[str, Any]):
    """One row by column, read without conversion; `wrong` lists values that cannot have been written."""

    def __init__(self, table: sa.Table, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.table = table

    @property
    def where(self) -> str:
        """The row's table and key."""
        key = " ".join(_shown(self[column.name]) for column in self.table.primary_key)
        return f"{self.table.name} {key}"

    def wrong(self) -> Iterator[str]:
        """Yield a message for each column whose value has the wrong type."""
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
    """Let SQLite return invalid UTF-8 as text with lone surrogates instead of failing."""
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
