"""The rules of grafana/dashboard-linter, which no registry here has, held by these tests.

They follow its documentation (docs/rules at the commit of 18 June 2026). The `.lint` file beside the
dashboards excludes what it must, each with a reason, and nothing more.
"""

import re
from pathlib import Path

import promql_parser
import pytest
import yaml
from promql_nodes import functions_over, selectors

from streams.watch.settings import WatchSettings
from tools.dashboards.build import FOLDERS, boards
from tools.dashboards.render import at_home
from tools.dashboards.words import said

ROOT = Path(__file__).resolve().parents[2] / "grafana"
BOARDS = boards(WatchSettings())
LANGUAGES = list(FOLDERS)
FILES = {
    language: yaml.safe_load((ROOT / folder / ".lint").read_text()) for language, folder in FOLDERS.items()
}
TARGETS = [
    pytest.param(language, board, panel, index, id=f"{language}-{board.uid}-{panel.title.en}-{index}")
    for language in LANGUAGES
    for board in BOARDS
    for panel in board.panels
    for index in range(len(panel.queries))
]
UNITS = re.compile(r"none|short|percentunit|s|bytes|dthms|time:.+|suffix: .")


def excluded(language, rule, board, panel, index):
    """Say whether the `.lint` file excludes a query from a rule."""
    entries = FILES[language]["exclusions"].get(rule, {}).get("entries", [])
    place = {"dashboard": said(board.title, language), "panel": said(panel.title, language)}
    return {**place, "targetIdx": str(index)} in entries


@pytest.mark.parametrize(("language", "board", "panel", "index"), TARGETS)
@pytest.mark.parametrize("label", ["job", "instance"])
def test_every_query_selects_job_and_instance_or_is_excluded(language, board, panel, index, label):
    """Target rules: each selector has `job=~"$job"` and `instance=~"$instance"`, or is excluded."""
    expr = panel.queries[index].expr
    found = re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expr)
    bare = {s.name for s in selectors(at_home(expr))} - {name for name, _ in found}
    missing = bare | {name for name, inner in found if f'{label}=~"${label}"' not in inner}
    assert all(name == "ALERTS" or name.startswith(("portallink:", "ALERTS_")) for name in missing)
    assert bool(missing) == excluded(language, f"target-{label}-rule", board, panel, index)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_exclusion_has_a_reason_and_is_needed(language):
    """Each excluded rule says why, and each entry is a query that exists."""
    places = {
        (said(board.title, language), said(panel.title, language), str(index))
        for board in BOARDS
        for panel in board.panels
        for index in range(len(panel.queries))
    }
    for rule in FILES[language]["exclusions"].values():
        assert rule["reason"].endswith(".")
        entries = [(one["dashboard"], one["panel"], one["targetIdx"]) for one in rule.get("entries", [])]
        assert set(entries) <= places
        assert len(set(entries)) == len(entries)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_rate_is_taken_over_grafanas_interval(board):
    """Target-rate-interval rule: rate() is over $__rate_interval and nothing else."""
    for panel in board.panels:
        for query in panel.queries:
            assert set(re.findall(r"\brate\([^\[]*\[([^\]]*)\]", query.expr)) <= {"$__rate_interval"}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_counter_is_never_shown_as_it_stands(board):
    """Target-counter-agg rule: a counter stands inside rate, increase or resets, or is taken from itself."""
    for panel in board.panels:
        for query in panel.queries:
            expr = at_home(query.expr)
            counters = [
                s.name for s in selectors(expr) if s.name.endswith(("_total", "_bucket", "_sum", "_count"))
            ]
            within = functions_over(expr)
            alone = [
                name for name in counters if "rate" not in within[name] and "increase" not in within[name]
            ]
            assert alone == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_unit_is_one_that_grafana_has(board):
    """Panel-units rule: units come from Grafana's list; times and factors of tables alone are custom ones."""
    for panel in board.panels:
        assert UNITS.fullmatch(panel.unit)
        assert not panel.unit.startswith(("time:", "suffix:"))
        assert all(column.unit == "" or UNITS.fullmatch(column.unit) for column in panel.columns)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_query_is_promql(board):
    """Target-promql rule: each query parses."""
    for panel in board.panels:
        for query in panel.queries:
            promql_parser.parse(at_home(query.expr))
