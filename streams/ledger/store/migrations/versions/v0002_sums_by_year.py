"""Sums by year, and indexes for the length of the longest outage and incident."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The tables as of this version, independent of later changes.
metadata = sa.MetaData()
COLUMNS = ("service_ms", "excluded_ms", "unknown_ms", "down_ms", "degraded_ms", "attempts", "failures")
figures = sa.Table(
    "figures",
    metadata,
    *(sa.Column(name, sa.String(200)) for name in ("calendar", "grain", "link")),
    *(sa.Column(name, sa.BigInteger()) for name in ("start_ms", *COLUMNS)),
)
outages = sa.Table(
    "outages",
    metadata,
    *(sa.Column(name, sa.String(200)) for name in ("link", "kind", "status")),
    *(
        sa.Column(name, sa.BigInteger())
        for name in ("start_ms", "end_ms", "counted_ms", "counted_office_ms", "dossiers_affected")
    ),
)
incidents = sa.Table(
    "incidents", metadata, *(sa.Column(name, sa.BigInteger()) for name in ("start_ms", "end_ms"))
)


def upgrade() -> None:
    """Bring the tables to this version."""
    outage_years = op.create_table(
        "outage_years",
        sa.Column("calendar", sa.String(20), primary_key=True),
        sa.Column("start_ms", sa.BigInteger(), primary_key=True),
        sa.Column("link", sa.String(200), primary_key=True),
        sa.Column("down_outages", sa.Integer(), nullable=False),
        sa.Column("degraded_outages", sa.Integer(), nullable=False),
        sa.Column("longest_down_ms", sa.BigInteger(), nullable=False),
        sa.Column("dossiers_affected", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.drop_index("outages_by_end", "outages")
    for table in (outages, incidents):
        op.create_index(f"{table.name}_by_end", table.name, ["end_ms", "start_ms"])
        length_ms = sa.text("(end_ms - start_ms)")
        op.create_index(f"{table.name}_by_length", table.name, [length_ms])
    connection = op.get_bind()
    _insert(connection, figures, _years_of_figures(connection))
    _insert(connection, outage_years, _years_of_outages(connection))


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, object]]) -> None:
    if listed := list(rows):
        connection.execute(table.insert(), listed)


def _year_ms(time_ms: int) -> int:
    """Return the start of the year, in UTC+7, that holds an instant."""
    hours = timedelta(hours=7)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms) + hours
    start = datetime(moment.year, 1, 1, tzinfo=UTC) - hours
    return (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _years_of_figures(connection: sa.Connection) -> Iterable[dict[str, object]]:
    sums: dict[tuple[str, int, str], dict[str, int]] = {}
    for row in connection.execute(sa.select(figures).where(figures.c.grain == "month")):
        year = sums.setdefault((row.calendar, _year_ms(row.start_ms), row.link), dict.fromkeys(COLUMNS, 0))
        for name in COLUMNS:
            year[name] += getattr(row, name)
    for (calendar, start_ms, link), year in sums.items():
        yield {"calendar": calendar, "grain": "year", "start_ms": start_ms, "link": link, **year}


def _years_of_outages(connection: sa.Connection) -> Iterable[dict[str, object]]:
    sums: dict[tuple[str, int, str], dict[str, int]] = {}
    for row in connection.execute(sa.select(outages).where(outages.c.status != "retracted")):
        for calendar, counted_ms in (("24x7", row.counted_ms), ("office-hours", row.counted_office_ms)):
            if counted_ms > 0:
                place = (calendar, _year_ms(row.start_ms), row.link)
                names = ("down_outages", "degraded_outages", "longest_down_ms", "dossiers_affected")
                year = sums.setdefault(place, dict.fromkeys(names, 0))
                year[f"{row.kind}_outages"] += 1
                year["dossiers_affected"] += row.dossiers_affected
                if row.kind == "down":
                    year["longest_down_ms"] = max(year["longest_down_ms"], counted_ms)
    for (calendar, start_ms, link), year in sums.items():
        yield {"calendar": calendar, "start_ms": start_ms, "link": link, **year}
