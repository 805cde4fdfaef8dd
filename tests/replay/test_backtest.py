"""`portallink backtest`: what another rule would have said of the same log, as an operator asks it."""

import json

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.simulate.generate import Run
from streams.simulate.shell import load_catalogue, load_scenario, write_log

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a simulated morning, its truth, and a rule that minds no short degradation."""
    folder = tmp_path_factory.mktemp("backtest")
    catalogue = load_catalogue()
    run = Run(catalogue, load_scenario("monday-morning", catalogue), seed=8, scale=0.3)
    write_log(run, folder / "morning.ndjson", lambda _: None)
    coarse = {"version": "coarse", "min_degraded_ms": 10_800_000}
    (folder / "coarse.json").write_text(json.dumps(coarse))
    return folder


def backtest(*arguments):
    """Run the command."""
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def test_a_coarse_rule_loses_what_is_partial(folder):
    """Of two outages and a degradation of 18 minutes such a rule keeps the outages; the scores say so."""
    told = json.loads(
        backtest("built-in", folder / "coarse.json", folder / "morning.ndjson", "--json").stdout
    )
    [log] = told["logs"]
    assert [rule["version"] for rule in told["rules"]] == ["cusum-1", "coarse"]
    assert log["outages"] == [3, 2]
    assert len(log["differs"]["lost"]) == 1
    assert log["differs"]["gained"] == []
    assert [score["all"]["found"] for score in log["scores"]] == [3, 2]
    assert [score["false_outages_per_link_week"] for score in log["scores"]] == [0, 0]


def test_the_same_rule_twice_differs_in_nothing(folder):
    """A rule compared with itself gains, loses and moves nothing."""
    told = json.loads(backtest("built-in", "built-in", folder / "morning.ndjson", "--json").stdout)
    assert [told["logs"][0]["differs"][what] for what in ("gained", "lost", "changed")] == [[], [], []]


def test_people_read_both_rules_side_by_side(folder):
    """The printed table names both rules and what each of them found."""
    printed = backtest("built-in", folder / "coarse.json", folder / "morning.ndjson").output
    assert "cusum-1" in printed
    assert "coarse" in printed
    assert "3 of 3" in printed
    assert "2 of 3" in printed


def test_a_wrong_rule_file_is_refused_with_field_and_reason(folder):
    """A share beyond 1, and a file that is not there, end with code 2 and say what is wrong."""
    wrong = folder / "wrong.json"
    wrong.write_text('{"version": "x", "half_share": 2}')
    refused = backtest("built-in", wrong, folder / "morning.ndjson")
    assert refused.exit_code == 2
    assert "half_share" in refused.output
    assert backtest("built-in", folder / "none.json", folder / "morning.ndjson").exit_code == 2
