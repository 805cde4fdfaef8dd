"""Derived tables hold facts only, since exclusions are applied by queries. Adds retirements of links.

The derived tables are created again, empty; `settle_after_upgrade` fills them from history.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FACTS = ("service_ms", "unknown_ms", "down_ms", "degraded_ms", "attempts", "failures")


def upgrade() -> None:
    """Bring the tables to this version."""
    connection = op.get_bind()
    op.drop_index("outage_revisions_by_time", "outage_revisions")
    for table in ("outages", "figures", "outage_years"):
        op.drop_table(table)
    for table in ("outage_scopes", "incidents"):
        connection.execute(sa.table(table).delete())
    setting = sa.table("settings", sa.column("name"))
    connection.execute(setting.delete().where(setting.c.name == "calendars"))
    op.alter_column("links", "first_day_ms", new_column_name="first_ms")
    op.create_table(
        "figures",
        sa.Column("calendar", sa.String(20), primary_key=True),
        sa.Column("grain", sa.String(5), primary_key=True),
        sa.Column("start_ms", sa.BigInteger(), primary_key=True),
        sa.Column("link", sa.String(200), primary_key=True),
        *_facts(),
        sqlite_with_rowid=False,
    )
    op.create_index("figures_by_link", "figures", ["calendar", "grain", "link", "start_ms"])
    op.create_table(
        "day_parts",
        sa.Column("calendar", sa.String(20), primary_key=True),
        sa.Column("start_ms", sa.BigInteger(), primary_key=True),
        sa.Column("end_ms", sa.BigInteger(), primary_key=True),
        sa.Column("link", sa.String(200), primary_key=True),
        *_facts(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outages",
        sa.Column("outage_id", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("link", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("fault_domain", sa.String(10), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger()),
        sa.Column("detected_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_detected_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("dossiers_affected", sa.BigInteger(), nullable=False),
        sa.Column("dossiers_error", sa.Float(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(200)),
        sa.Column("apart", sa.Boolean(), nullable=False),
    )
    op.create_index("outages_by_start", "outages", ["start_ms", "outage_id", "end_ms"])
    publishing = ["first_detected_ms", "detected_at_ms", "start_ms", "outage_id"]
    op.create_index("outages_by_publishing", "outages", publishing)
    op.create_index("outages_by_apart", "outages", ["apart", "start_ms", "end_ms"])
    op.create_index("outages_by_link", "outages", ["link", "start_ms", "end_ms"])
    op.create_index("outages_by_end", "outages", ["end_ms", "start_ms"])
    op.create_index("outages_by_incident", "outages", ["incident_id"])
    op.create_index("outages_by_length", "outages", [sa.text("(end_ms - start_ms)")])
    op.create_table(
        "shares",
        sa.Column("calendar", sa.String(20), primary_key=True),
        sa.Column("outage_id", sa.String(200), primary_key=True),
        sa.Column("link", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("counted_ms", sa.BigInteger(), nullable=False),
        sa.Column("dossiers_affected", sa.BigInteger(), nullable=False),
    )
    columns = ["calendar", "link", "kind", "start_ms", "end_ms", "counted_ms", "dossiers_affected"]
    op.create_index("shares_counted", "shares", columns)
    op.create_table(
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
    op.create_table(
        "retirement_revisions",
        sa.Column("link", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("log", sa.String(200), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("log", "leaf"),
    )


def _facts() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in FACTS]
