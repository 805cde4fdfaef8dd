"""Grafana's JSON of the dashboards, through the pinned grafana-foundation-sdk (Grafana 11.6)."""

import json
from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import (
    common as common_builders,
)
from grafana_foundation_sdk.builders import (
    dashboard as builders,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from streams.watch.settings import Urls
from tools.dashboards.link import LINK_BOARD
from tools.dashboards.operations import PIPELINE, SLO
from tools.dashboards.overview import OVERVIEW
from tools.dashboards.spec import STATES, Board, Panel, Region, Variable
from tools.dashboards.submissions import SUBMISSIONS

BOARDS: Final = (OVERVIEW, LINK_BOARD, SUBMISSIONS, SLO, PIPELINE)
TAG: Final = "portallink"
_SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
_BUILDERS: Final[dict[str, Any]] = {
    "timeseries": timeseries.Panel,
    "stat": stat.Panel,
    "statetimeline": statetimeline.Panel,
    "heatmap": heatmap.Panel,
    "bargauge": bargauge.Panel,
    "table": table.Panel,
}


def dashboard_files(urls: Urls) -> dict[str, str]:
    """Return the dashboards' JSON by file name."""
    return {f"{board.uid}.json": to_json(build(board, urls).build()) for board in BOARDS}


def to_json(built: dashboard.Dashboard) -> str:
    """Return a dashboard's JSON as it is checked in."""
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build(board: Board, urls: Urls) -> builders.Dashboard:
    """Return the SDK's builder of a board."""
    built = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .timezone("Asia/Ho_Chi_Minh")
        .time(board.time_from, "now")
        .refresh("30s")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for variable in board.variables:
        built.with_variable(_variable(variable))
    for region in board.regions:
        built.annotation(_annotation(region))
    for link in _links(board, urls):
        built.link(link)
    number = 0
    for title, panels in board.rows.items():
        number += 1
        built.with_row(builders.Row(title).id(number))
        for panel in panels:
            number += 1
            built.with_panel(_panel(panel).id(number))
    return built


def _variable(variable: Variable) -> builders.QueryVariable:
    return (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .description(variable.description)
        .datasource(_SOURCE)
        .query(variable.query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _annotation(region: Region) -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name(region.name)
        .datasource(_SOURCE)
        .enable(True)
        .icon_color(region.colour)
        .expr(region.expr)
    )


def _links(board: Board, urls: Urls) -> list[builders.DashboardLink]:
    def to(title: str, url: str) -> builders.DashboardLink:
        return (
            builders.DashboardLink(title)
            .type(dashboard.DashboardLinkType.LINK)
            .url(url)
            .target_blank(True)
            .icon("external link")
        )

    others = (
        builders.DashboardLink("Dashboards")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
        .icon("dashboard")
    )
    runbooks = [to(f"Runbook {name}", f"{urls.runbooks}/{name}") for name in board.runbooks]
    return [others, to("Auditors' page", urls.page), *runbooks]


def _panel(panel: Panel) -> Any:
    built = (
        _BUILDERS[panel.shape]()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
    )
    for index, query in enumerate(panel.queries):
        target = (
            prometheus.Dataquery()
            .expr(query.expr)
            .legend_format(query.legend)
            .ref_id(chr(ord("A") + index))
            .datasource(_SOURCE)
            .format(_format(panel))
        )
        built.with_target(target.instant() if panel.instant else target.range())
    if panel.quiet:
        built.no_value("none")
    if panel.time_from is not None:
        built.time_from(panel.time_from)
    if panel.link_to is not None:
        built.data_links([builders.DashboardLink("Open").url(f"/d/{panel.link_to}").keep_time(True)])
    if panel.limits:
        built.thresholds(_thresholds(panel.limits))
    return _shaped(built, panel)


def _format(panel: Panel) -> PromQueryFormat:
    formats = {"heatmap": PromQueryFormat.HEATMAP, "table": PromQueryFormat.TABLE}
    return formats.get(panel.shape, PromQueryFormat.TIME_SERIES)


def _shaped(built: Any, panel: Panel) -> Any:
    """Add what only this shape of panel has."""
    if panel.shape == "statetimeline":
        texts: dict[str, dashboard.ValueMappingResult] = {
            str(code): dashboard.ValueMappingResult(text=text, color=colour, index=code)
            for code, (text, colour) in STATES.items()
        }
        built.mappings([dashboard.ValueMap(options=texts)]).merge_values(True)
        built.show_value(common.VisibilityMode.NEVER).row_height(0.8).fill_opacity(90)
    elif panel.shape == "timeseries":
        legend = common_builders.VizLegendOptions().show_legend(True)
        built.legend(
            legend.placement(common.LegendPlacement.BOTTOM).display_mode(common.LegendDisplayMode.LIST)
        )
        built.tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        if panel.stacked:
            built.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL)).fill_opacity(40)
    return built


def _thresholds(limits: Sequence[tuple[float, str]]) -> builders.ThresholdsConfig:
    steps = [
        # The first step is the base: it has no lower limit.
        dashboard.Threshold(value=None if index == 0 else value, color=colour)
        for index, (value, colour) in enumerate(limits)
    ]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
