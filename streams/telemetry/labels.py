"""The values that labels and buckets of the metrics may take, and how many values a label may have."""

from typing import Final

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ACCEPTANCE_BUCKETS: Final = (
    0.1,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    600.0,
    3600.0,
    14400.0,
    86400.0,
)
"""The upper ones are for submissions that wait until a link is back."""
DELAY_BUCKETS: Final = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

LINK_STATE_CODES: Final = {"UNKNOWN": 0, "UP": 1, "DEGRADED": 2, "DOWN": 3}
"""Unknown has its own code, because a graph would draw a gap as if the last state continued."""

LINK_STATES: Final = ("up", "degraded", "down", "unknown", "not_in_service")
"""The states into which event time is divided: each second of a link is in exactly one."""

PERIODS: Final = ("today", "month", "30d")
"""The periods of the ledger's own figures: the local day, the local month, and 30 days up to now."""

LISTED_OPEN: Final = 200
"""The most open outages that the ledger lists, the latest first."""
LISTED_CLOSED: Final = 50
"""The most closed outages that it lists, the latest first."""

RESULTS: Final = ("applied", "duplicate", "late", "dead_letter")

OTHER: Final = "other"
"""The label value for all values beyond a label's limit."""

METRICS_PORTS: Final = {"measure": 9101, "detect": 9102, "record": 9103, "serve": 9104, "collect": 9105}
"""The default port of each stage's metrics; `deploy/prometheus/local.yml` scrapes these."""

LABEL_LIMITS: Final = {
    "link": 1_000,
    "portal": 100,
    "service": 2_000,
    "agency": 1_000,
    "partition": 1_000,
    "route": 200,
    "reason": 50,
}
"""The most distinct values of a label per process; labels not listed are closed sets in the code."""

PAIR_LIMIT: Final = 4_400
"""The most series per process of a metric with two labels from data, such as link and service."""
