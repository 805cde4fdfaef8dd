"""Two rules over the same log: measured once, judged twice, compared by meaning."""

from pathlib import Path

from msgspec import Struct

from streams.detect.rule.definition import Rule
from streams.model.outage import Outage, Window
from streams.replay.analyze import Analysis, judge
from streams.replay.diff import Diff, diff
from streams.replay.results import Results, Table


class Backtest(Struct, frozen=True):
    """Every outage revision of a log under each of two rules, and the differences."""

    log: str
    before: list[Outage]
    after: list[Outage]
    differs: Diff


def backtest(log: Path, analysis: Analysis, after: Rule) -> Backtest:
    """Judge an analysed log again under another rule and compare; the new findings replace the old."""
    first = _results(analysis)
    judge(analysis, after)
    second = _results(analysis)
    return Backtest(str(log), list(first.outages), list(second.outages), diff(first, second))


def _results(analysis: Analysis) -> Results:
    return Results(windows=Table(Window, analysis.windows), outages=Table(Outage, analysis.outages))
