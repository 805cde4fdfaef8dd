"""The ledger's tables.

``outage_revisions``, ``exclusion_revisions`` and ``retirement_revisions`` hold history, ``window_days`` the
windows (one row per link and day, columns packed, see `minutes.py`). ``outages``, ``outage_scopes``,
``figures``, ``day_parts``, ``shares``, ``outage_years``, ``incidents`` are derived from those and updated in
the same transaction. They hold facts, with no exclusion applied. ``log_nodes`` and ``tree_heads`` are the
Merkle logs, one per partition of a topic, so that a log has its partition's order however several partitions
are read.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData()

Name = String(200)

FIGURE_COLUMNS: Final = (
    "service_ms",
    "unknown_ms",
    "down_ms",
    "degraded_ms",
    "attempts",
    "failures",
    "short_failures",
    "short_failure_ms",
    "short_failure_lookups",
)
"""The stored figures: facts, which add up over any division of time."""

settings = Table(
    "settings",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", Text, nullable=False),
)

positions = Table(
    "positions",
    metadata,
    Column("topic", Name, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("chain", LargeBinary(32), nullable=False),
)

refusals = Table(
    "refusals",
    metadata,
    Column("topic", Name, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("record_offset", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
)

links = Table(
    "links",
    metadata,
    Column("link", Name, primary_key=True),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_day_ms", BigInteger, nullable=False),
    Column("known_until_ms", BigInteger, nullable=False),
    Column("normal", Text),
)

outage_revisions = Table(
    "outage_revisions",
    metadata,
    Column("outage_id", Name, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("link", Name, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("detected_at_ms", BigInteger, nullable=False),
    Column("log", Name, nullable=False),
    Column("leaf", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("log", "leaf"),
)

outages = Table(
    "outages",
    metadata,
    Column("outage_id", Name, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("status", String(10), nullable=False),
    Column("link", Name, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("fault_domain", String(10), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger),
    Column("detected_at_ms", BigInteger, nullable=False),
    Column("first_detected_ms", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("dossiers_affected", BigInteger, nullable=False),
    Column("dossiers_error", Float, nullable=False),
    Column("changes", Integer, nullable=False),
    Column("incident_id", Name),
    # Whether its share is the same for any question: ended, and overlaps no outage, exclusion or retirement.
    Column("apart", Boolean, nullable=False),
    Index("outages_by_start", "start_ms", "outage_id", "end_ms"),
    Index("outages_by_publishing", "first_detected_ms", "detected_at_ms", "start_ms", "outage_id"),
    Index("outages_by_apart", "apart", "start_ms", "end_ms"),
    Index("outages_by_link", "link", "start_ms", "end_ms"),
    Index("outages_by_end", "end_ms", "start_ms"),
    Index("outages_by_incident", "incident_id"),
)

shares = Table(
    # The share of an outage that stands apart under a calendar; without a row it is zero.
    "shares",
    metadata,
    Column("calendar", String(20), primary_key=True),
    Column("outage_id", Name, primary_key=True),
    Column("link", Name, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("counted_ms", BigInteger, nullable=False),
    Column("dossiers_affected", BigInteger, nullable=False),
    Index(
        # Covers all columns that sums over a long period need, in the order of their groups.
        "shares_counted",
        "calendar",
        "link",
        "kind",
        "start_ms",
        "end_ms",
        "counted_ms",
        "dossiers_affected",
    ),
)

outage_scopes = Table(
    "outage_scopes",
    metadata,
    Column("scope", String(10), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("outage_id", Name, primary_key=True),
    Index("outage_scopes_by_outage", "outage_id"),
)

exclusion_revisions = Table(
    "exclusion_revisions",
    metadata,
    Column("exclusion_id", Name, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("link", Name, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    Column("log", Name, nullable=False),
    Column("leaf", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("log", "leaf"),
)

retirement_revisions = Table(
    "retirement_revisions",
    metadata,
    Column("link", Name, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("from_ms", BigInteger, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    Column("log", Name, nullable=False),
    Column("leaf", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("log", "leaf"),
)

window_days = Table(
    "window_days",
    metadata,
    Column("link", Name, primary_key=True),
    Column("day_ms", BigInteger, primary_key=True),
    Column("columns", LargeBinary, nullable=False),
    Column("details", LargeBinary, nullable=False),
)

outage_years = Table(
    "outage_years",
    metadata,
    Column("calendar", String(20), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("link", Name, primary_key=True),
    Column("down_outages", Integer, nullable=False),
    Column("degraded_outages", Integer, nullable=False),
    Column("longest_down_ms", BigInteger, nullable=False),
    Column("dossiers_affected", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

figures = Table(
    "figures",
    metadata,
    Column("calendar", String(20), primary_key=True),
    Column("grain", String(5), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("link", Name, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False, server_default="0" if name.startswith("short") else None)
        for name in FIGURE_COLUMNS
    ),
    Index("figures_by_link", "calendar", "grain", "link", "start_ms"),
    sqlite_with_rowid=False,  # keeps a period's rows together
)

day_parts = Table(
    # Figures of the parts of days that exclusions name, so that they are read and not counted again.
    "day_parts",
    metadata,
    Column("calendar", String(20), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("end_ms", BigInteger, primary_key=True),
    Column("link", Name, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False, server_default="0" if name.startswith("short") else None)
        for name in FIGURE_COLUMNS
    ),
    sqlite_with_rowid=False,
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", Name, primary_key=True),
    Column("pattern", String(10), nullable=False),
    Column("common_cause", String(20)),
    Column("kind", String(10), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger),
    Column("links", Text, nullable=False),
    Column("outages", Integer, nullable=False),
    Column("changes", Integer, nullable=False),
    Index("incidents_by_start", "start_ms", "incident_id"),
    Index("incidents_by_end", "end_ms", "start_ms"),
)

# A row that reaches into a period began at most the longest length before it: the end of this index.
Index("outages_by_length", outages.c.end_ms - outages.c.start_ms)
Index("incidents_by_length", incidents.c.end_ms - incidents.c.start_ms)

log_nodes = Table(
    "log_nodes",
    metadata,
    Column("log", Name, primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("hash", LargeBinary(32), nullable=False),
)

tree_heads = Table(
    "tree_heads",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("signed_at_ms", BigInteger, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("key_id", String(64), nullable=False),
)

audit_trail = Table(
    "audit_trail",
    metadata,
    Column("entry", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Name, nullable=False),
    Column("role", String(10), nullable=False),
    Column("action", Name, nullable=False),
    Column("subject", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Index("audit_trail_by_time", "at_ms"),
)

OUTAGE_COLUMNS: Final = ("down_outages", "degraded_outages", "longest_down_ms", "dossiers_affected")
DERIVED: Final = (outages, outage_scopes, figures, day_parts, shares, outage_years, incidents)
HISTORY: Final = (
    outage_revisions,
    exclusion_revisions,
    retirement_revisions,
    window_days,
    log_nodes,
    positions,
    refusals,
    links,
)
