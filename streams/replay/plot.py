"""The plot of an explanation, as SVG: attempts by slot, and the evidence relative to its threshold."""

import io
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from streams.logs.whole import whole_file
from streams.model.times import LOCAL_TIME, local_time
from streams.replay.explain import Explanation

COLOURS: Final = {
    "total": "#b30000",
    "half": "#e34a33",
    "partial": "#fc8d59",
    "slow": "#8856a7",
    "recovery": "#1a9850",
    "worse": "#7f0000",
    "better": "#fdae61",
}


def write_svg(explanation: Explanation, path: Path) -> None:
    """Draw an explanation into an SVG file, which appears whole."""
    drawn = svg_of(explanation)
    with whole_file(path) as file:
        file.write(drawn)


def svg_of(explanation: Explanation) -> bytes:
    """Return the plot of an explanation as SVG; the same explanation gives the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and needed for this alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "portallink", "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 6), layout="constrained")
        attempts, evidence = figure.subplots(2, 1, sharex=True)
        _draw_attempts(attempts, explanation)
        _draw_evidence(evidence, explanation)
        outage = explanation.outage
        end = "open" if outage.end_ms is None else local_time(outage.end_ms, date=False)
        figure.suptitle(
            f"{outage.link}: {outage.kind} {local_time(outage.start_ms)} to {end} (Asia/Ho_Chi_Minh)"
        )
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()


def _moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, LOCAL_TIME)


def _draw_attempts(axes: Any, explanation: Explanation) -> None:
    steps = explanation.steps
    times = [_moment(step.start_ms) for step in steps]
    width = (steps[0].end_ms - steps[0].start_ms) / 86_400_000 if steps else 0
    answered, failed = [step.answered for step in steps], [step.failed for step in steps]
    axes.bar(times, answered, width=width, align="edge", color="#74add1", label="answered")
    axes.bar(times, failed, width=width, align="edge", bottom=answered, color="#d73027", label="failed")
    axes.set_ylabel("attempts a slot")
    outage = explanation.outage
    last_ms = outage.end_ms if outage.end_ms is not None else steps[-1].end_ms
    axes.axvspan(_moment(outage.start_ms), _moment(last_ms), color="#d73027", alpha=0.12, label="outage")
    _legend_above(axes)


def _draw_evidence(axes: Any, explanation: Explanation) -> None:
    for test, colour in COLOURS.items():
        points = [
            (_moment(step.end_ms), bar.total / bar.threshold)
            for step in explanation.steps
            for bar in step.bars
            if bar.test == test
        ]
        if points:
            axes.plot(*zip(*points, strict=True), ".-", color=colour, label=test, linewidth=1)
    axes.axhline(1, color="black", linewidth=1, linestyle="--")
    for step in explanation.steps:
        if step.verdict is not None:
            axes.axvline(_moment(step.end_ms), color="black", linewidth=0.8)
            axes.annotate(
                f" {step.condition}", (_moment(step.end_ms), 0.5), fontsize=8, rotation=90, va="center"
            )
    axes.set_ylabel("evidence, 1 decides")
    _legend_above(axes)
    axes.xaxis.set_major_formatter(lambda day, _: f"{_of_day(day):%H:%M:%S}")


def _legend_above(axes: Any) -> None:
    """Put the legend above the plot, because decisions may be drawn anywhere inside it."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=7, frameon=False)


def _of_day(day: float) -> datetime:
    """Convert matplotlib's unit, days since the epoch in UTC, to a time."""
    return datetime.fromtimestamp(day * 86_400, LOCAL_TIME)
