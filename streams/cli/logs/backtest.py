"""`portallink backtest`: two rules over logs, and what would have been different."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streams.cli.complete import one_of
from streams.cli.logs.analyze import analyze_with_progress
from streams.cli.logs.diff import print_diff
from streams.cli.logs.score import read_truth
from streams.cli.outcome import notes, print_json, refuse
from streams.cli.settings_option import SettingsFile, settings_of
from streams.cli.table import Column, show_table
from streams.detect.rule.definition import Rule
from streams.logs.file import LogFileError
from streams.model.canonical import final_outages
from streams.model.settings import Settings
from streams.replay.backtest import Backtest, backtest
from streams.replay.rulefile import RuleFileError, read_rule
from streams.score.score import Score, score
from streams.simulate.shell import truth_path

BUILT_IN = "built-in"


def backtest_rules(
    rule_a: Annotated[
        str, typer.Argument(help=f"A rule file, or `{BUILT_IN}`.", autocompletion=one_of(lambda: [BUILT_IN]))
    ],
    rule_b: Annotated[
        str, typer.Argument(help="The rule to compare with it.", autocompletion=one_of(lambda: [BUILT_IN]))
    ],
    logs: Annotated[list[Path], typer.Argument(help="Log files or captured folders.")],
    *,
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare two rules over logs: outages gained, lost and moved, and scores where the truth is known.

    The truth of a log is known if the truth file that `portallink simulate` wrote is beside it.
    """
    chosen = None if settings is None else settings_of(settings)
    try:
        rules = [_rule(rule_a), _rule(rule_b)]
        compared = [_compare(log, rules, chosen) for log in logs]
    except (LogFileError, RuleFileError) as error:
        refuse(error)
    if as_json:
        print_json({"rules": [msgspec.to_builtins(rule) for rule in rules], "logs": compared_json(compared)})
        return
    for result, scores in compared:
        notes.print(f"{result.log}: rule {rules[0].version}, then {rules[1].version}")
        print_diff(result.differs)
        if scores is not None:
            _print_scores([rule.version for rule in rules], scores)


def _rule(name: str) -> Rule:
    return Rule() if name == BUILT_IN else read_rule(Path(name))


def _compare(log: Path, rules: list[Rule], settings: Settings | None) -> tuple[Backtest, list[Score] | None]:
    if not log.exists():
        refuse(f"{log}: no such file")
    result = backtest(log, analyze_with_progress(log, rules[0], settings, outages_only=False), rules[1])
    known = truth_path(log)
    if not known.exists():
        return result, None
    truth = read_truth(known)
    return result, [score(outages, truth) for outages in (result.before, result.after)]


def compared_json(compared: list[tuple[Backtest, list[Score] | None]]) -> list[dict[str, Any]]:
    """Return the comparison as plain data."""
    return [
        {
            "log": result.log,
            "outages": [len(final_outages(outages)) for outages in (result.before, result.after)],
            "differs": msgspec.to_builtins(result.differs, str_keys=True),
            "scores": msgspec.to_builtins(scores),
        }
        for result, scores in compared
    ]


def _print_scores(versions: list[str], scores: list[Score]) -> None:
    columns = [Column("measure"), *(Column(version, right=True) for version in versions)]
    rows = [(name, *(value(one) for one in scores)) for name, value in _MEASURES.items()]
    show_table(columns, rows, title="Against the truth")


def _seconds(ms: float | None) -> str:
    return "-" if ms is None else f"{ms / 1000:.1f} s"


_MEASURES: dict[str, Any] = {
    "incidents found": lambda s: f"{s.all.found} of {s.all.incidents}",
    "false outages a link and week": lambda s: f"{s.false_outages_per_link_week:g}",
    "start error, p95": lambda s: _seconds(s.all.start_error_ms.p95),
    "end error, p95": lambda s: _seconds(s.all.end_error_ms.p95),
    "delay, p95": lambda s: _seconds(s.all.delay_ms.p95),
    "availability error": lambda s: f"{s.availability_error_pp:g} pp",
}
