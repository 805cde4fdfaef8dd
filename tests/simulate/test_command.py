"""`portallink simulate`: what it writes, what it refuses, and how it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.logs.read import read_log

pytestmark = pytest.mark.slow

runner = CliRunner()


def test_to_a_file_with_the_truth_beside_it(tmp_path: Path):
    """With --out the log and its truth are written; --json prints that truth."""
    out = tmp_path / "log.ndjson.zst"
    result = runner.invoke(
        app, ["simulate", "monday-morning", "--scale", "0.01", "--out", str(out), "--json"]
    )
    assert result.exit_code == 0, result.output
    truth = json.loads((tmp_path / "log.ndjson.zst.truth.json").read_text("utf-8"))
    assert json.loads(result.stdout) == truth
    counts = truth["records"]
    records = counts["events"] + counts["heartbeats"] + counts["duplicate"]
    assert sum(1 for _ in read_log(out)) == records


def test_seed_and_partitions(tmp_path: Path):
    """Another seed is another log, and --partitions says over how many partitions it spreads."""
    logs = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.ndjson"
        arguments = ["--seed", seed, "--scale", "0.01", "--partitions", "2", "--out", str(out)]
        assert runner.invoke(app, ["simulate", "monday-morning", *arguments]).exit_code == 0
        logs.append(out.read_bytes())
        assert {record.partition for record in read_log(out)} == {0, 1}
    assert logs[0] != logs[1]


def test_report_counts_and_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """--report without --out needs no broker and shows each figure with its source; exit 0 if all are met."""
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["simulate", "hanoi-2022-h1", "--scale", "0.05", "--report"])
    assert result.exit_code == 0, result.output
    assert "[3]" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_is_missed_fails_the_report(tmp_path: Path):
    """--report exits 1 where a figure is not met within its bound."""
    scenario = tmp_path / "wrong.yaml"
    scenario.write_text(
        "name: wrong\ntitle: {vi: Sai, en: Wrong}\nstart: 2024-03-11T08:00\nend: 2024-03-11T09:00\n"
        "flows: [{id: few, portal: hcmc, agencies: hcmc-districts, count: 90, "
        "services: {dang-ky-tam-tru: 1}}]\n"
        "figures: [{id: many, system: 1, what: {vi: Nhiều, en: Many}, source: assumption, reported: 100, "
        "counters: [received/few]}]\n",
        "utf-8",
    )
    result = runner.invoke(app, ["simulate", str(scenario), "--report"])
    assert result.exit_code == 1
    assert "-10.000%" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["sunday"], "no such scenario"),
        (["missing.yaml"], "cannot be read"),
        (["monday-morning", "--out", "log.ndjson", "--speed", "60"], "--speed"),
    ],
)
def test_bad_usage_exits_2(arguments, reason):
    """A scenario that is not there and options that contradict each other end with exit code 2."""
    result = runner.invoke(app, ["simulate", *arguments])
    assert result.exit_code == 2
    assert reason in result.output


def test_a_wrong_scenario_file_is_named_with_its_line(tmp_path: Path):
    """A wrong scenario file ends with exit code 2 and file, line and reason."""
    scenario = tmp_path / "bad.yaml"
    scenario.write_text("name: bad\ntitle: {vi: a, en: b}\nstart: 2024-03-11T08:00\nend: never\nflows: []\n")
    result = runner.invoke(app, ["simulate", str(scenario)])
    assert result.exit_code == 2
    assert f"{scenario}:4: " in result.output.replace("\n", "")
