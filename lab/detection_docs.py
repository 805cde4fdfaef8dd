"""Makes the drawings of `docs/detection.md`: `python -m lab.detection_docs [DOCS]`.

Writes the transition diagram into the document and the plot of delay against false outages beside it.
With `--table` it prints the trials at the built-in threshold instead. Both take some minutes; the same
version of rule and trials gives the same picture and the same figures.
"""

import sys
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from rich.console import Console
from rich.progress import track

from lab.slot_trials import Trial, trial
from streams.detect.rule.definition import Rule
from tools.rule_diagram import with_diagram

ALPHAS: Final = (200.0, 20.0, 2.0, 0.2, 0.02, 0.002)
"""False outages a link and week that the threshold is set for."""
RATES: Final = {"1 in 40 s": 1 / 40, "1 in 10 s": 0.1, "1 a second": 1.0, "10 a second": 10.0}
WEEKS: Final = {1 / 40: 52, 0.1: 20, 1.0: 6, 10.0: 2}
TABLE: Final = {
    "1 in 40 s": (1 / 40, 400),
    "1 in 10 s": (0.1, 100),
    "1 in 3 s": (1 / 3, 100),
    "1 a second": (1.0, 100),
    "3 a second": (3.0, 20),
    "10 a second": (10.0, 20),
    "100 a second": (100.0, 4),
}
"""Lookups a second, and link-weeks of noise, of each row of the table of trials."""
TABLE_OUTAGES: Final = 1000
COLOURS: Final = ("#225ea8", "#1b9e77", "#d95f02", "#7570b3")


def run_trials() -> dict[str, list[Trial]]:
    """Return the trials of every rate, by threshold."""
    cases = [(name, rate, alpha) for name, rate in RATES.items() for alpha in ALPHAS]
    trials: dict[str, list[Trial]] = {name: [] for name in RATES}
    for name, rate, alpha in track(cases, "trials", console=Console(stderr=True)):
        rule = replace(Rule(), version=f"alpha-{alpha:g}", false_outages_per_week=alpha)
        trials[name].append(trial(rule, rate, WEEKS[rate], outages=200, seed=17))
    return trials


def draw(trials: dict[str, list[Trial]], path: Path) -> None:
    """Draw delay, and false outages measured, against those the threshold is set for."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and wanted for this alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "portallink", "svg.fonttype": "none"}):
        figure: Any = Figure(figsize=(10, 4.5), layout="constrained")
        delay, false = figure.subplots(1, 2)
        for (name, of_rate), colour in zip(trials.items(), COLOURS, strict=True):
            p95s = [_p95(one.delays_ms) / 1000 for one in of_rate]
            delay.plot(ALPHAS, p95s, marker="o", color=colour, label=name)
            measured = [max(one.false_per_week, 0.5 / one.weeks) for one in of_rate]
            hollow = ["none" if one.false_outages == 0 else colour for one in of_rate]
            false.plot(ALPHAS, measured, color=colour, label=name, linewidth=1)
            false.scatter(ALPHAS, measured, facecolors=hollow, edgecolors=colour, zorder=3)
        false.plot(ALPHAS, ALPHAS, color="#888888", linestyle=":", label="as set")
        delay.set_ylabel("delay from the first failure known, p95 (s)")
        false.set_ylabel("false outages measured, a link and week (hollow: none)")
        for axes in (delay, false):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("false outages allowed, a link and week")
            axes.axvline(Rule().false_outages_per_week, color="#bbbbbb", linewidth=1)
            axes.grid(visible=True, which="major", alpha=0.3)
        delay.legend(title="lookups")
        figure.savefig(path, metadata={"Date": None})


def _p95(values: list[int]) -> int:
    return sorted(values)[len(values) * 95 // 100] if values else 0


def print_table() -> None:
    """Print how the built-in rule fares in trials, as the rows of the document's table."""
    console = Console(width=120)
    for name, (rate, weeks) in TABLE.items():
        one = trial(Rule(), rate, weeks, TABLE_OUTAGES, seed=23)
        delays = sorted(one.delays_ms)
        p50, p95 = (delays[-(-len(delays) * p // 100) - 1] / 1000 for p in (50, 95))
        row = f"| {name} | {weeks} | {one.false_outages} | {one.missed} | {p50:.1f} s | {p95:.1f} s |"
        console.print(row, highlight=False)


def main(docs: Path) -> None:
    """Bring the document and its picture up to date."""
    document = docs / "detection.md"
    document.write_text(with_diagram(document.read_text(encoding="utf-8")), encoding="utf-8")
    (docs / "img").mkdir(exist_ok=True)
    draw(run_trials(), docs / "img" / "detection-delay.svg")


if __name__ == "__main__":
    if "--table" in sys.argv[1:]:
        print_table()
    else:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
