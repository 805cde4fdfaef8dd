"""Two results compared by meaning."""

import json

import msgspec
import pytest
from replay_logs import T0, make_log
from typer.testing import CliRunner

from streams import replay
from streams.cli import app
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.model.canonical import encode
from streams.model.measurement import Source
from streams.model.outage import Outage
from streams.model.record import Record
from streams.replay.analyze import analyze
from streams.replay.diff import diff
from streams.replay.results import ResultFileError, Results, Table, read_results


def outage(name="o-1", start=0, end=60_000, **changes):
    """Return a closed outage, times in milliseconds after T0, `end` None for one that lasts."""
    base = Outage(
        outage_id=name,
        revision=2,
        supersedes=1,
        status="open" if end is None else "closed",
        reason="closed",
        link="npd",
        kind="down",
        fault_domain="link",
        start_ms=T0 + start,
        end_ms=None if end is None else T0 + end,
        detected_at_ms=T0 + start + 10_000,
        rule_version="cusum-1",
        attempts=100,
        failures=90,
        dossiers_affected=40,
        evidence=[Source("npd.lookups", 0, 1, 2, "00")],
    )
    return msgspec.structs.replace(base, **changes)


def results(*outages):
    """Return results that hold outages alone."""
    return Results(outages=Table(Outage, outages))


def test_same_meaning_is_no_difference():
    """Ids, revision numbers and where the evidence lies may differ between runs that say the same."""
    other = outage(
        "o-9", revision=5, supersedes=4, reason="late", evidence=[Source("npd.lookups", 3, 7, 9, "ff")]
    )
    assert not diff(results(outage()), results(other))
    assert diff(results(outage()), results(other)).same == 1


def test_gained_lost_and_moved_are_told_apart():
    """An outage more, one fewer and one that moved each stand in their place, with how far it moved."""
    before = results(outage(), outage("o-2", 600_000, 700_000), outage("o-3", 900_000, None))
    after = results(
        outage("o-5", 2_000, 58_500),
        outage("o-3", 900_000, 950_000),
        outage("o-4", 600_000, 700_000, link="vneid"),
    )
    found = diff(before, after)
    assert [gone.outage_id for gone in found.lost] == ["o-2"]
    assert [fresh.outage_id for fresh in found.gained] == ["o-4"]
    moved = {pair.before_id: (pair.start_moved_ms, pair.end_moved_ms) for pair in found.changed}
    assert moved == {"o-1": (2_000, -1_500), "o-3": (0, None)}


def test_last_revision_counts_and_retracted_outages_do_not():
    """Only the last word on an outage is compared; one taken back is as if it had not been."""
    earlier = outage(revision=1, supersedes=None, failures=3)
    gone = outage("o-7", 500_000, 600_000, status="retracted")
    assert not diff(results(earlier, outage()), results(outage(), gone))


def test_figures_that_changed_are_named():
    """A changed figure is named with its value before and after."""
    found = diff(results(outage()), results(outage(failures=80, kind="degraded")))
    assert [(item.name, item.before, item.after) for item in found.changed[0].changed] == [
        ("kind", "down", "degraded"),
        ("failures", 90, 80),
    ]


def test_each_outage_pairs_with_the_one_it_overlaps_most():
    """Two outages that were one, and one that grew over both, pair by overlap."""
    before = results(outage("a", 0, 100_000), outage("b", 120_000, 130_000))
    found = diff(before, results(outage("c", 0, 140_000)))
    assert [(pair.before_id, pair.after_id) for pair in found.changed] == [("a", "c")]
    assert [gone.outage_id for gone in found.lost] == ["b"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Write the results of a log, of the same log again, and of it with the outage 20 s longer."""
    base = tmp_path_factory.mktemp("results")
    analyze(make_log()).write(base / "one")
    analyze(make_log()).write(base / "same")
    analyze(make_log(failing=((600, 920),))).write(base / "longer")
    analyze(make_log(partitions=5)).write(base / "five")
    return base


def run(*arguments):
    """Run `portallink diff`."""
    return CliRunner().invoke(app, ["diff", *map(str, arguments)])


def test_command_says_by_its_exit_code_whether_results_differ(folders):
    """Equal results exit 0, different ones 1 with what differs, for people and as JSON."""
    assert run(folders / "one", folders / "same").exit_code == 0
    told = run(folders / "one", folders / "longer")
    assert told.exit_code == 1
    assert "0 outages gained, 0 lost, 1 changed" in told.stdout
    found = json.loads(run(folders / "one", folders / "longer", "--json").stdout)
    assert found["differ"]
    assert 19_000 < found["changed"][0]["end_moved_ms"] < 21_000
    assert found["windows"][0]["link"] == "npd"
    assert found["windows"][0]["state_moved_ms"]["DOWN"] == -found["windows"][0]["state_moved_ms"]["UP"]
    assert {part["partition"] for part in found["measurements"]} == {0, 1}
    same = json.loads(run(folders / "one", folders / "same", "--json").stdout)
    assert not same["differ"]


def test_partitioning_changes_measurements_and_no_outage(folders):
    """The same events on five partitions are other measurements and the same outages and windows."""
    found = diff(read_results(folders / "one"), read_results(folders / "five"))
    assert found.same == 1
    assert [*found.gained, *found.lost, *found.changed, *found.windows] == []
    assert found.measurements


def test_single_files_are_compared_by_what_they_hold(folders):
    """Files are told apart by their lines; a kind that one side lacks is named, not counted as lost."""
    one = folders / "one" / "outages.ndjson"
    assert run(one, folders / "same" / "outages.ndjson").exit_code == 0
    compared = run(one, folders / "same")
    assert compared.exit_code == 0
    assert "windows: only one side has any" in compared.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"outage_id":1}\n', ":1: "),
        (b"text\n", ":1: not a line of results"),
        (b'{"topic":"t","logged_at_ms":1}\n', "a log, not a result"),
        (b'{"a":1}\n', "neither measurements nor windows nor outages"),
    ],
)
def test_other_files_are_refused_with_line_and_reason(tmp_path, folders, content, reason):
    """What is no result exits 2 and names file, line and reason."""
    path = tmp_path / "x.ndjson"
    path.write_bytes(content)
    refused = run(folders / "one", path)
    assert refused.exit_code == 2
    assert str(path) in refused.stderr
    assert reason in refused.stderr
    with pytest.raises(ResultFileError):
        replay.read(path)


def test_truncated_results_are_refused(tmp_path, folders):
    """A result file cut off in its last line is refused with that line's number."""
    content = (folders / "one" / "windows.ndjson").read_bytes()
    path = tmp_path / "windows.ndjson"
    path.write_bytes(content[:-30])
    refused = run(folders / "one", path)
    assert refused.exit_code == 2
    assert f"{path}:{len(content.splitlines())}:" in refused.stderr


def test_ledgers_are_compared_like_results(tmp_path, folders):
    """A ledger that took in an analysis does not differ from it; one of another log differs from it."""
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
    analysis = read_results(folders / "one")
    rows = [
        Record(f"link.{name}", 0, offset, T0, row.link.encode(), encode(row))
        for name, table in (("windows", analysis.windows), ("outages", analysis.outages))
        for offset, row in enumerate(table)
    ]
    apply_records(engine, rows)
    engine.dispose()
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    same = run(ledger, folders / "one")
    assert same.exit_code == 0, same.output
    assert "measurements: only one side has any" in same.stderr
    assert run(ledger, folders / "longer").exit_code == 1
    assert run(f"sqlite:///{tmp_path / 'none.db'}", ledger).exit_code == 2
