"""The log of a run: order, keys, bytes, and that the truth says what the log holds."""

import hashlib
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from streams.logs.line import encode_line
from streams.logs.read import read_log
from streams.model.events import (
    ANSWERED,
    Heartbeat,
    LookupCompleted,
    LookupRequested,
    lookup_decoder,
    submission_decoder,
)
from streams.model.record import Record
from streams.model.topics import LOOKUPS
from streams.simulate.generate import Run
from streams.simulate.shell import load_scenario, truth_path, write_log
from streams.simulate.truth import TrueFault, Truth

pytestmark = pytest.mark.slow

PINNED = {
    ("monday-morning", 1, 0.02): "c301929341ba29ddf35f0eb43e2629e38d84e86967e147f562678a232cbbec9a",
    ("bad-day", 7, 0.02): "94610fa298c05126767c14d84204b5f069d48e8d61e410baca9775bd9d6a5b1c",
}


@pytest.fixture(scope="module")
def monday(catalogue, simulate):
    """Return a tenth of the Monday morning."""
    return simulate(load_scenario("monday-morning", catalogue), scale=0.1)


@pytest.fixture(scope="module")
def bad_day(catalogue, simulate):
    """Return a part of the bad day."""
    return simulate(load_scenario("bad-day", catalogue), scale=0.15)


def decoded(records: list[Record]) -> list:
    """Return the events of records."""
    return [(lookup_decoder if r.topic == LOOKUPS else submission_decoder).decode(r.value) for r in records]


def test_broker_order(monday):
    """Log time never runs backwards, and each partition's offsets ascend from 0 without a gap."""
    assert all(a.logged_at_ms <= b.logged_at_ms for a, b in pairwise(monday.records))
    offsets = defaultdict(list)
    for record in monday.records:
        offsets[record.topic, record.partition].append(record.offset)
    assert len(offsets) == 8
    assert all(found == list(range(len(found))) for found in offsets.values())


def test_every_record_is_a_valid_event_under_its_key(bad_day):
    """Every value decodes as an event of its topic, keyed by its dossier and in the partition of that key."""
    for record, event in zip(bad_day.records, decoded(bad_day.records), strict=True):
        if isinstance(event, Heartbeat):
            assert record.key is None
        else:
            assert record.key == event.dossier_id.encode()
            assert record.partition == crc32(record.key) % 4


def test_values_are_compact_and_in_contract_order(monday):
    """Values hold no blank, and the fields stand in the order of the contract."""
    for record, event in zip(monday.records, decoded(monday.records), strict=True):
        assert b" " not in record.value
        if isinstance(event, LookupCompleted):
            fields = [*msgspec.json.decode(record.value)]
            assert fields[:3] == ["event_id", "type", "occurred_at_ms"]
            assert fields[3:11] == [
                "lookup_id",
                "dossier_id",
                "link",
                "agency",
                "service",
                "attempt",
                "observer",
                "outcome",
            ]


@pytest.mark.parametrize(("name", "seed", "scale"), list(PINNED))
def test_same_seed_same_bytes(catalogue, name, seed, scale):
    """The same seed gives the very bytes it gave when this test was written, on whatever machine that was."""
    run = Run(catalogue, load_scenario(name, catalogue), seed=seed, scale=scale)
    digest = hashlib.sha256()
    for record in run.records():
        digest.update(encode_line(record))
    digest.update(msgspec.json.encode(run.truth()))
    assert digest.hexdigest() == PINNED[name, seed, scale]


def test_another_seed_another_log(catalogue, simulate, monday):
    """Another seed gives another log with the same planned faults."""
    other = simulate(load_scenario("monday-morning", catalogue), seed=3, scale=0.1)
    assert other.records != monday.records
    windows = [[(f.fault_id, f.start_ms, f.end_ms) for f in s.truth.faults] for s in (monday, other)]
    assert windows[0] == windows[1]


@pytest.mark.parametrize("name", ["log.ndjson", "log.ndjson.zst"])
def test_a_written_log_reads_back(catalogue, monday, tmp_path: Path, name):
    """A log file holds the records of the run, and beside it lies the truth."""
    run = Run(catalogue, load_scenario("monday-morning", catalogue), scale=0.1)
    times: list[int] = []
    truth = write_log(run, tmp_path / name, times.append)
    assert list(read_log(tmp_path / name)) == monday.records
    assert times[-1] == monday.records[-1].logged_at_ms
    assert msgspec.json.decode(truth_path(tmp_path / name).read_bytes(), type=Truth) == truth == monday.truth


def test_records_reconcile(monday):
    """Events, heartbeats and repetitions in the truth add up to the records, and ids repeat as often."""
    counts = monday.truth.records
    assert counts["events"] + counts["heartbeats"] + counts["duplicate"] == len(monday.records)
    ids = Counter(event.event_id for event in decoded(monday.records) if not isinstance(event, Heartbeat))
    assert len(ids) == counts["events"]
    assert sum(ids.values()) - len(ids) == counts["duplicate"] > 0


def test_disorder_and_lateness(monday):
    """A record is logged after its event: up to 5 s if disordered, 10 s or more if late."""
    seen, delays = set(), []
    for record, event in zip(monday.records, decoded(monday.records), strict=True):
        if isinstance(event, Heartbeat) or event.event_id in seen:
            continue
        seen.add(event.event_id)
        delays.append(record.logged_at_ms - event.occurred_at_ms)
    assert min(delays) >= 1
    assert sum(delay >= 10_000 for delay in delays) == pytest.approx(monday.truth.records["late"], abs=2)
    assert not any(5_000 < delay < 10_000 for delay in delays)
    assert sum(150 < delay <= 5_000 for delay in delays) > 0.9 * monday.truth.records["disordered"]


