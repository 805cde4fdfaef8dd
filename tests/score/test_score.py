"""The score: what counts as found, as false, and by how much."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.outage import Outage, Window
from streams.score.known import known_downtimes
from streams.score.ranges import range_precision, range_recall
from streams.score.score import score
from streams.score.truth import Fault, LinkTotals, Truth

MINUTE = 60_000


def fault(start: int, end: int, link: str = "a", **changes) -> Fault:
    """Return a fault over minutes ``[start, end)``, five attempts a minute, all failed."""
    values = {
        "fault_id": f"f{start}", "link": link, "kind": "down", "outage": True, "fault_domain": "link",
        "start_ms": start * MINUTE, "end_ms": end * MINUTE, "attempts": 5 * (end - start),
        "failures": 5 * (end - start), "observed": 5 * (end - start),
        "first_failure_known_ms": start * MINUTE,
    }  # fmt: skip
    return Fault(**{**values, **changes})


def outage(start: int, end: int | None, link: str = "a", revision: int = 1, **changes) -> Outage:
    """Return an outage over minutes ``[start, end)``."""
    values = {
        "outage_id": f"{link}{start}", "revision": revision, "supersedes": revision - 1 or None,
        "status": "closed", "reason": "closed", "link": link, "kind": "down", "fault_domain": "link",
        "start_ms": start * MINUTE, "end_ms": None if end is None else end * MINUTE,
        "detected_at_ms": (start + 1) * MINUTE, "rule_version": "r", "attempts": 1, "failures": 1,
        "dossiers_affected": 1,
    }  # fmt: skip
    return Outage(**{**values, **changes})


def truth(*faults: Fault, links: str = "ab", minutes: int = 10_080) -> Truth:
    """Return the truth of a week of two links."""
    totals = [LinkTotals(link, 1) for link in links]
    return Truth("test", 1, 1.0, "Asia/Ho_Chi_Minh", 0, minutes * MINUTE, totals, list(faults))


def test_a_perfect_detector_scores_one():
    """Outages equal to the faults score one everywhere, with no error."""
    result = score([outage(10, 20), outage(50, 55, "b")], truth(fault(10, 20), fault(50, 55, "b")))
    assert (result.precision, result.range_precision, result.kind_agrees, result.domain_agrees) == (
        1,
        1,
        1,
        1,
    )
    assert (result.all.recall, result.all.range_recall) == (1, 1)
    assert (result.all.start_error_ms.p95, result.all.end_error_ms.p95) == (0, 0)
    assert result.all.delay_ms.p50 == MINUTE
    assert result.availability_error_pp == 0
    assert result.false_outages == 0


def test_nothing_found_and_only_false_ones():
    """A missed fault costs recall, a false outage precision; false ones are counted per link-week."""
    result = score([outage(100, 110), outage(10, 20, "b")], truth(fault(10, 20)))
    assert (result.all.recall, result.all.range_recall, result.precision, result.range_precision) == (
        0,
        0,
        0,
        0,
    )
    assert result.false_outages_per_link_week == 1.0
    assert result.false_by_link == {"a": 1, "b": 1}
    assert [incident.start_ms for incident in result.missed] == [10 * MINUTE]
    assert score([], truth(fault(10, 20))).precision is None


def test_edges_and_pieces():
    """Half a fault found in two pieces: found as an event, with its edges, and a quarter by range."""
    result = score([outage(12, 15), outage(16, 18)], truth(fault(10, 20)))
    assert result.all.recall == 1
    assert result.all.range_recall == 0.5 + 0.5 * (5 / 10) / 2
    assert result.all.start_error_ms.p50 == 2 * MINUTE
    assert result.all.end_error_ms.p50 == 2 * MINUTE
    assert result.range_precision == 1.0
    assert result.all.delay_ms.p50 == 3 * MINUTE


def test_revisions_and_open_outages():
    """The last revision counts, a retracted outage does not, the first says when, an open one lasts on."""
    revisions = [
        outage(10, 25, revision=2, detected_at_ms=30 * MINUTE),
        outage(10, None, status="open", detected_at_ms=11 * MINUTE),
        outage(40, None, status="open"),
        outage(40, None, revision=2, status="retracted"),
        outage(10_000, None, "b", status="open"),
    ]
    result = score(revisions, truth(fault(10, 20), fault(10_000, 10_080, "b")))
    assert result.outages == 2
    assert result.precision == 1
    assert result.all.end_error_ms == type(result.all.end_error_ms)(2, 0, 5 * MINUTE)
    assert result.all.delay_ms.p50 == MINUTE


def test_delay_is_unknown_without_the_first_revision():
    """Where a file holds only final revisions no delay is made up."""
    result = score([outage(10, 20, revision=2, supersedes=1)], truth(fault(10, 20)))
    assert result.all.delay_ms.count == 0
    assert result.all.delay_ms.p50 is None


def test_what_nobody_could_see_is_no_miss():
    """A fault that met no request is counted apart; it enters the availability error of the whole truth."""
    unseen = fault(100, 200, attempts=0, failures=0, observed=0, first_failure_known_ms=None)
    result = score([outage(10, 20)], truth(fault(10, 20), unseen))
    assert (result.all.incidents, result.all.recall, result.unseen_incidents) == (1, 1, 1)
    assert result.availability_error_pp == 0
    assert result.availability_error_all_pp == pytest.approx(100 * 100 / 10_080 / 2, abs=1e-3)


def test_what_is_no_outage_must_not_be_found():
    """A silence or a maintenance that is reported is a false outage."""
    result = score([outage(10, 20)], truth(fault(10, 20, kind="silence", outage=False)))
    assert (result.false_outages, result.all.incidents) == (1, 0)


def test_overlapping_faults_are_one_incident():
    """Faults of one link that overlap are one incident; one outage over it matches all of it."""
    result = score([outage(10, 30)], truth(fault(10, 20), fault(15, 30, kind="degraded")))
    assert (result.all.incidents, result.all.found) == (1, 1)
    assert result.all.end_error_ms.p50 == 0
    assert result.kind_agrees == 1


def test_classes():
    """Incidents are told apart by attempts a minute and by length, and each class has its own score."""
    slow = fault(10, 20, attempts=5)
    fast = fault(10, 11, "b", attempts=500)
    result = score([outage(10, 20)], truth(slow, fast))
    assert {name: part.recall for name, part in result.by_volume.items()} == {
        "under 1/min": 1.0, "1-10/min": None, "10-60/min": None, "over 1/s": 0.0,
    }  # fmt: skip
    assert {name: part.recall for name, part in result.by_duration.items() if part.incidents} == {
        "under 2 min": 0.0, "10-60 min": 1.0,
    }  # fmt: skip


ranges = st.lists(
    st.tuples(st.integers(0, 500), st.integers(1, 40)).map(lambda r: (r[0], r[0] + r[1])), max_size=6
)


@given(ranges, ranges)
def test_rewards_are_shares(true, found):
    """Rewards lie between 0 and 1; what touches nothing earns nothing, equal ranges earn all."""
    for reward in (*range_recall(true, found), *range_precision(true, found)):
        assert 0 <= reward <= 1
    assert range_recall(true, []) == [0.0] * len(true)
    for one in true:
        assert range_recall([one], [one]) == [1.0]


def test_command(tmp_path: Path):
    """The command prints a table, or JSON equal to the score; bad files are named with their line."""
    outages, truth_file = tmp_path / "outages.ndjson", tmp_path / "truth.json"
    outages.write_bytes(msgspec.json.encode(outage(10, 20)) + b"\n")
    truth_file.write_bytes(msgspec.json.encode(truth(fault(10, 20))))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streams", "score", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    table = run(str(outages), str(truth_file))
    assert table.returncode == 0, table.stderr
    assert "per link-week" in table.stdout
    as_json = run(str(outages), str(truth_file), "--json")
    expected = msgspec.to_builtins(score([outage(10, 20)], truth(fault(10, 20))))
    assert msgspec.json.decode(as_json.stdout) == expected
    outages.write_text("{}\n")
    bad = run(str(outages), str(truth_file))
    assert (bad.returncode, f"{outages}:1:" in bad.stderr.replace("\n", "")) == (2, True)


def test_nobody_can_know_of_a_fault_before_somebody_asks():
    """Counted from the first request that failed, an outage that begins there is not off at all."""
    unasked = fault(10, 30, first_failing_request_ms=14 * MINUTE)
    result = score([outage(14, 30)], truth(unasked))
    assert result.availability_error_pp == pytest.approx(100 * 4 / 10_080 / 2, abs=1e-4)
    assert result.availability_error_asked_pp == 0
    assert [(off.link, off.parts) for off in result.downtime_off] == [("a", {"unasked": -240.0})]


def test_availability_errors_are_told_by_volume():
    """A link asked twice a second and one asked once a week have each their own class."""
    busy = truth(fault(10, 20), fault(50, 55, "b"))
    busy = msgspec.structs.replace(busy, links=[LinkTotals("a", 1), LinkTotals("b", 10_080 * 120)])
    result = score([outage(10, 14), outage(50, 55, "b")], busy)
    by_volume = {name: (of.links, of.error_pp) for name, of in result.availability_by_volume.items()}
    assert by_volume == {
        "under 1/min": (1, pytest.approx(100 * 6 / 10_080, abs=1e-4)),
        "1-10/min": (0, None), "10-60/min": (0, None), "over 1/s": (1, 0),
    }  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 40)), max_size=6), st.data())
def test_the_parts_of_an_error_add_up_to_it(spans, data):
    """Whatever was found, the named parts of a link's difference are the whole of it."""
    faults = [fault(at, at + long, first_failing_request_ms=at * MINUTE + 500) for at, long in spans]
    kinds = st.sampled_from(["down", "degraded"])
    drawn = data.draw(st.lists(st.tuples(st.integers(0, 240), st.integers(1, 40), kinds), max_size=6))
    found = [outage(at, at + long, kind=kind, outage_id=str(n)) for n, (at, long, kind) in enumerate(drawn)]
    for off in score(found, truth(*faults, minutes=300)).downtime_off:
        assert sum(off.parts.values()) == pytest.approx(off.found_s - off.true_s)
        assert off.error_pp == pytest.approx(100 * abs(off.found_s - off.true_s) / (300 * 60))


