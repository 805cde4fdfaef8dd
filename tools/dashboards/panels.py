"""One panel as Grafana's, in one language."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import (
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboards.spec import Column, Limits, Meaning, Panel
from tools.dashboards.words import Language, Text, Words, said

SOURCE: Final = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
NONE: Final = Words("none", "không có")
_BUILDERS: Final[dict[str, Any]] = {
    "timeseries": timeseries.Panel,
    "stat": stat.Panel,
    "statetimeline": statetimeline.Panel,
    "heatmap": heatmap.Panel,
    "table": table.Panel,
}
_FORMATS: Final = {"heatmap": PromQueryFormat.HEATMAP, "table": PromQueryFormat.TABLE}
MANY_SERIES: Final = 25
"""Rows of a timeline on one page of it."""
BROAD: Final = 8
"""From this width on a legend is a table with the last and the highest value."""


def panel_of(panel: Panel, language: Language) -> Any:
    """Return the SDK's builder of a panel."""
    built = (
        _BUILDERS[panel.shape]()
        .title(said(panel.title, language))
        .description(said(panel.description, language))
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
    )
    for index, query in enumerate(panel.queries):
        target = (
            prometheus.Dataquery()
            .expr(query.expr)
            .legend_format(said(query.legend, language))
            .ref_id(chr(ord("A") + index))
            .datasource(SOURCE)
            .format(_FORMATS.get(panel.shape, PromQueryFormat.TIME_SERIES))
        )
        built.with_target(target.instant() if panel.instant else target.range())
    for value, put in (
        (panel.decimals, built.decimals),
        (panel.minimum, built.min),
        (panel.maximum, built.max),
        (panel.time_from, built.time_from),
    ):
        if value is not None:
            put(value)
    if panel.quiet:
        built.no_value(said(NONE, language))
    if panel.link_to is not None:
        built.data_links([_data_link(panel.link_to, language)])
    if panel.limits:
        built.thresholds(_thresholds(panel.limits))
    if panel.meanings:
        built.mappings([_mapping(panel.meanings, language)])
    _SHAPES[panel.shape](built, panel, language)
    return built


def _data_link(target: str, language: Language) -> builders.DashboardLink:
    path, _, asked = target.partition("?")
    uid = path if language == "en" else f"{path}-{language}"
    url = f"/d/{uid}" + (f"?{asked}&${{__url_time_range}}" if asked else "?${__url_time_range}")
    return builders.DashboardLink(said(Words("Open", "Mở"), language)).url(url)


def _thresholds(limits: Limits) -> builders.ThresholdsConfig:
    steps = [
        # The first step is the base: it has no lower limit.
        dashboard.Threshold(value=None if index == 0 else value, color=colour)
        for index, (value, colour) in enumerate(limits)
    ]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(meanings: Mapping[str, Meaning], language: Language) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(
                text=said(meaning.text, language), color=meaning.colour, index=index
            )
            for index, (value, meaning) in enumerate(meanings.items())
        }
    )


def _fixed(name: str, colour: str) -> tuple[str, list[dashboard.DynamicConfigValue]]:
    value = {"mode": "fixed", "fixedColor": colour}
    return name, [dashboard.DynamicConfigValue(id_val="color", value=value)]


def _timeseries(built: Any, panel: Panel, language: Language) -> None:
    legend = common_builders.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
    if panel.width >= BROAD:
        legend.display_mode(common.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    else:
        legend.display_mode(common.LegendDisplayMode.LIST)
    built.legend(legend)
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    built.tooltip(tooltip.sort(common.SortOrder.DESCENDING))
    built.show_points(common.VisibilityMode.NEVER)
    if panel.axis:
        built.axis_label(said(panel.axis, language))
    if panel.stacked:
        built.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL)).fill_opacity(60)
    if panel.lines:
        style = common_builders.GraphThresholdsStyleConfig()
        built.thresholds_style(style.mode(common.GraphThresholdsStyleMode.DASHED))
        built.color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
    names = {_in_english(query.legend): query.legend for query in panel.queries}
    for name, colour in panel.colours.items():
        built.override_by_name(*_fixed(said(names.get(name, name), language), colour))


def _in_english(text: Text) -> str:
    return said(text, "en")


def _stat(built: Any, panel: Panel, _language: Language) -> None:
    built.color_mode(
        common.BigValueColorMode.BACKGROUND_SOLID if panel.limits else common.BigValueColorMode.NONE
    )
    built.graph_mode(common.BigValueGraphMode.NONE).text_mode(common.BigValueTextMode.VALUE)
    built.reduce_options(_last())


def _last() -> common_builders.ReduceDataOptions:
    return common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _statetimeline(built: Any, _panel: Panel, _language: Language) -> None:
    built.merge_values(True).show_value(common.VisibilityMode.NEVER).row_height(0.8).fill_opacity(90)
    built.per_page(MANY_SERIES)
    legend = common_builders.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
    built.legend(legend.display_mode(common.LegendDisplayMode.LIST))


def _heatmap(built: Any, panel: Panel, _language: Language) -> None:
    axis = heatmap.YAxisConfig().unit(panel.unit)
    built.y_axis(axis.axis_placement(common.AxisPlacement.LEFT))


def _table(built: Any, panel: Panel, language: Language) -> None:
    fields = {column.of: _field(panel, column) for column in panel.columns}
    named = {column.of: said(column.title, language) for column in panel.columns}
    if len(panel.queries) > 1:
        built.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    names = list(fields.values())
    keep = {"include": {"names": names}}
    built.with_transformation(dashboard.DataTransformerConfig(id_val="filterFieldsByName", options=keep))
    order = {
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": {fields[field]: title for field, title in named.items()},
        "excludeByName": {},
    }
    built.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=order))
    built.sort_by(
        [
            common_builders.TableSortByFieldState()
            .display_name(named[field.removeprefix("-")])
            .desc(field.startswith("-"))
            for field in panel.worst
        ]
    )
    built.cell_height(common.TableCellHeight.SM)
    for column in panel.columns:
        if properties := _properties(column, language):
            built.override_by_name(named[column.of], properties)


def _field(panel: Panel, column: Column) -> str:
    """Return what Grafana calls a column before it is renamed."""
    if column.letter is None:
        return column.of
    return f"Value #{column.letter}" if len(panel.queries) > 1 else "Value"


def _properties(column: Column, language: Language) -> list[dashboard.DynamicConfigValue]:
    found: dict[str, object] = {}
    if column.unit:
        found["unit"] = said(column.unit, language)
    if column.decimals is not None:
        found["decimals"] = column.decimals
    if column.width is not None:
        found["custom.width"] = column.width
    if column.meanings:
        found["mappings"] = [_mapping(column.meanings, language)]
        found["custom.cellOptions"] = {"type": "color-text"}
    if column.limits:
        found["thresholds"] = _thresholds(column.limits).build()
        found["custom.cellOptions"] = {"type": "color-background", "mode": "basic"}
    if column.bar is not None:
        found["custom.cellOptions"] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        found["color"] = {"mode": "fixed", "fixedColor": column.bar}
        found["min"] = 0
    if column.link_to is not None:
        found["links"] = [_data_link(column.link_to, language).build()]
    return [dashboard.DynamicConfigValue(id_val=name, value=value) for name, value in found.items()]


_SHAPES: Final[Mapping[str, Callable[[Any, Panel, Language], None]]] = {
    "timeseries": _timeseries,
    "stat": _stat,
    "statetimeline": _statetimeline,
    "heatmap": _heatmap,
    "table": _table,
}
__all__: Sequence[str] = ("SOURCE", "panel_of")
