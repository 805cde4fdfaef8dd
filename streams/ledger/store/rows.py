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
