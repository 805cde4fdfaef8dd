"""Submissions: what a link's trouble does to citizens."""

from tools.dashboards.spec import (
    AGENCIES,
    AGENCY,
    INSTANCE,
    JOB,
    LINK,
    LINKS,
    PORTAL,
    PORTALS,
    SERVICE,
    SERVICES,
    Board,
    Panel,
    Query,
    increase,
    quantile,
    rate,
    top,
)

_ACCEPTANCE = "portallink_submission_acceptance_seconds"
_RECEIVED = rate("portallink_submissions_total", PORTAL, 'type="received"')

SUBMISSIONS = Board(
    uid="portallink-submissions",
    title="portallink · Submissions",
    description="What citizens' submissions go through: received, accepted, held up, and by which link.",
    variables=(JOB, INSTANCE, PORTALS, LINKS, SERVICES, AGENCIES),
    runbooks=("PortallinkSubmissionsBlocked", "PortallinkAcceptanceSlow"),
    rows={
        "Flow": (
            Panel(
                title="Submissions by type",
                description="Events a second: received, accepted, deferred, rejected, failed, completed.",
                shape="timeseries",
                unit="ops",
                queries=(
                    Query(f"sum by (type) ({rate('portallink_submissions_total', PORTAL)})", "{{type}}"),
                ),
            ),
            Panel(
                title="Received by portal",
                description="Submissions received a second at each portal.",
                shape="timeseries",
                unit="ops",
                queries=(
                    Query(
                        f"sum by (portal) ({_RECEIVED})",
                        "{{portal}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Held up, by link",
                description="Submissions deferred or failed a second, by the link that blocked them.",
                shape="timeseries",
                unit="ops",
                queries=(
                    Query(
                        f"sum by (link) ({rate('portallink_submissions_blocked_total', PORTAL, LINK)})",
                        "{{link}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Held up share",
                description="Submissions deferred or failed because of a link, over those received.",
                shape="timeseries",
                unit="percentunit",
                queries=(
                    Query(
                        f"sum by (portal) ({rate('portallink_submissions_blocked_total', PORTAL)})"
                        f" / (sum by (portal) ({_RECEIVED}) > 0)",
                        "{{portal}}",
                    ),
                ),
            ),
        ),
        "Time to acceptance": (
            Panel(
                title="Acceptance time",
                description="How many submissions were accepted within each span of time after receipt.",
                shape="heatmap",
                unit="s",
                queries=(
                    Query(
                        f"sum by (le) ({increase(_ACCEPTANCE + '_bucket', PORTAL)})",
                        "{{le}}",
                    ),
                ),
            ),
            Panel(
                title="Acceptance time quantiles",
                description="Over the chosen portals together.",
                shape="timeseries",
                unit="s",
                queries=tuple(
                    Query(quantile(share, _ACCEPTANCE, PORTAL), name)
                    for share, name in ((0.5, "p50"), (0.95, "p95"))
                ),
            ),
        ),
        "Whose": (
            Panel(
                title="By agency",
                description="Submission events of all types within the range; the fifteen busiest agencies.",
                shape="bargauge",
                unit="short",
                queries=top("portallink_submissions_by_agency_total", "agency", PORTAL, AGENCY),
                instant=True,
            ),
            Panel(
                title="By service",
                description="Submission events of all types within the range; the fifteen busiest services.",
                shape="bargauge",
                unit="short",
                queries=top("portallink_submissions_by_service_total", "service", PORTAL, SERVICE),
                instant=True,
            ),
        ),
    },
)
