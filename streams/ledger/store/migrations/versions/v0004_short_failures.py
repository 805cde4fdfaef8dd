"""Adds full failures too short to be an outage to the facts, and each link's raised normal."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this version; existing figures get zero short failures."""
    for table in ("figures", "day_parts"):
        for name in ("short_failures", "short_failure_ms", "short_failure_lookups"):
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("links", sa.Column("normal", sa.Text()))
