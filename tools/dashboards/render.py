"""Panels drawn as SVG from a running Prometheus, for readers without Grafana at hand.

A drawing shows what the panel's own queries returned; it does not imitate Grafana.
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
from tools.dashboards.build import BOARDS
from tools.dashboards.spec import STATES, Board, Panel, Region

TIMEZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
POINTS: Final = 600
_VARIABLE: Final = re.compile(r"\$(\w+)")
_LEGEND: Final = re.compile(r"\{\{(\w+)\}\}")


def at_home(expr: str, *, rate_interval: str = "5m", whole_range: str = "1h") -> str:
    """Return a query as Grafana would send it: intervals filled in, every variable at "all".

    >>> at_home('rate(a{job=~"$job"}[$__rate_interval])')
    'rate(a{job=~".*"}[5m])'
    """
    known = {"__rate_interval": rate_interval, "__range": whole_range}
    return _VARIABLE.sub(lambda match: known.get(match[1], ".*"), expr)


def legend_of(legend: str, labels: Mapping[str, str]) -> str:
    """Return a series' legend, labels filled in.

    >>> legend_of("{{link}} 1 h", {"link": "npd"})
    'npd 1 h'
    """
    return _LEGEND.sub(lambda match: labels.get(match[1], ""), legend)


def render(
    board: Board, panel: Panel, api: PrometheusApi, start: float, end: float, out: Path, *, pace: float = 1
) -> None:
    """Draw one panel over ``[start, end]`` (epoch seconds) into an SVG file.

    ``pace`` is how much faster than the wall clock event time ran while Prometheus scraped.
    """
    step = max((end - start) / POINTS, 1)
    # As Grafana: four scrapes, or the step where that is longer.
    interval = f"{max(round(300 / pace), 4, round(step))}s"
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
    series = []
    for query in panel.queries:
        expr = at_home(query.expr, rate_interval=interval, whole_range=f"{round(end - start)}s")
        found = api.instant(expr, end) if panel.instant else api.ranged(expr, start, end, step)
        series += [(legend_of(query.legend, one["metric"]), one) for one in found]
    draw = {"statetimeline": _states, "heatmap": _heatmap, "bargauge": _bars}.get(panel.shape, _lines)
    draw(axes, series)
    if not panel.instant:
        for region in board.regions:
            _shade(axes, region, api, start, end, step)
        axes.set_xlim(_time(start), _time(end))
        formatter = DateFormatter("%H:%M:%S" if end - start < 3_600 else "%H:%M", tz=TIMEZONE)  # type: ignore[no-untyped-call]  # few types there
        axes.xaxis.set_major_formatter(formatter)
        axes.set_xlabel("Asia/Ho_Chi_Minh" + ("" if pace == 1 else f", played {pace:g} times as fast"))
    if panel.shape not in {"statetimeline", "bargauge"}:
        axes.set_ylabel({"s": "seconds", "ops": "per second", "percentunit": "share"}.get(panel.unit, ""))
    out.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "portallink", "font.size": 8, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})


def _time(seconds: float) -> float:
    moment = datetime.fromtimestamp(seconds, TIMEZONE)
    return float(date2num(moment))  # type: ignore[no-untyped-call]  # few types there


def _points(one: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    return [_time(moment) for moment, _ in one["values"]], [float(value) for _, value in one["values"]]


def _lines(axes: Axes, series: list[tuple[str, dict[str, Any]]]) -> None:
    for legend, one in series:
        axes.plot(*_points(one), label=legend, linewidth=1)
    axes.set_ylim(bottom=0)
    if 0 < len(series) <= 14:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=7)


def _states(axes: Axes, series: list[tuple[str, dict[str, Any]]]) -> None:
    for row, (_, one) in enumerate(series):
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
            facecolors=[STATES[int(code)][1] for _, _, code in spells],
        )
    axes.set_yticks(range(len(series)), [legend for legend, _ in series])
    axes.legend(
        handles=[Patch(color=colour, label=text) for text, colour in STATES.values()],
        loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=len(STATES), frameon=False,
    )  # fmt: skip


def _heatmap(axes: Axes, series: list[tuple[str, dict[str, Any]]]) -> None:
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


def _bars(axes: Axes, series: list[tuple[str, dict[str, Any]]]) -> None:
    ordered = sorted(((legend, float(one["value"][1])) for legend, one in series), key=lambda pair: pair[1])
    bars = axes.barh([legend for legend, _ in ordered], [value for _, value in ordered], color="#4878a8")
    axes.bar_label(bars, fmt="%.4g", padding=3)


def _shade(axes: Axes, region: Region, api: PrometheusApi, start: float, end: float, step: float) -> None:
    for one in api.ranged(at_home(region.expr), start, end, step):
        for moment, _ in one["values"]:
            axes.axvspan(_time(moment), _time(moment + step), color=region.colour, alpha=0.15, linewidth=0)


MAIN_PANELS: Final = {
    "portallink-overview": ("State of each link", "Failed share of lookups", "Availability today"),
    "portallink-link": ("Outcomes", "Latency of answered lookups", "Latency quantiles", "Services hit"),
    "portallink-submissions": ("Submissions by type", "Held up, by link", "Acceptance time quantiles"),
    "portallink-slo": ("Fast burn",),
    "portallink-pipeline": ("Records read", "Late, duplicate and rejected share"),
}
"""What is drawn for the documentation."""


def main(arguments: list[str]) -> None:
    """Draw the main panels over the last ``--minutes`` of a running Prometheus."""
    parser = argparse.ArgumentParser(prog="python -m tools.dashboards.render", description=main.__doc__)
    parser.add_argument("prometheus", help="address, such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=360, help="of the wall clock [360]")
    parser.add_argument("--ago", type=float, default=0, help="end so many minutes ago [0]")
    parser.add_argument("--pace", type=float, default=1, help="how much faster event time ran [1]")
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    given = parser.parse_args(arguments)
    end = time.time() - given.ago * 60
    for board in BOARDS:
        for panel in board.panels:
            if panel.title in MAIN_PANELS[board.uid]:
                out = given.out / f"{board.uid}-{_slug(panel.title)}.svg"
                start = end - given.minutes * 60
                render(board, panel, PrometheusApi(given.prometheus), start, end, out, pace=given.pace)
                print(out)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


if __name__ == "__main__":
    main(sys.argv[1:])
