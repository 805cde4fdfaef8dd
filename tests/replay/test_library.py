"""The pipeline as a library, for notebooks: typed tables, data frames, SQL."""

import json
import re
from pathlib import Path

import polars as pl
import pytest
from replay_logs import T0, make_log, submissions
from typer.testing import CliRunner

from streams import replay
from streams.cli import app
from streams.detect.rule.definition import Rule
from streams.logs.folder import FORMAT, VERSION, Manifest, write_manifest, write_parquet, write_segment
from streams.logs.write import log_writer
from streams.model.outage import Outage
from streams.replay.analyze import analyze
from streams.replay.query import QueryError
from streams.replay.rulefile import RuleFileError, read_rule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Write a log with one outage to a file."""
    path = tmp_path_factory.mktemp("library") / "log.ndjson.zst"
    with log_writer(path) as writer:
        writer.write(make_log() + submissions())
    return path


def test_analysis_is_typed_and_goes_into_data_frames(log):
    """`replay.analyze` gives typed rows, and each table a data frame with moments in local time."""
    result = replay.analyze(str(log))
    assert all(isinstance(row, Outage) for row in result.outages)
    final = result.final()
    assert [(row.link, row.kind) for row in final] == [("npd", "down")]
    frame = final.to_polars()
    assert frame["link"].to_list() == ["npd"]
    assert frame.schema["start"] == pl.Datetime("us", "Asia/Ho_Chi_Minh")
    assert frame["start"][0].isoformat().startswith("2023-06-12T08:10:0")
    assert frame["start_ms"][0] == final[0].start_ms
    windows = result.windows.to_polars()
    assert windows["attempts"].sum() == 3000
    measurements = result.measurements.to_polars()
    assert measurements["applied"].sum() == result.records.applied
    assert result.records.applied > 6000


def test_empty_tables_keep_their_columns():
    """A log without trouble gives an outage table of no rows and the usual columns."""
    calm = replay.analyze(make_log(failing=(), seconds=100))
    assert calm.final().to_polars().is_empty()
    assert "outage_id" in calm.final().to_polars().columns


def test_results_written_and_read_are_the_same(log, tmp_path):
    """What `analyze --out` writes reads back as what `replay.analyze` returns."""
    analyze(log).write(tmp_path / "out")
    read, made = replay.read(tmp_path / "out"), replay.analyze(log)
    assert read == made
    assert not replay.diff(read, made)


def test_rule_files_in_three_formats(log, tmp_path):
    """A rule file names what differs from the built-in rule, in JSON, TOML or YAML."""
    (tmp_path / "r.json").write_text(
        '{"version": "slow-1", "min_duration_ms": 400000, "min_degraded_ms": 400000}'
    )
    (tmp_path / "r.toml").write_text(
        'version = "slow-1"\nmin_duration_ms = 400000\nmin_degraded_ms = 400_000\n'
    )
    (tmp_path / "r.yaml").write_text("version: slow-1\nmin_duration_ms: 400000\nmin_degraded_ms: 400000\n")
    rules = [read_rule(tmp_path / f"r.{kind}") for kind in ("json", "toml", "yaml")]
    assert rules == [Rule(version="slow-1", min_duration_ms=400_000, min_degraded_ms=400_000)] * 3
    changed = replay.analyze(log, tmp_path / "r.toml")
    assert [row.link for row in replay.diff(replay.analyze(log), changed).lost] == ["npd"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"min_duration_ms": 1}', "needs its own `version`"),
        ('{"version": "x", "min_duration": 1}', "min_duration"),
        ('{"version": "x", "half_share": "a"}', "half_share"),
        ("{", "r.json"),
    ],
)
def test_wrong_rule_files_are_refused(tmp_path, content, reason):
    """A rule without a version of its own, with an unknown or ill-typed field, or no JSON is refused."""
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(RuleFileError, match=reason):
        read_rule(tmp_path / "r.json")


@pytest.fixture(scope="module")
def shapes(log, tmp_path_factory):
    """Write the same log plain, compressed, as Parquet and as captured folders."""
    base = tmp_path_factory.mktemp("shapes")
    records = make_log() + submissions()
    with log_writer(base / "plain.ndjson") as writer:
        writer.write(records)
    write_parquet(base / "log.parquet", records)
    for name in ("ndjson", "parquet"):
        folder = base / f"captured-{name}"
        folder.mkdir()
        parts = {}
        for record in records:
            parts.setdefault(record[:2], []).append(record)
        segments = [write_segment(folder, name, part) for part in parts.values()]
        write_manifest(folder, Manifest(FORMAT, VERSION, name, [], segments))
    return [log, *sorted(base.iterdir())]


def test_sql_over_every_shape_of_log(shapes):
    """The same question has the same answer on NDJSON, compressed NDJSON, Parquet and captured folders."""
    question = """
        SELECT outcome, count(*) AS n, min(occurred_at) AS first, min(occurred_at_ms) AS first_ms
        FROM lookups WHERE type = 'lookup.completed' GROUP BY outcome ORDER BY outcome"""
    answers = [replay.query(question, shape) for shape in shapes]
    for answer in answers[1:]:
        assert answer.equals(answers[0])
    rows = answers[0].rows(named=True)
    assert [(row["outcome"], row["n"]) for row in rows] == [("ok", 2400), ("unreachable", 600)]
    assert rows[1]["first"].isoformat().startswith("2023-06-12T08:10:0")
    for shape in shapes:
        counted = replay.query("SELECT count(*) FROM records", shape).item()
        assert (
            counted
            == replay.query(
                "SELECT (SELECT count(*) FROM lookups) + (SELECT count(*) FROM submissions) "
                "+ (SELECT count(*) FROM heartbeats)",
                shape,
            ).item()
        )


def test_tables_have_the_columns_documented(shapes):
    """Every table of a log has just the columns that the reference lists, in every shape."""
    reference = (Path(__file__).parents[2] / "docs" / "replay.md").read_text("utf-8")
    rows = re.findall(
        r"^\| `(records|lookups|submissions|heartbeats)` \|[^|]*\| ([^|]*) \|$", reference, re.MULTILINE
    )
    assert len(rows) == 4
    for name, listed in rows:
        columns = {column.split()[0] for column in listed.split(", ")}
        for shape in shapes:
            assert set(replay.query(f"FROM {name} LIMIT 1", shape).columns) == columns, name


def test_sql_joins_logs_with_results(log, tmp_path):
    """Outages join with the lookups that failed within them."""
    analyze(log).write(tmp_path / "out")
    answer = replay.query(
        "SELECT o.outage_id, count(*) AS failed, any_value(o.failures) AS told FROM final_outages o "
        "JOIN lookups l ON l.link = o.link AND l.outcome = 'unreachable' "
        "AND l.occurred_at_ms BETWEEN o.start_ms AND o.end_ms GROUP BY 1",
        log,
        tmp_path / "out",
    )
    assert answer["failed"].to_list() == answer["told"].to_list() == [600]
    assert replay.query("SELECT sum(attempts) FROM windows", tmp_path / "out").item() == 3000


def test_query_command(log, tmp_path):
    """The command prints a table, or JSON with local times; a wrong statement or file exits 2 and helps."""

    def run(*arguments):
        return CliRunner().invoke(app, ["query", *map(str, arguments)])

    told = run("SELECT min(logged_at) AS first FROM records", log, "--json")
    assert json.loads(told.stdout) == [{"first": "2023-06-12 08:00:00.003+07:00"}]
    assert "unreachable" in run("SELECT DISTINCT outcome FROM lookups", log).stdout
    wrong = run("SELECT x FROM lookups", log)
    assert wrong.exit_code == 2
    assert "tables here: heartbeats, lookups, records, submissions" in wrong.stderr
    (tmp_path / "x.txt").write_text("hello\n")
    assert run("SELECT 1", tmp_path / "x.txt").exit_code == 2
    assert run("SELECT 1", tmp_path / "none.ndjson").exit_code == 2
    with pytest.raises(QueryError, match="neither a captured log nor results"):
        replay.query("SELECT 1", tmp_path)


def test_explanation_gives_the_numbers_that_decided(log):
    """Every slot's sums are there: the opening test passes its bar at the slot that opened, not before."""
    outage = replay.analyze(log).final()[0]
    found = replay.explain(outage.outage_id[:6], log)
    assert found.outage == outage
    assert [revision.revision for revision in found.revisions] == list(range(1, outage.revision + 1))
    opening = next(step for step in found.steps if step.edge_ms == outage.start_ms)
    closing = next(step for step in found.steps if step.edge_ms == outage.end_ms)
    assert opening.condition == "DOWN"
    assert closing.condition == "UP"
    assert opening.end_ms == found.revisions[0].detected_at_ms
    undecided = [step for step in found.steps if step.end_ms < opening.end_ms]
    assert any(0 < bar.total < bar.threshold for step in undecided for bar in step.bars)
    ripe = [step.end_ms for step in undecided if any(bar.total >= bar.threshold for bar in step.bars)]
    # Failures must span `min_duration_ms` of request time: the bar may be passed that much earlier.
    assert all(opening.end_ms - end_ms <= Rule().min_duration_ms for end_ms in ripe)
    decided = next(bar for bar in opening.bars if bar.test == opening.verdict)
    assert decided.total >= decided.threshold
    first_second = (outage.start_ms - T0) // 1000
    assert first_second == 600
    assert len(found.reasons()) == 2
    assert "starts with the first failing request" in found.reasons()[0]


