"""What a dashboard is, in our own few words; `build.py` turns it into Grafana's, `render.py` into SVG.

Selectors carry the job and instance variables wherever a metric is scraped; recorded series have neither.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

Shape = Literal["timeseries", "stat", "statetimeline", "heatmap", "bargauge", "table"]

SCRAPED: Final = 'job=~"$job",instance=~"$instance"'
LINK: Final = 'link=~"$link"'
PORTAL: Final = 'portal=~"$portal"'
SERVICE: Final = 'service=~"$service"'
AGENCY: Final = 'agency=~"$agency"'

STATES: Final = {
    0: ("Unknown · Không rõ", "#8e8e8e"),
    1: ("Up · Tốt", "#3d9a50"),
    2: ("Degraded · Suy giảm", "#e0a030"),
    3: ("Down · Gián đoạn", "#c4312f"),
}
"""Text and colour of each code of ``portallink_link_state``."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query and the legend of its series, with ``{{label}}`` for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel; ``instant`` asks for one moment instead of a range, ``time_from`` overrides the range.

    ``quiet`` marks a panel of things that should not happen: it has no series while all is well, and says so.
    """

    title: str
    description: str
    shape: Shape
    unit: str
    queries: tuple[Query, ...]
    width: int = 12
    height: int = 8
    instant: bool = False
    time_from: str | None = None
    stacked: bool = False
    link_to: str | None = None
    limits: tuple[tuple[float, str], ...] = ()
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable whose values are those of a label: of ``metric``, under the selectors given."""

    name: str
    label: str
    metric: str
    selector: str = ""
    description: str = ""

    @property
    def query(self) -> str:
        """Grafana's variable query."""
        matcher = f"{{{self.selector}}}" if self.selector else ""
        return f"label_values({self.metric}{matcher}, {self.name})"


@dataclass(frozen=True, slots=True)
class Region:
    """Spans of time drawn over every panel: where the expression has a value."""

    name: str
    expr: str
    colour: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: rows of panels under their titles."""

    uid: str
    title: str
    description: str
    rows: dict[str, tuple[Panel, ...]]
    variables: tuple[Variable, ...]
    regions: tuple[Region, ...] = ()
    time_from: str = "now-6h"
    runbooks: tuple[str, ...] = field(default=())

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel, in order."""
        return tuple(panel for row in self.rows.values() for panel in row)


def scraped(metric: str, *selectors: str) -> str:
    """Return a selector of a scraped metric.

    >>> scraped("portallink_link_state", 'link="npd"')
    'portallink_link_state{job=~"$job",instance=~"$instance",link="npd"}'
    """
    return f"{metric}{{{','.join((SCRAPED, *selectors))}}}"


def rate(metric: str, *selectors: str) -> str:
    """Return the rate per second over Grafana's own rate interval."""
    return f"rate({scraped(metric, *selectors)}[$__rate_interval])"


def increase(metric: str, *selectors: str) -> str:
    """Return the increase over Grafana's own rate interval."""
    return f"increase({scraped(metric, *selectors)}[$__rate_interval])"


def top(metric: str, label: str, *selectors: str) -> tuple[Query, ...]:
    """Return the query of the fifteen values of a label that grew most within the whole range."""
    total = f"sum by ({label}) (increase({scraped(metric, *selectors)}[$__range]))"
    return (Query(f"topk(15, {total} > 0)", f"{{{{{label}}}}}"),)


def quantile(share: float, histogram: str, *selectors: str) -> str:
    """Return a quantile of a histogram, over all its series."""
    return f"histogram_quantile({share}, sum by (le) ({rate(histogram + '_bucket', *selectors)}))"


JOB = Variable("job", "Job", "portallink_build_info", "", "Prometheus job of the pipeline's processes.")
INSTANCE = Variable(
    "instance", "Instance", "portallink_build_info", 'job=~"$job"', "One process of the pipeline."
)
LINKS = Variable("link", "Link", "portallink_link_state", SCRAPED, "A link to a provider's database.")
PORTALS = Variable("portal", "Portal", "portallink_submissions_total", SCRAPED, "A public-service portal.")
AGENCIES = Variable(
    "agency", "Agency", "portallink_submissions_by_agency_total", SCRAPED, "The agency that settles."
)
SERVICES = Variable(
    "service", "Service", "portallink_submissions_by_service_total", SCRAPED, "A public service."
)

STATE_TIMELINE = Panel(
    title="State of each link",
    description="The state that the rule gave each slot, in event time. Grey is unknown: blind, or too little"
    " traffic to tell. Click a link for its own dashboard.",
    shape="statetimeline",
    unit="short",
    queries=(Query(f"max by (link) ({scraped('portallink_link_state', LINK)})", "{{link}}"),),
    width=24,
    height=9,
    link_to="portallink-link?var-link=${__field.labels.link:percentencode}",
)


def _open_outage(kind: str) -> str:
    selector = scraped("portallink_link_outage_active", LINK, f'kind="{kind}"')
    return f"max by (link) ({selector}) > 0"


OUTAGE_REGIONS = (
    Region("down", _open_outage("down"), "#c4312f"),
    Region("degraded", _open_outage("degraded"), "#e0a030"),
)
