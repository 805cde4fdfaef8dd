"""The ledger's tables as first published."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this version."""
    op.create_table(
        "audit_trail",
        sa.Column("entry", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("action", sa.String(200), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
    )
    op.create_index("audit_trail_by_time", "audit_trail", ["at_ms"])
    op.create_table(
        "exclusion_revisions",
        sa.Column("exclusion_id", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True),
        sa.Column("link", sa.String(200), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("log", sa.String(200), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("log", "leaf"),
    )
    op.create_table(
        "figures",
        sa.Column("calendar", sa.String(20), primary_key=True),
        sa.Column("grain", sa.String(5), primary_key=True),
        sa.Column("start_ms", sa.BigInteger(), primary_key=True),
        sa.Column("link", sa.String(200), primary_key=True),
        sa.Column("service_ms", sa.BigInteger(), nullable=False),
        sa.Column("excluded_ms", sa.BigInteger(), nullable=False),
        sa.Column("unknown_ms", sa.BigInteger(), nullable=False),
        sa.Column("down_ms", sa.BigInteger(), nullable=False),
        sa.Column("degraded_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("figures_by_link", "figures", ["calendar", "grain", "link", "start_ms"])
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(200), primary_key=True),
        sa.Column("pattern", sa.String(10), nullable=False),
        sa.Column("common_cause", sa.String(20)),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger()),
        sa.Column("links", sa.Text(), nullable=False),
        sa.Column("outages", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
    )
    op.create_index("incidents_by_start", "incidents", ["start_ms", "incident_id"])
    op.create_table(
        "links",
        sa.Column("link", sa.String(200), primary_key=True),
        sa.Column("first_day_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_day_ms", sa.BigInteger(), nullable=False),
        sa.Column("known_until_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "log_nodes",
        sa.Column("log", sa.String(200), primary_key=True),
        sa.Column("level", sa.Integer(), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "outage_revisions",
        sa.Column("outage_id", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True),
        sa.Column("link", sa.String(200), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("detected_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("log", sa.String(200), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("log", "leaf"),
    )
    op.create_index("outage_revisions_by_time", "outage_revisions", ["detected_at_ms", "start_ms"])
    op.create_table(
        "outage_scopes",
        sa.Column("scope", sa.String(10), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("outage_id", sa.String(200), primary_key=True),
    )
    op.create_index("outage_scopes_by_outage", "outage_scopes", ["outage_id"])
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
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("dossiers_affected", sa.BigInteger(), nullable=False),
        sa.Column("dossiers_error", sa.Float(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(200)),
        sa.Column("counted_ms", sa.BigInteger(), nullable=False),
        sa.Column("counted_office_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("outages_by_end", "outages", ["end_ms"])
    op.create_index("outages_by_incident", "outages", ["incident_id"])
    op.create_index("outages_by_link", "outages", ["link", "start_ms", "end_ms"])
    op.create_index("outages_by_start", "outages", ["start_ms", "outage_id", "end_ms"])
    op.create_index(
        "outages_counted",
        "outages",
        [
            "link",
            "kind",
            "status",
            "start_ms",
            "end_ms",
            "counted_ms",
            "counted_office_ms",
            "dossiers_affected",
        ],
    )
    op.create_table(
        "positions",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "refusals",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True),
        sa.Column("record_offset", sa.BigInteger(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_table(
        "tree_heads",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("signed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
    )
    op.create_table(
        "window_days",
        sa.Column("link", sa.String(200), primary_key=True),
        sa.Column("day_ms", sa.BigInteger(), primary_key=True),
        sa.Column("columns", sa.LargeBinary(), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False),
    )
