"""PromQL of the dashboards. Selectors carry the job and instance variables wherever a metric is scraped.

Recorded series have neither. Figures of a day, a month and 30 days are the ledger's own gauges, rounded down;
what happens now comes from `detect`, which is seconds ahead of the ledger.
"""

from typing import Final

from streams.watch.promql import ATTEMPT_MATCH, DECIDED_MATCH, FAILURE_MATCH
from tools.dashboards.spec import Query
from tools.dashboards.words import Text

SCRAPED: Final = 'job=~"$job",instance=~"$instance"'
LINK: Final = 'link=~"$link"'
PORTAL: Final = 'portal=~"$portal"'


def scraped(metric: str, *selectors: str) -> str:
    """Return a selector of a scraped metric.

    >>> scraped("portallink_link_state", 'link="npd"')
    'portallink_link_state{job=~"$job",instance=~"$instance",link="npd"}'
    """
    return f"{metric}{{{','.join((SCRAPED, *selectors))}}}"


def rate(metric: str, *selectors: str) -> str:
    """Return the rate per second over Grafana's own rate interval."""
    return f"rate({scraped(metric, *selectors)}[$__rate_interval])"


def increase(metric: str, *selectors: str, over: str = "$__rate_interval") -> str:
    """Return the increase over Grafana's own rate interval, or another span."""
    return f"increase({scraped(metric, *selectors)}[{over}])"


def grown(metric: str, over: str, *selectors: str) -> str:
    """Return by how much a counter grew over a span, exactly, as it is shown as a number.

    `increase` extrapolates to fractions, and ignores the first value of a series. It is used only if a
    process restarted within the span.
    """
    counter = scraped(metric, *selectors)
    before = f"({counter} offset {over} or {counter} * 0)"
    return f"(({counter} - {before} and resets({counter}[{over}]) == 0) or increase({counter}[{over}]))"


def in_range(metric: str, *selectors: str) -> str:
    """Return the increase over the whole range shown, the same at each point of it."""
    return f"increase({scraped(metric, *selectors)}[$__range] @ end())"


def per_minute(metric: str, label: str, *selectors: str) -> str:
    """Return a counter's growth per minute, by a label; series that stay zero are left out."""
    grows = f"sum by ({label}) ({in_range(metric, *selectors)}) > 0"
    return f"60 * sum by ({label}) ({rate(metric, *selectors)}) and on ({label}) ({grows})"


def top(metric: str, label: str, *selectors: str) -> tuple[Query, ...]:
    """Return the query of the ten values of a label that grew most within the range, as whole numbers."""
    total = f"sum by ({label}) ({grown(metric, '$__range', *selectors)})"
    return (Query(f"topk(10, round({total}) > 0)", f"{{{{{label}}}}}"),)


def quantile(share: float, histogram: str, *selectors: str) -> str:
    """Return a quantile of a histogram, over all its series."""
    return f"histogram_quantile({share}, sum by (le) ({rate(histogram + '_bucket', *selectors)}))"


def by_link(metric: str, *selectors: str) -> str:
    """Return a gauge by link, from whichever process reports it."""
    return f"max by (link) ({scraped(metric, LINK, *selectors)})"


def rounded_down(expr: str, decimals: int = 4) -> str:
    """Return a ratio rounded down to some decimals, so that no figure looks better than it is.

    Before that 1e-9 of a digit is added, to make up for rounding errors of sums.
    """
    return f"floor(({expr}) * 1e{decimals} + 1e-9) / 1e{decimals}"


# The state of a link, worst view first: see `spec.STATES`.

_ACTIVE: Final = "portallink_link_outage_active"


def open_outage(kind: str) -> str:
    """Return 1 for each link that has an open outage of a kind, 0 for the others."""
    return by_link(_ACTIVE, f'kind="{kind}"')


def state() -> str:
    """Return each link's state as a code of `spec.STATES`; while an outage is open it is down or degraded.

    The rule's own state would alternate with unknown on a link that is down and has few lookups.
    """
    observed = scraped("portallink_link_observed", LINK)
    down, degraded = (scraped(_ACTIVE, LINK, match) for match in ('kind="down"', 'kind="degraded"'))
    blind = f'label_replace(0.5 * ({observed} == bool 0), "kind", "blind", "", "")'
    told = scraped("portallink_link_state", LINK)
    return f"max by (link) ({told} or 3 * {down} or 2 * {degraded} or {blind})"