def test_heartbeats_every_second_in_every_partition(monday):
    """Each partition of both topics gets one heartbeat a second from start to end, also in a silence."""
    beats = defaultdict(list)
    for record, event in zip(monday.records, decoded(monday.records), strict=True):
        if isinstance(event, Heartbeat):
            beats[record.topic, record.partition].append(event.occurred_at_ms)
    expected = list(range(monday.truth.start_ms, monday.truth.end_ms, 1000))
    assert len(beats) == 8
    assert all(sorted(found) == expected for found in beats.values())


def test_one_heartbeat_in_a_thousand_is_late(monday):
    """Some heartbeats are logged 5 to 20 seconds after they were sent, all others at once."""
    delays = [
        record.logged_at_ms - event.occurred_at_ms
        for record, event in zip(monday.records, decoded(monday.records), strict=True)
        if isinstance(event, Heartbeat)
    ]
    late = [delay for delay in delays if delay >= 5_000]
    assert len(late) / len(delays) == pytest.approx(0.001, abs=0.0003)
    assert max(late) < 20_500
    assert max(delay for delay in delays if delay < 5_000) < 500


def recounted(records: list[Record], fault: TrueFault, hit: set[str]) -> tuple[int, int]:
    """Count a fault's attempts and those that ended as it makes them end, from the log alone."""
    asked, ended = {}, {}
    for event in decoded([r for r in records if r.topic == LOOKUPS]):
        if isinstance(event, Heartbeat) or event.observer != "portal" or event.link != fault.link:
            continue
        if isinstance(event, LookupRequested):
            asked[event.lookup_id] = event.occurred_at_ms
        else:
            ended[event.lookup_id] = event.outcome
    inside = [id_ for id_, at in asked.items() if fault.start_ms <= at < fault.end_ms]
    return len(inside), sum(ended.get(id_, "no_response") in hit for id_ in inside)


@pytest.mark.parametrize(
    ("fault_id", "hit"),
    [
        ("npd-cut", {"unreachable", "timeout"}),
        ("vneid-half", {"timeout", "reset"}),
        ("cmnd-half-open", {"no_response"}),
        ("justice-partial", {"provider_error"}),
        ("payment-throttled", {"throttled"}),
        ("signature-tls", {"tls_error"}),
        ("legacy-protocol", {"protocol_error"}),
        ("npd-degraded", {"reset"}),
    ],
)
def test_truth_agrees_with_the_log(bad_day, fault_id, hit):
    """Attempts and failures of a fault, recounted from the log, are those of the truth."""
    faults = [fault for fault in bad_day.truth.faults if fault.fault_id == fault_id and fault.attempts]
    assert faults
    for fault in faults:
        attempts, failures = recounted(bad_day.records, fault, hit)
        assert attempts == fault.attempts
        # Background failures of the same kind, about 1 % of the attempts the fault spared, look the same.
        spared = fault.attempts - fault.failures
        assert fault.failures <= failures <= fault.failures + 3 + 0.04 * spared


def test_link_totals_agree_with_the_log(monday):
    """What the truth says was asked of each link is what the log holds."""
    outcomes, asked = defaultdict(dict), Counter()
    for event in decoded(monday.records):
        if isinstance(event, LookupRequested) and event.observer == "portal":
            outcomes[event.link].setdefault(event.lookup_id, None)
        if isinstance(event, LookupCompleted) and event.observer == "portal":
            outcomes[event.link][event.lookup_id] = event.outcome
    for link in monday.truth.links:
        ends = outcomes[link.link]
        asked[link.link] = len(ends)
        answered = sum(end in ANSWERED for end in ends.values())
        assert len(ends) == link.attempts
        # Those under way at the end of the log have no ending in it.
        assert 0 <= link.attempts - link.failures - answered <= 5


def test_a_blind_observer_says_nothing_while_traffic_goes_on(bad_day):
    """In a blindness there is no record and no heartbeat of its links, and the truth is no outage."""
    blind = [fault for fault in bad_day.truth.faults if fault.cause == "observer_blind"]
    assert {fault.portal for fault in blind} == {"police"}
    # The city's portal asks these two as well, and is well.
    links = {fault.link for fault in blind} - {"hcmc-payment", "hcmc-npsp"}
    assert links == {"police-npd", "police-vneid"}
    start, end = blind[0].start_ms, blind[0].end_ms
    assert not any(fault.outage for fault in blind)
    assert bad_day.truth.counters["unseen"] > 0
    for event in decoded(bad_day.records):
        if start <= event.occurred_at_ms < end:
            if isinstance(event, Heartbeat):
                assert not links & set(event.links)
                assert "hcmc-npd" in event.links
            else:
                assert getattr(event, "link", None) not in links


def test_a_silence_asks_nothing_and_an_announced_maintenance_neither(bad_day):
    """Nobody asks in a silence nor during maintenance; maintained links are not watched meanwhile."""
    quiet = [f for f in bad_day.truth.faults if f.cause in ("silence", "maintenance")]
    assert {f.cause for f in quiet} == {"silence", "maintenance"}
    for fault in quiet:
        assert recounted(bad_day.records, fault, set()) == (0, 0)
        assert fault.attempts == 0
        assert not fault.outage
    for fault in [f for f in quiet if f.cause == "maintenance"]:
        beats = [
            event
            for event in decoded(bad_day.records)
            if isinstance(event, Heartbeat) and fault.start_ms <= event.occurred_at_ms < fault.end_ms
        ]
        assert beats
        assert all(fault.link not in beat.links for beat in beats)
