"""Two rules over the same log: measured once, judged twice, compared by meaning."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from streams.detect.rule import Rule
from streams.model.outage import Outage, Window
from streams.replay.analyze import Analysis, analyze, judge
from streams.replay.diff import Diff, diff
from streams.replay.results import Results, Table


class Backtest(Struct, frozen=True):
    """What a log gives under each of two rules, every revision of it, and what differs between them."""

    log: str
    before: list[Outage]
    after: list[Outage]
    differs: Diff


def backtest(log: Path, before: Rule, after: Rule, progress: Callable[[int], None] | None = None) -> Backtest:
    """Judge a log under two rules; raise `LogFileError` where it cannot be read.

    ``progress`` is called with the number of records read since its last call.
    """
    analysis = analyze(log, before, progress=progress)
    first = _results(analysis)
    judge(analysis, after)
    second = _results(analysis)
    return Backtest(str(log), list(first.outages), list(second.outages), diff(first, second))


def _results(analysis: Analysis) -> Results:
    return Results(windows=Table(Window, analysis.windows), outages=Table(Outage, analysis.outages))
