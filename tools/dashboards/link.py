"""Link: one link in depth."""

from tools.dashboards.spec import (
    AGENCIES,
    AGENCY,
    INSTANCE,
    JOB,
    LINK,
    LINKS,
    OUTAGE_REGIONS,
    SERVICE,
    SERVICES,
    STATE_TIMELINE,
    Board,
    Panel,
    Query,
    increase,
    quantile,
    rate,
    scraped,
    top,
)

_LATENCY, _PROVIDER = "portallink_lookup_latency_seconds", "portallink_provider_latency_seconds"


def _mean(histogram: str) -> str:
    return f"sum({rate(histogram + '_sum', LINK)}) / (sum({rate(histogram + '_count', LINK)}) > 0)"


LINK_BOARD = Board(
    uid="portallink-link",
    title="portallink · Link",
    description="One link: is it us, the line or the provider, and which services and agencies suffer?",
    variables=(JOB, INSTANCE, LINKS, SERVICES, AGENCIES),
    regions=OUTAGE_REGIONS,
    runbooks=("PortallinkLinkDown", "PortallinkLinkDegraded", "PortallinkLinkFlapping"),
    rows={
        "State": (
            STATE_TIMELINE,
            Panel(
                title="Outcomes",
                description="Lookups a second by outcome, as the portal saw them. `not_found` and"
                " `mismatch` are answers: the link worked.",
                shape="timeseries",
                unit="ops",
                queries=(
                    Query(f"sum by (outcome) ({rate('portallink_lookups_total', LINK)})", "{{outcome}}"),
                ),
                stacked=True,
            ),
            Panel(
                title="Asked and answered",
                description="Lookups asked a second against outcomes that became known: a gap is requests"
                " that are swallowed.",
                shape="timeseries",
                unit="ops",
                queries=(
                    Query(f"sum({rate('portallink_lookups_requested_total', LINK)})", "asked"),
                    Query(f"sum({rate('portallink_lookups_total', LINK)})", "outcome known"),
                ),
            ),
            Panel(
                title="Failed share of lookups",
                description="Failures by fault of the link or the provider over attempts, in five minutes"
                " and in an hour.",
                shape="timeseries",
                unit="percentunit",
                queries=(
                    Query(f"portallink:lookup_failures:ratio_rate5m{{{LINK}}}", "{{link}} 5 min"),
                    Query(f"portallink:lookup_failures:ratio_rate1h{{{LINK}}}", "{{link}} 1 h"),
                ),
            ),
            Panel(
                title="Observed",
                description="1 while an observer of the link is alive; 0 is blind, and then nobody knows.",
                shape="timeseries",
                unit="short",
                queries=(
                    Query(
                        f"max by (link) ({scraped('portallink_link_observed', LINK)})", "{{link}} observed"
                    ),
                    Query(
                        f"sum by (link) ({increase('portallink_link_state_changes_total', LINK)})",
                        "{{link}} changes",
                    ),
                ),
            ),
            Panel(
                title="Failures too short to be an outage",
                description="Full failures shorter than the rule's minimum: number, seconds, lookups.",
                shape="timeseries",
                unit="short",
                queries=(
                    Query(f"sum by (link) ({increase('portallink_short_failures_total', LINK)})", "failures"),
                    Query(
                        f"sum by (link) ({increase('portallink_short_failure_seconds_total', LINK)})",
                        "seconds",
                    ),
                    Query(
                        f"sum by (link) ({increase('portallink_short_failure_lookups_total', LINK)})",
                        "lookups",
                    ),
                ),
            ),
            Panel(
                title="Raised normal",
                description="What has become normal for the link: the failing share of lookups, the latency"
                " from which an answer is slow, and for how long. No series where nothing is raised.",
                shape="timeseries",
                quiet=True,
                unit="short",
                queries=(
                    Query(
                        f"max by (link) ({scraped('portallink_link_normal_failure_share', LINK)})",
                        "{{link}} failing share",
                    ),
                    Query(
                        f"max by (link) ({scraped('portallink_link_normal_slow_seconds', LINK)})",
                        "{{link}} slow from, seconds",
                    ),
                    Query(
                        "(time() - max by (link) "
                        f"({scraped('portallink_link_normal_since_timestamp_seconds', LINK)})) / 86400",
                        "{{link}} for days",
                    ),
                ),
            ),
        ),
        "Latency": (
            Panel(
                title="Latency of answered lookups",
                description="How many lookups were answered within each span of time.",
                shape="heatmap",
                unit="s",
                queries=(
                    Query(
                        f"sum by (le) ({increase(_LATENCY + '_bucket', LINK)})",
                        "{{le}}",
                    ),
                ),
            ),
            Panel(
                title="Latency quantiles",
                description="Of answered lookups at the portal, over the chosen links together.",
                shape="timeseries",
                unit="s",
                queries=tuple(
                    Query(quantile(share, _LATENCY, LINK), name)
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
            ),
            Panel(
                title="Provider against network",
                description="Mean time spent at the provider, where it reports, and the rest: line,"
                " gateways and queues. Clock skew between the two sides can make the rest negative.",
                shape="timeseries",
                unit="s",
                queries=(
                    Query(_mean(_PROVIDER), "provider"),
                    Query(f"{_mean(_LATENCY)} - {_mean(_PROVIDER)}", "network and gateways"),
                ),
            ),
            Panel(
                title="Detection delay",
                description="Event time from an outage's first failing request to the end of the slot that"
                " decided it, over all links.",
                shape="timeseries",
                unit="s",
                queries=(
                    Query(quantile(0.5, "portallink_outage_detection_delay_seconds"), "p50"),
                    Query(quantile(0.95, "portallink_outage_detection_delay_seconds"), "p95"),
                ),
            ),
        ),
        "Who is hit": (
            Panel(
                title="Services hit",
                description="Failed lookups within the range by the service that needed them; the fifteen"
                " most.",
                shape="bargauge",
                unit="short",
                queries=top("portallink_failed_lookups_by_service_total", "service", LINK, SERVICE),
                instant=True,
            ),
            Panel(
                title="Agencies hit",
                description="Failed lookups within the range by the agency that needed them; the fifteen"
                " most.",
                shape="bargauge",
                unit="short",
                queries=top("portallink_failed_lookups_by_agency_total", "agency", LINK, AGENCY),
                instant=True,
            ),
        ),
    },
)
