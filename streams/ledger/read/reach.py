"""How early something that touches a period can have begun, so that a list by start is read from there."""

import sqlalchemy as sa


def earliest_start_ms(connection: sa.Connection, table: sa.Table, from_ms: int) -> int:
    """Return a time before which no row began that lasts beyond ``from_ms``; rows have start and end.

    An ended row lasted no longer than the longest one ever did; the earliest open row is queried separately.
    Both queries read only the end of an index.
    """
    column = table.c
    longest = sa.select(sa.func.max(column.end_ms - column.start_ms)).scalar_subquery()
    first_open = sa.select(sa.func.min(column.start_ms)).where(column.end_ms.is_(None)).scalar_subquery()
    longest_ms, first_open_ms = connection.execute(sa.select(longest, first_open)).one()
    ended_ms = from_ms - (longest_ms or 0)
    return int(ended_ms if first_open_ms is None else min(ended_ms, first_open_ms))
