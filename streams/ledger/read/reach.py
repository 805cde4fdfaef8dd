"""How early something that touches a period can have begun, so that a list by start is read from there."""

import sqlalchemy as sa


def earliest_start_ms(connection: sa.Connection, table: sa.Table, from_ms: int) -> int:
    """Return a time before which no row began that lasts beyond ``from_ms``; rows have start and end.

    An ended row lasted no longer than the longest one ever did; the earliest open row is queried separately.
    Both queries read only the end of an index.
    """
    longest_ms = connection.scalar(sa.select(sa.func.max(table.c.end_ms - table.c.start_ms)))
    first_open_ms = connection.scalar(
        sa.select(sa.func.min(table.c.start_ms)).where(table.c.end_ms.is_(None))
    )
    ended_ms = from_ms - (longest_ms or 0)
    return ended_ms if first_open_ms is None else min(ended_ms, first_open_ms)
