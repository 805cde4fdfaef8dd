"""Helpers for both databases: upserts, chunks, and decoders of the model's types."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from streams.model.exclusion import Exclusion
from streams.model.outage import Outage
from streams.model.retirement import Retirement

T = TypeVar("T")
Column = sa.ColumnElement[Any]
Rows = Sequence[Sequence[int | str | None]]
CHUNK_ROWS = 500
"""Few enough for the number of parameters that either database accepts in one statement."""

outage_decoder = msgspec.json.Decoder(Outage)
exclusion_decoder = msgspec.json.Decoder(Exclusion)
retirement_decoder = msgspec.json.Decoder(Retirement)


def chunks(items: Iterable[T], size: int = CHUNK_ROWS) -> Iterator[list[T]]:
    """Yield items in lists of at most ``size``."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; where the primary key exists, replace the given columns."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=changed)
        if changed
        else statement.on_conflict_do_nothing(index_elements=keys),
        list(rows),
    )


def select_in(
    connection: sa.Connection, statement: sa.Select[Any], column: sa.ColumnElement[Any], values: Iterable[Any]
) -> Iterator[sa.Row[Any]]:
    """Yield the rows of a statement whose column is among the values, in chunks of any number of values."""
    for chunk in chunks(values):
        yield from connection.execute(statement.where(column.in_(chunk)))


def select_at(
    connection: sa.Connection, statement: sa.Select[Any], places: Mapping[str, Column], rows: Rows
) -> Iterator[sa.Row[Any]]:
    """Yield the rows of a statement whose columns have the values of one of ``rows``, however many.

    Each is looked up. Asked with IN for pairs of values, SQLite reads the whole table.
    """
    wanted = given(connection, rows, {name: type(column.type) for name, column in places.items()}).c
    here = [column == wanted[name] for name, column in places.items()]
    yield from connection.execute(statement.where(*here))


def given(
    connection: sa.Connection,
    rows: Rows,
    types: Mapping[str, type[sa.types.TypeEngine[Any]]],
) -> sa.Subquery:
    """Return rows as a table to join, with columns of those names: one parameter, however many rows."""
    packed = sa.literal(msgspec.json.encode(rows).decode(), sa.Text)
    if connection.dialect.name == "postgresql":
        listed = sa.func.jsonb_array_elements(sa.cast(packed, postgresql.JSONB)).table_valued("value")
        values = [sa.cast(listed.c.value, postgresql.JSONB)[place].astext for place in range(len(types))]
    else:
        listed = sa.func.json_each(packed).table_valued("value")
        values = [
            sa.func.json_extract(listed.c.value, sa.text(f"'$[{place}]'")) for place in range(len(types))
        ]
    named = zip(types.items(), values, strict=True)
    # The offset keeps it a table of its own: SQLite would extract the values for each row that they meet.
    return (
        sa.select(*(sa.cast(value, kind).label(name) for (name, kind), value in named)).offset(0).subquery()
    )


def total(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Return the sum of a column as an integer: PostgreSQL's is a decimal, which is slow to read."""
    return sa.cast(sa.func.sum(column), sa.BigInteger)
