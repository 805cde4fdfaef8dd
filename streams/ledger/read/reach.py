"""How far back what touches a period can have begun: a list by start need not be read from its beginning."""

import sqlalchemy as sa


def earliest_start_ms(connection: sa.Connection, table: sa.Table, from_ms: int) -> int:
    """Return a start before which no row began that lasts beyond ``from_ms``; rows have start and end.

    What has ended lasted no longer than the longest ever did; what is open is asked for by itself. Both are
    the end of an index.
    """
    longest_ms = connection.scalar(sa.select(sa.func.max(table.c.end_ms - table.c.start_ms)))
    first_open_ms = connection.scalar(
        sa.select(sa.func.min(table.c.start_ms)).where(table.c.end_ms.is_(None))
    )
    ended_ms = from_ms - (longest_ms or 0)
    return ended_ms if first_open_ms is None else min(ended_ms, first_open_ms)