def test_explain_command_and_plot(log, tmp_path):
    """The command shows the slots, no figure cut, and draws the same SVG each time; an unknown id exits 2."""

    def run(*arguments):
        # Four columns less than a terminal has: the fixture's outage is down, not degraded.
        environment = {"COLUMNS": "76"}
        return CliRunner().invoke(app, ["explain", *map(str, arguments), "--log", str(log)], env=environment)

    name = replay.analyze(log).final()[0].outage_id
    told = run(name, "--svg", tmp_path / "one.svg")
    assert told.exit_code == 0, told.stderr
    assert "recovery" in told.stdout
    assert "alike" in told.stdout
    assert "alike" not in run(name, "--all").stdout
    assert "…" not in run(name, "--all").stdout
    run(name, "--svg", tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert b"<svg" in (tmp_path / "one.svg").read_bytes()
    assert json.loads(run(name, "--json").stdout)["outage"]["outage_id"] == name
    unknown = run("o-none")
    assert unknown.exit_code == 2
    assert name in unknown.stderr


def test_golden_scenarios_hold_until_something_changes(log, tmp_path):
    """A kept scenario runs as kept, differs once its expectation does, and is accepted again on request."""

    def run(*arguments):
        return CliRunner().invoke(app, ["golden", *map(str, arguments), "--dir", str(tmp_path)])

    assert run("add", "one-outage", log, "--shows", "five minutes down").exit_code == 0
    assert run("run").exit_code == 0
    assert run("add", "one-outage", log).exit_code == 2
    assert run("add", "No Name", log).exit_code == 2
    expected = tmp_path / "one-outage" / "outages.ndjson"
    content = json.loads(expected.read_text())
    content["end_ms"] += 5_000
    expected.write_text(json.dumps(content) + "\n")
    differs = run("run", "one-outage")
    assert differs.exit_code == 1
    assert "end -5 s" in differs.stdout
    assert json.loads(run("run", "--json").stdout)["one-outage"]["differ"]
    assert run("add", "one-outage", tmp_path / "one-outage" / "log.ndjson.zst", "--replace").exit_code == 0
    assert run("run").exit_code == 0
    assert run("run", "none").exit_code == 2
    (tmp_path / "one-outage" / "golden.json").write_text('{"shows":"","records":1,"format":"x"}')
    assert run("run").exit_code == 2
