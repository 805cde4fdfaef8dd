"""What is checked in is what the code makes, and names nothing that does not exist."""

import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from streams.serve.runbooks import runbooks
from streams.telemetry.contract import CONTRACT
from streams.watch.rules import alertmanager_files, rule_files
from streams.watch.settings import WatchSettings, load_settings
from tools.command_docs import leaves
from tools.dashboards.build import boards
from tools.metric_docs import CITY, THOUSAND, names_in, series_bound, usage
from tools.watch_files import generated

ROOT = Path(__file__).resolve().parents[2]
RULES = rule_files(WatchSettings())
BOARDS = boards(WatchSettings())
GROUPS = [group for text in RULES.values() for group in yaml.safe_load(text)["groups"]]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDED = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
SERIES = re.compile(r"\bportallink:[a-z0-9_]+:[a-z0-9_]+")
KNOWN = {metric.name for metric in CONTRACT}


def test_generated_files_have_not_drifted():
    """Every generated file is checked in as its settings and code make it."""
    files = generated(ROOT)
    assert [str(p.relative_to(ROOT)) for p, text in files.items() if p.read_text("utf-8") != text] == []


def test_no_generated_file_is_left_over():
    """The folders of generated files hold nothing that nothing makes."""
    files = set(generated(ROOT))
    places = ("deploy/prometheus/rules", "deploy/alertmanager", "grafana/dashboards", "grafana/dashboards-vi")
    folders = [ROOT / place for place in places]
    assert {path for folder in folders for path in folder.rglob("*") if path.is_file()} <= files


def test_the_settings_file_says_the_defaults():
    """deploy/slo.yaml and the defaults in the code are the same settings."""
    assert load_settings(ROOT / "deploy" / "slo.yaml") == WatchSettings()


def test_every_metric_named_in_rules_and_dashboards_exists():
    """Rules and dashboards name metrics of the contract and recorded series only."""
    texts = [*RULES.values(), *(p.read_text() for p in (ROOT / "grafana").glob("dashboards*/*.json"))]
    assert set().union(*map(names_in, texts)) <= KNOWN
    assert {name for text in texts for name in SERIES.findall(text)} <= RECORDED


@pytest.mark.parametrize(
    "document",
    sorted((ROOT / "docs").rglob("*.md")) + [p for p in (ROOT / "README.md",) if p.exists()],
    ids=lambda path: path.name,
)
def test_every_metric_named_in_a_document_exists(document):
    """A document names no metric or recorded series that does not exist."""
    text = document.read_text("utf-8")
    assert names_in(text) <= KNOWN
    assert set(SERIES.findall(text)) <= RECORDED


def test_every_metric_is_used():
    """Each metric of the contract has its place in a dashboard, a recorded series or an alert."""
    assert [name for name, places in usage(BOARDS, RULES).items() if not places] == []


def test_every_recorded_series_is_used():
    """Each recorded series is read by a rule or a dashboard."""
    panels = [query.expr for board in BOARDS for panel in board.panels for query in panel.queries]
    panels += [region.expr for board in BOARDS for region in board.regions]
    read = " ".join([rule["expr"] for text in RULES.values() for rule in _rules(text)] + panels)
    assert RECORDED - set(SERIES.findall(read)) == set()


def _rules(text):
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_what_to_do_in_two_languages(rule):
    """Each alert has both languages, a severity, an incident, its runbook on file and its dashboard."""
    notes = rule["annotations"]
    assert {"summary", "summary_vi", "description", "description_vi"} <= {k for k, v in notes.items() if v}
    assert notes["summary"] != notes["summary_vi"]
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert rule["labels"]["incident"]
    assert notes["runbook_url"].endswith(f"/{rule['alert']}")
    assert rule["alert"] in runbooks()
    uid = notes["dashboard_url"].rpartition("/d/")[2].partition("?")[0]
    assert uid in {board.uid for board in BOARDS}


def test_every_runbook_is_of_an_alert():
    """Each alert has one runbook, as data and on file, and none is left of an alert that is gone."""
    names = {rule["alert"] for rule in ALERTS}
    assert set(runbooks()) == names
    assert {path.stem for path in (ROOT / "docs/runbooks").glob("Portallink*.md")} == names


@pytest.mark.parametrize("name", runbooks())
def test_what_a_runbook_tells_to_paste_can_be_pasted(name):
    """Each query parses and names known series; each command is one that there is."""
    book = runbooks()[name]
    assert book.check
    for check in book.check:
        promql_parser.parse(check.query)
        assert names_in(check.query) <= KNOWN
        assert set(SERIES.findall(check.query)) <= RECORDED
    commands = {path for path, *_ in leaves()} | {"run STAGE"}
    for action in book.do:
        if action.command is not None:
            words = action.command.removeprefix("portallink ").split()
            assert " ".join(words[:2]) in commands or words[0] in commands


def test_a_dashboard_links_to_runbooks_that_exist():
    """Each runbook that a dashboard links to is there."""
    files = {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")}
    assert {name for board in BOARDS for name in board.runbooks} <= files


def test_inhibition_names_alerts_that_exist():
    """Every alert name in Alertmanager's configuration is an alert."""
    names = set(re.findall(r"Portallink\w+", alertmanager_files(WatchSettings())["alertmanager.yml"]))
    assert names <= {rule["alert"] for rule in ALERTS}


def test_the_number_of_series_is_bounded():
    """The whole city stays under 20,000 series, and 1,000 links under 100,000."""
    assert sum(series_bound(metric, CITY) for metric in CONTRACT) < 20_000
    assert sum(series_bound(metric, THOUSAND) for metric in CONTRACT) < 100_000
