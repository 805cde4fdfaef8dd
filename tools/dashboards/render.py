"""Draws panels as SVG from a running Prometheus, for readers without Grafana.

A drawing shows what the panel's own queries returned, in the colours that Grafana is told to use; it does not
imitate Grafana.
"""

import argparse
import re
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from streams.watch.api import PrometheusApi
from streams.watch.settings import WatchSettings
from tools.dashboards.build import boards
from tools.dashboards.spec import CLEAR, Board, Panel, Region
from tools.dashboards.words import said

TIMEZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
POINTS: Final = 600
MOST_NAMED: Final = 20
"""Above this number of series there is no legend, as the colours could not be distinguished."""
_VARIABLE: Final = re.compile(r"\$(\w+)")
_LEGEND: Final = re.compile(r"\{\{(\w+)\}\}")
_AXES: Final = {"s": "seconds", "percentunit": "share"}
Named = tuple[str, dict[str, Any]]
"""A series with its legend."""


def at_home(
    expr: str, *, rate_interval: str = "5m", whole_range: str = "1h", link: str = ".+", portal: str = ".+"
) -> str:
    """Return a query as Grafana would send it: intervals filled in, every other variable at "all".

    >>> at_home('rate(a{job=~"$job"}[$__rate_interval])')
    'rate(a{job=~".+"}[5m])'
    """
    known = {"__rate_interval": rate_interval, "__range": whole_range, "link": link, "portal": portal}
    return _VARIABLE.sub(lambda match: known.get(match[1], ".+"), expr)


def legend_of(legend: str, labels: Mapping[str, str]) -> str:
    """Return a series' legend, labels filled in.

    >>> legend_of("{{link}} 1 h", {"link": "npd"})
    'npd 1 h'
    """
    return _LEGEND.sub(lambda match: labels.get(match[1], ""), legend)