def window(start: int, revision: int = 1, **spent_s: int) -> Window:
    """Return a window of link a in minute ``start``, so many seconds in each state and the rest UP."""
    state_ms = {name: 1000 * spent_s.get(name, 0) for name in ("UNKNOWN", "DEGRADED", "DOWN")}
    state_ms["UP"] = MINUTE - sum(state_ms.values())
    return Window(
        "a", start * MINUTE, (start + 1) * MINUTE, revision, "UP", state_ms, 0, 0, 0, {}, None, None
    )


def test_time_in_which_nothing_is_known_counts_for_neither():
    """An outage that lasts through an unknown night is off by what the known minutes are off, no more."""
    night = [window(at, UNKNOWN=60) for at in range(2, 600)]
    told = [window(0, DOWN=60), window(1, DOWN=30, UNKNOWN=30), *night, window(600, DOWN=6), window(601)]
    (known,) = known_downtimes(told, truth(fault(0, 20)))
    assert (known.known_s, known.true_s, known.found_s) == (60 + 30 + 60 + 60, 60 + 30, 60 + 30 + 6)
    assert known.error_pp == pytest.approx(100 * 6 / 210)


def test_the_last_revision_of_a_window_counts_in_any_order():
    """Of several revisions of a minute the last one stands, wherever it comes."""
    told = [window(0, DOWN=60), window(0, 3, DOWN=10), window(0, 2)]
    for order in (told, told[::-1]):
        (known,) = known_downtimes(order, truth())
        assert (known.true_s, known.found_s) == (0, 10)
