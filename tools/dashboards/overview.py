"""Overview: every link at once, for the engineer who has just been called."""

from typing import Final

from tools.dashboards.spec import (
    INSTANCE,
    JOB,
    LINK,
    LINKS,
    OUTAGE_REGIONS,
    STATE_TIMELINE,
    Board,
    Panel,
    Query,
    increase,
    scraped,
)

_DOWNTIME = scraped("portallink_link_downtime_seconds_total", LINK)
_JUDGED = scraped("portallink_link_state_seconds_total", LINK, 'state=~"up|degraded|down"')
_ACTIVE = scraped("portallink_link_outage_active", LINK)
AVAILABLE: Final = ((0, "#c4312f"), (0.99, "#e0a030"), (0.999, "#3d9a50"))

OVERVIEW = Board(
    uid="portallink-overview",
    title="portallink · Overview",
    description="Is the link to the population database up right now, since when, and whom does it hit?",
    variables=(JOB, INSTANCE, LINKS),
    regions=OUTAGE_REGIONS,
    runbooks=("PortallinkLinkDown", "PortallinkSharedOutage", "PortallinkLinkBlind"),
    rows={
        "Now": (
            STATE_TIMELINE,
            Panel(
                title="Links down",
                description="Links with an open outage of kind down.",
                shape="stat",
                unit="short",
                queries=(
                    Query(
                        "sum(max by (link) ("
                        + scraped("portallink_link_outage_active", LINK, 'kind="down"')
                        + "))",
                        "links down",
                    ),
                ),
                width=4,
                height=6,
                instant=True,
                limits=((0, "#3d9a50"), (1, "#c4312f")),
            ),
            Panel(
                title="Dossiers affected now",
                description="Distinct dossiers with a failed attempt in the outages that are open now,"
                " added over links: a dossier that needs two links that are both down counts twice.",
                shape="stat",
                unit="short",
                queries=(
                    Query(
                        f"sum(max by (link) ({scraped('portallink_link_dossiers_affected', LINK)}))",
                        "dossiers",
                    ),
                ),
                width=4,
                height=6,
                instant=True,
                limits=((0, "#3d9a50"), (1, "#e0a030"), (1000, "#c4312f")),
            ),
            Panel(
                title="Open outages",
                description="Each link with an open outage and its kind. Their story is on the auditors'"
                " page.",
                shape="table",
                unit="short",
                queries=(Query(f"max by (link, kind) ({_ACTIVE}) > 0", "{{link}} {{kind}}"),),
                width=8,
                height=6,
                instant=True,
            ),
            Panel(
                title="Alerts",
                description="Alerts that stand now, by severity.",
                shape="table",
                unit="short",
                queries=(
                    Query(
                        "count by (alertname, severity, incident)"
                        ' (ALERTS{alertname=~"Portallink.*",alertstate="firing"})',
                        "{{alertname}} {{incident}}",
                    ),
                ),
                width=8,
                height=6,
                instant=True,
            ),
        ),
        "Availability": (
            Panel(
                title="Availability today",
                description="Since midnight in Viet Nam: 1 less downtime over the time we could judge,"
                " from outage intervals. Unknown time is neither up nor down.",
                shape="bargauge",
                unit="percentunit",
                queries=(
                    Query(
                        f"1 - sum by (link) (increase({_DOWNTIME}[$__range]))"
                        f" / (sum by (link) (increase({_JUDGED}[$__range])) > 0)",
                        "{{link}}",
                    ),
                ),
                width=8,
                instant=True,
                time_from="now/d",
                limits=AVAILABLE,
            ),
            Panel(
                title="Availability, 30 days",
                description="The same over 30 days, from hourly sums. The report on the auditors' page is the"
                " exact figure: it knows corrections and exclusions.",
                shape="bargauge",
                unit="percentunit",
                queries=(Query(f"portallink:link_availability:ratio30d{{{LINK}}}", "{{link}}"),),
                width=8,
                instant=True,
                limits=AVAILABLE,
            ),
            Panel(
                title="Coverage, 30 days",
                description="Share of the time in which we could judge the link at all.",
                shape="bargauge",
                unit="percentunit",
                queries=(Query(f"portallink:link_coverage:ratio30d{{{LINK}}}", "{{link}}"),),
                width=8,
                instant=True,
                limits=((0, "#c4312f"), (0.9, "#e0a030"), (0.99, "#3d9a50")),
            ),
            Panel(
                title="Failed share of lookups",
                description="Failures by fault of the link or the provider, over attempts, in five minutes.",
                shape="timeseries",
                unit="percentunit",
                queries=(Query(f"portallink:lookup_failures:ratio_rate5m{{{LINK}}}", "{{link}}"),),
            ),
            Panel(
                title="Outages found",
                description="Outages that began within the range, each counted once.",
                shape="timeseries",
                unit="short",
                queries=(
                    Query(
                        f"sum by (link, kind) ({increase('portallink_outages_total', LINK)}) > 0",
                        "{{link}} {{kind}}",
                    ),
                ),
            ),
        ),
    },
)
