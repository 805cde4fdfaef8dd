"""A log's history in a real Prometheus, at the log's own dates."""

import json
import re
import shutil
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from streams.cli.events.simulate import simulate
from streams.cli.logs.backfill import backfill
from streams.replay.analyze import analyze
from streams.servers.prometheus import Prometheus
from streams.watch.api import PrometheusApi
from streams.watch.settings import WatchSettings
from tools.dashboards.build import boards
from tools.dashboards.render import at_home

pytestmark = pytest.mark.slow

SCENARIO = """
name: filled
title: {vi: Một giờ, en: An hour}
start: 2023-03-13T08:00
end: 2023-03-13T09:00
links: [hcmc-npd, hcmc-vneid]
flows:
  - {id: residents, portal: hcmc, agencies: hcmc-districts, count: 1500, services: {dang-ky-tam-tru: 1}}
faults:
  - {id: npd-down, cause: line_cut, links: [hcmc-npd], start: 2023-03-13T08:20, minutes: 10}
"""
HOUR_START = 1_678_669_200  # 13 March 2023, 08:00 in Viet Nam


def run(command, *arguments):
    """Run a command of the command line as a person would."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return the folder with a simulated hour, and what was written of it."""
    folder = tmp_path_factory.mktemp("backfill")
    (folder / "hour.yaml").write_text(SCENARIO, "utf-8")
    made = run(simulate, folder / "hour.yaml", "--seed", 3, "--out", folder / "log.ndjson")
    assert made.exit_code == 0, made.output
    done = run(
        backfill, folder / "log.ndjson", "--out", folder / "out", "--step", 15, "--no-blocks", "--json"
    )
    assert done.exit_code == 0, done.output
    return folder, json.loads(done.stdout)


LINE = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+) (?P<seconds>\d+\.\d{3})")


def samples_of(result):
    """Return every sample line, parsed: whether the text is OpenMetrics is for promtool to say."""
    (path,) = result["openmetrics"]
    lines = Path(path).read_text("utf-8").splitlines()
    assert lines[-1] == "# EOF"
    return [LINE.fullmatch(line) for line in lines if not line.startswith("#")]


def test_every_sample_has_its_event_time_and_labels(filled):
    """The samples lie within the log's hour, in order within a series, labelled as a scrape would."""
    _, result = filled
    samples = samples_of(result)
    assert len(samples) == result["samples"] > 1_000
    times = [float(sample["seconds"]) for sample in samples]
    assert HOUR_START <= min(times) < max(times) <= HOUR_START + 3_700
    assert all('job="portallink",instance="backfill"' in sample["labels"] for sample in samples)
    by_series = {}
    for sample, moment in zip(samples, times, strict=True):
        by_series.setdefault((sample["name"], sample["labels"]), []).append(moment)
    assert all(moments == sorted(set(moments)) for moments in by_series.values())


def test_the_last_values_are_the_analysis(filled):
    """The counters end where the whole log's own sums do."""
    folder, result = filled
    analysis = analyze(folder / "log.ndjson")
    last = {(sample["name"], sample["labels"]): float(sample["value"]) for sample in samples_of(result)}
    read = sum(
        value
        for (name, labels), value in last.items()
        if name == "portallink_records_total" and 'stage="measure"' in labels
    )
    records = analysis.records
    assert read == records.applied + records.duplicate + records.late + records.dead_letter
    downtime = sum(v for (name, _), v in last.items() if name == "portallink_link_downtime_seconds_total")
    truth = sum((o.end_ms - o.start_ms) / 1000 for o in analysis.final() if o.kind == "down")
    assert downtime == pytest.approx(truth, abs=0.001)


@pytest.mark.prometheus
@pytest.mark.usefixtures("promtool")
def test_grafana_would_see_the_hour_at_its_own_date(filled, tmp_path):
    """Prometheus serves the blocks: the state at 08:25 is down, and the Link dashboard has its series."""
    folder, _ = filled
    done = run(backfill, folder / "log.ndjson", "--out", folder / "blocked", "--step", 15, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["blocks"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": []}), "utf-8")
    shutil.copytree(folder / "blocked" / "blocks", tmp_path / "history" / "data")
    with Prometheus(
        tmp_path / "history",
        tmp_path / "prometheus.yml",
        extra_arguments=["--storage.tsdb.retention.time=100y"],
    ) as server:
        _check_history(PrometheusApi(server.url))


def _check_history(api: PrometheusApi) -> None:
    (state,) = api.instant('portallink_link_state{link="hcmc-npd"}', HOUR_START + 25 * 60)
    assert state["value"][1] == "3"
    (state,) = api.instant('portallink_link_state{link="hcmc-vneid"}', HOUR_START + 25 * 60)
    assert state["value"][1] == "1"
    link = next(board for board in boards(WatchSettings()) if board.uid == "portallink-link")
    for panel in link.panels:
        for query in panel.queries:
            if "portallink:" in query.expr:
                continue  # recorded by rules, which history has not
            expr = at_home(query.expr, whole_range="1h")
            found = api.ranged(expr, HOUR_START + 600, HOUR_START + 3_600, 60)
            assert found or panel.quiet or query.rare, expr


def test_a_log_without_a_cut_is_refused(tmp_path):
    """Nothing to write is bad input, said with the file's name; nothing is left behind."""
    (tmp_path / "empty.ndjson").write_text("", "utf-8")
    done = run(backfill, tmp_path / "empty.ndjson", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "empty.ndjson" in done.stderr.replace("\n", "")
    assert not (tmp_path / "out").exists()


def test_a_missing_log_is_refused(tmp_path):
    """A file that is not there is bad input."""
    assert run(backfill, tmp_path / "none.ndjson").exit_code == 2