def render(
    board: Board,
    panel: Panel,
    api: PrometheusApi,
    start: float,
    end: float,
    out: Path,
    *,
    pace: float = 1,
    link: str = ".+",
) -> None:
    """Draw one panel over ``[start, end]`` (epoch seconds) into an SVG file.

    ``pace`` is how much faster than the wall clock event time ran while Prometheus scraped.
    """
    step = max((end - start) / POINTS, 15 / pace)
    # As Grafana: four scrapes, or the step where that is longer.
    interval = f"{max(round(60 / pace), 4, round(step))}s"

    def asked(expr: str) -> str:
        whole = f"{round(end - start)}s"
        return at_home(expr, rate_interval=interval, whole_range=whole, link=link)

    series: list[Named] = []
    for query in panel.queries:
        found = api.ranged(asked(query.expr), start, end, step)
        series += [(legend_of(said(query.legend, "en"), one["metric"]), one) for one in found]
    rows = len(series) if panel.shape == "statetimeline" else 0
    figure = Figure(figsize=(9, max(3.2, 1.2 + 0.22 * rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(panel.title.en, loc="left", fontsize=10, fontweight="bold")
    draw = {"statetimeline": _states, "heatmap": _heatmap}.get(panel.shape, _lines)
    draw(axes, panel, series)
    for region in board.regions if panel.shape == "timeseries" else ():
        _shade(axes, region, asked(region.expr), api, start, end, step)
    axes.set_xlim(_time(start), _time(end))
    pattern = "%H:%M:%S" if end - start < 3_600 else "%H:%M"
    formatter = DateFormatter(pattern, tz=TIMEZONE)  # type: ignore[no-untyped-call]  # few types there
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel("Asia/Ho_Chi_Minh" + ("" if pace == 1 else f", played {pace:g} times as fast"))
    if panel.shape != "statetimeline":
        axes.set_ylabel(said(panel.axis, "en") or _AXES.get(panel.unit, ""))
    out.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "portallink", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})


def _time(seconds: float) -> float:
    moment = datetime.fromtimestamp(seconds, TIMEZONE)
    return float(date2num(moment))  # type: ignore[no-untyped-call]  # few types there


def _points(one: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    return [_time(moment) for moment, _ in one["values"]], [float(value) for _, value in one["values"]]


def _lines(axes: Axes, panel: Panel, series: list[Named]) -> None:
    if panel.stacked and series:
        _stack(axes, panel, series)
    else:
        for legend, one in series:
            axes.plot(*_points(one), label=legend, linewidth=1, color=panel.colours.get(legend))
    for limit, colour in panel.limits if panel.lines else ():
        if colour != CLEAR:
            axes.axhline(limit, color=colour, linestyle="--", linewidth=1)
    axes.set_ylim(bottom=panel.minimum, top=panel.maximum)
    if 0 < len(series) <= MOST_NAMED:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=7)


def _stack(axes: Axes, panel: Panel, series: list[Named]) -> None:
    moments = sorted({moment for _, one in series for moment, _ in one["values"]})
    values = [{moment: float(value) for moment, value in one["values"]} for _, one in series]
    axes.stackplot(
        [_time(moment) for moment in moments],
        [[of_one.get(moment, 0.0) for moment in moments] for of_one in values],
        labels=[legend for legend, _ in series],
        colors=[panel.colours[legend] for legend, _ in series] if panel.colours else None,
        linewidth=0,
    )


def _states(axes: Axes, panel: Panel, series: list[Named]) -> None:
    meanings = {float(code): meaning for code, meaning in panel.meanings.items()}
    for row, (_, one) in enumerate(reversed(series)):
        moments, codes = _points(one)
        width = (moments[-1] - moments[0]) / max(1, len(moments) - 1)
        spells: list[tuple[float, float, float]] = []
        for moment, code in zip(moments, codes, strict=True):
            if spells and spells[-1][2] == code:
                spells[-1] = (spells[-1][0], moment + width, code)
            else:
                spells.append((moment, moment + width, code))
        axes.broken_barh(
            [(began, ended - began) for began, ended, _ in spells],
            (row - 0.4, 0.8),
            facecolors=[meanings[code].colour for _, _, code in spells],
        )
    axes.set_yticks(range(len(series)), [legend for legend, _ in reversed(series)], fontsize=8)
    axes.legend(
        handles=[Patch(color=one.colour, label=said(one.text, "en")) for one in meanings.values()],
        loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False, fontsize=8,
    )  # fmt: skip


def _heatmap(axes: Axes, _panel: Panel, series: list[Named]) -> None:
    buckets = sorted(((float(one["metric"]["le"]), one) for _, one in series), key=lambda pair: pair[0])
    moments = sorted({moment for _, one in buckets for moment, _ in one["values"]})
    below = dict.fromkeys(moments, 0.0)
    rows = []
    for _, one in buckets:
        values = {moment: float(value) for moment, value in one["values"]}
        rows.append([max(0.0, values.get(moment, 0.0) - below[moment]) or float("nan") for moment in moments])
        below |= values
    # As pixels: thousands of cells as shapes make a large file.
    axes.pcolormesh(
        [_time(moment) for moment in moments], range(len(rows)), rows, shading="nearest", rasterized=True
    )
    axes.set_yticks(range(len(rows)), [f"≤ {bound:g}" for bound, _ in buckets])


def _shade(
    axes: Axes, region: Region, expr: str, api: PrometheusApi, start: float, end: float, step: float
) -> None:
    for one in api.ranged(expr, start, end, step):
        for moment, _ in one["values"]:
            axes.axvspan(_time(moment), _time(moment + step), color=region.colour, alpha=0.15, linewidth=0)


MAIN_PANELS: Final = {
    "portallink-overview": (
        "State of each link",
        "Held up, by link",
        "Failed share of lookups, the worst eight links",
    ),
    "portallink-link": ("Outcomes", "Failed share of lookups", "Latency of answered lookups"),
    "portallink-submissions": ("Submissions by type", "Held up share"),
    "portallink-slo": ("Burn rate, 1h and 5m",),
    "portallink-pipeline": ("Records read",),
}
"""The panels drawn for the documentation."""


def main(arguments: list[str]) -> None:
    """Draw the main panels over a span of a running Prometheus."""
    parser = argparse.ArgumentParser(prog="python -m tools.dashboards.render", description=main.__doc__)
    parser.add_argument("prometheus", help="address, such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=360, help="of the wall clock [360]")
    parser.add_argument("--until", type=float, default=None, help="epoch seconds at which to end [now]")
    parser.add_argument("--pace", type=float, default=1, help="how much faster event time ran [1]")
    parser.add_argument("--link", default=".+", help="the link of the dashboards that show one")
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    given = parser.parse_args(arguments)
    end = time.time() if given.until is None else given.until
    start = end - given.minutes * 60
    for board in boards(WatchSettings()):
        one_link = (
            given.link if any(variable.one or variable.repeats for variable in board.variables) else ".+"
        )
        for panel in board.panels:
            if panel.title.en in MAIN_PANELS[board.uid]:
                out = given.out / f"{board.uid}-{_slug(panel.title.en)}.svg"
                api = PrometheusApi(given.prometheus)
                render(board, panel, api, start, end, out, pace=given.pace, link=one_link)
                print(out)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


if __name__ == "__main__":
    main(sys.argv[1:])