BLIND: Final = (
    f"(({by_link('portallink_link_observed')} == 0)"
    f" unless on (link) ({by_link('portallink_link_retired')} == 1))"
)
"""The links that nobody observes and that are not retired."""


def states_worst_first() -> str:
    """Return the states of links by ``group``: 1 down, 2 degraded, 3 unobserved, 4 earlier trouble, 5 well.

    Prometheus orders series by their labels and Grafana draws them in that order, so the worst are on top.
    """
    active, observed = scraped(_ACTIVE, LINK), scraped("portallink_link_observed", LINK)
    down, degraded = (scraped(_ACTIVE, LINK, match) for match in ('kind="down"', 'kind="degraded"'))
    told = scraped("portallink_link_state", LINK)
    groups = (
        f"{down} @ end() == 1",
        f"{degraded} @ end() == 1",
        f"{observed} @ end() == 0",
        f"max_over_time({active}[$__range] @ end()) == 1",
        f"max_over_time({told}[$__range] @ end())",
    )
    named = (
        f'label_replace(group by (link) ({links}), "group", "{number}", "", "")'
        for number, links in enumerate(groups, 1)
    )
    return f"{state()} * on (link) group_left (group) ({' or on (link) '.join(named)})"


_DETECT_LAG: Final = scraped("portallink_watermark_lag_seconds", 'stage="detect"')
EVENT_NOW: Final = f"scalar(time() - min({_DETECT_LAG}))"
"""The event time that `detect` has reached; the length of an open outage is measured by it."""

SINCE: Final = by_link("portallink_link_outage_start_timestamp_seconds")
DOSSIERS: Final = by_link("portallink_link_dossiers_affected")


# Shares of lookups and submissions.

LOOKUPS: Final = "portallink_lookups_total"
BLOCKED: Final = "portallink_submissions_blocked_total"
SUBMISSIONS: Final = "portallink_submissions_total"


def failed_share(label: str = "link") -> str:
    """Return failed lookups over attempts, both of the same span, so that it is never above 1."""
    failed, tried = (
        f"sum by ({label}) ({rate(LOOKUPS, LINK, match)})" for match in (FAILURE_MATCH, ATTEMPT_MATCH)
    )
    return f"{failed} / ({tried} > 0)"


def worst_held_up(links: int) -> str:
    """Return submissions held up per minute, for the links that held up most within the range."""
    most = f"topk({links}, sum by (link) ({in_range(BLOCKED, LINK)}) > 0)"
    return f"60 * sum by (link) ({rate(BLOCKED, LINK)}) and on (link) {most}"


def worst_failed_shares(links: int) -> str:
    """Return the failed share of the links on which most lookups failed within the range."""
    failed = f"sum by (link) ({in_range(LOOKUPS, LINK, FAILURE_MATCH)})"
    return f"{failed_share()} and on (link) topk({links}, {failed} > 0)"


def held_up_share() -> str:
    """Return the submissions that a link held up, over all submissions with an event in the span."""
    blocked = f"sum by (portal) ({rate(BLOCKED, PORTAL)})"
    return f"{blocked} / (sum by (portal) ({rate(SUBMISSIONS, PORTAL, DECIDED_MATCH)}) > 0)"


def ledger(what: str, period: str, *selectors: str) -> str:
    """Return the ledger's availability or coverage of a period, rounded down."""
    return rounded_down(by_link(f"portallink_ledger_{what}_ratio", f'period="{period}"', *selectors))


def quantiles(shares: tuple[float, ...], histogram: str, *selectors: str) -> tuple[Query, ...]:
    """Return quantiles of a histogram, each with its legend."""
    return tuple(Query(quantile(share, histogram, *selectors), f"p{share * 100:g}") for share in shares)


def events(metric: str, label: str, *selectors: str, legend: Text | None = None) -> tuple[Query, ...]:
    """Return the query of a counter's growth a minute by a label."""
    return (Query(per_minute(metric, label, *selectors), legend or f"{{{{{label}}}}}"),)
