"""Every occurrence writes its line and moves its metrics, and what it moves is right."""

import inspect
import io
import itertools
import json
import logging
from typing import get_args

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streams import telemetry
from streams.model.events import OUTCOMES
from streams.model.incidents import Incident
from streams.model.measurement import (
    LinkCells,
    LinkSlot,
    Measurement,
    Part,
    PortalCells,
    PortalSlot,
    RecordCounts,
    Source,
)
from streams.model.outage import LinkStateName, Outage, RaisedNormal, ShortFailures, Window
from streams.telemetry import contract, labels
from streams.telemetry.store import Store

SOURCE = Source("npd.lookups", 3, 100, 120, "d" * 64)
MEASUREMENT = Measurement(
    SOURCE,
    1_700_000_000_000,
    RecordCounts(applied=15, duplicate=2, late=2, dead_letter=1),
    [
        LinkCells(
            "npd",
            [
                LinkSlot(
                    0,
                    9,
                    {"ok": 6, "timeout": 2},
                    latency={10: 6},
                    provider_latency={5: 6},
                    services={"birth": Part(2, 1), "death": Part(0, 1)},
                    agencies={"Q1": Part(2)},
                )
            ],
            [LinkSlot(-5000, 0, {"ok": 1, "no_response": -1}, late=1)],
        )
    ],
    [
        PortalCells(
            "hcmc",
            [PortalSlot(0, {"received": 3, "deferred": 1}, {"birth": 3}, {"Q1": 3}, {"npd": 1}, {20: 2})],
        )
    ],
)


def an_outage(**changed) -> Outage:
    """Return an outage open since 10 s, found at 20 s."""
    values = {
        "outage_id": "o1", "revision": 1, "supersedes": None, "status": "open", "reason": "opened",
        "link": "npd", "kind": "down", "fault_domain": "link", "start_ms": 10_000, "end_ms": None,
        "detected_at_ms": 20_000, "rule_version": "1", "attempts": 20, "failures": 19,
        "dossiers_affected": 18,
    }  # fmt: skip
    return Outage(**(values | changed))


def a_window(**changed) -> Window:
    """Return a minute of which the link was down for a quarter."""
    values = {
        "link": "npd", "start_ms": 60_000, "end_ms": 120_000, "revision": 1, "state": "UP",
        "state_ms": {"UP": 45_000, "DOWN": 15_000}, "requested": 9, "attempts": 9, "failures": 2,
        "outcomes": {"ok": 7, "timeout": 2}, "latency_ms": None, "provider_latency_ms": None,
    }  # fmt: skip
    return Window(**(values | changed))


EVERY_OCCURRENCE = [
    telemetry.SpansTaken({"lookup": 3, "rejected": 1}, {"npd.lookups": 6}, 2.5),
    telemetry.SpansRejected("portal", 1, "1 x the span has no valid trace id and span id"),
    telemetry.ExportAnswered("http", "traces", 503, "the broker is away; try again later"),
    telemetry.SourcesAlive(2),
    telemetry.StageStarted({"max_records": 500}),
    telemetry.StageStopped("asked to"),
    telemetry.StageAdvised("give a tokens file"),
    telemetry.StageFailed("no broker"),
    telemetry.StageReady(ready=True),
    telemetry.StageMoved(),
    telemetry.BrokerAway("no connection"),
    telemetry.BrokerBack(),
    telemetry.StageBlocked("the ledger does not answer"),
    telemetry.StageUnblocked(),
    telemetry.StageStalled(301.0),
    telemetry.LastCommitFailed("no connection"),
    telemetry.RecordsLost("npd.lookups", 3, 120, 150),
    telemetry.LogBeganAgain("npd.lookups", 3, 120, 0),
    telemetry.AddressServed("metrics", "http://127.0.0.1:9000/metrics"),
    telemetry.PartitionsAssigned((("npd.lookups", 0),), 1),
    telemetry.PartitionsRevoked((("npd.lookups", 0),), 0),
    telemetry.ConsumerLag({("npd.lookups", 0): 12}),
    telemetry.RecordsRead("applied", 5),
    telemetry.RecordRejected("schema", "link.measurements", 0, 7, "source missing"),
    telemetry.SettingsCompared("npd.lookups", 0, "0a1b2c3d4e5f", "f5e4d3c2b1a0"),
    telemetry.RuleLearned("strict@2", withdrawn=False, effective_ms=1_700_000_400_000),
    telemetry.RetirementLearned("old", withdrawn=False, from_ms=1_700_000_400_000),
    telemetry.RecordsMetered("npd.lookups", 3, MEASUREMENT.records),
    telemetry.MeasurementCut(MEASUREMENT),
    telemetry.PartitionRebuilt("npd.lookups", 0, 50, 90),
    telemetry.DeadLettered("not_json", "npd.lookups", 0, 17),
    telemetry.DeadLetterLimitReached("npd.lookups", 3, 100, 60, 0.5),
    telemetry.PartiallyRebuilt("npd.lookups", 3, 70),
    telemetry.PartitionsNotUsed("link.measurements", 2, 4),
    telemetry.EventIdsConflict("npd.lookups", 3, 2),
    telemetry.MeasurementTooLarge(SOURCE, 20_000_000),
    telemetry.CommitDone("npd.lookups", 0, 120, 80),
    telemetry.MeasurementApplied(SOURCE, 1_700_000_000_000),
    telemetry.MeasurementDuplicate(SOURCE),
    telemetry.MeasurementEarly(SOURCE),
    telemetry.HeadPublished("heads.ndjson", 3),
    telemetry.HeadNotPublished("https://example.org/heads", "the webhook answers 503"),
    telemetry.HeadsDiverge("heads.ndjson", "the ledger does not hold head 3 as it was published"),
    telemetry.SourceIdle("npd.lookups", 3),
    telemetry.SourceGap("missing", SOURCE, 90, 10_000, 20_000),
    telemetry.SlotFinalised("npd", 0, 5_000, "UP"),
    telemetry.OutagePublished(an_outage()),
    telemetry.LinkRestored("npd", "DOWN", 30_000, an_outage()),
    telemetry.LinkReleased("npd"),
    telemetry.WindowPublished(a_window(normal=RaisedNormal(0.1, 1_000, 900, 2_000))),
    telemetry.LedgerWritten({"outages": 2}),
    telemetry.SharedIncidents(
        [Incident("i-1", "shared", "provider", "down", 0, None, ["npd", "bhyt"], [], 0)]
    ),
    telemetry.LinksJudged(["npd"], ["old"]),
    telemetry.LedgerShown(60_000, {("npd", "today"): 0.9}, {("npd", "today"): 1.0}, [an_outage()]),
    telemetry.RequestServed("GET", "/v1/outages", 200, 0.012),
    telemetry.TrailBehind(3, "database is locked"),
    telemetry.TrailWritten(),
]


def a_telemetry(stage="measure", level="debug"):
    """Return a telemetry that writes JSON lines into a string."""
    lines = io.StringIO()
    return telemetry.Telemetry(stage, "json", level, stream=lines), lines


def shown(told: telemetry.Telemetry) -> dict[str, float]:
    """Return every series of the process's own metrics as text and value."""
    lines = told.store.expose(openmetrics=False).splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_the_list_of_occurrences_is_whole():
    """Each occurrence the package offers is tried below."""
    offered = {
        value for name, value in vars(telemetry).items() if inspect.isclass(value) and hasattr(value, "name")
    }
    assert {type(one) for one in EVERY_OCCURRENCE} == offered - {telemetry.Occurrence}


@pytest.mark.parametrize("occurrence", EVERY_OCCURRENCE, ids=lambda one: one.name)
def test_one_object_writes_the_line_and_moves_the_metric(occurrence):
    """Emitting writes one JSON line of that name and level with all its fields, and counts it."""
    told, lines = a_telemetry()
    if isinstance(occurrence, telemetry.BrokerBack):
        told.emit(telemetry.BrokerAway("no connection"))  # else it is no news
    before = len(lines.getvalue())
    told.emit(occurrence)
    (line,) = lines.getvalue()[before:].splitlines()
    written = json.loads(line)
    assert (written["event"], written["level"], written["stage"]) == (
        occurrence.name,
        occurrence.level,
        "measure",
    )
    assert set(occurrence.fields()) <= set(written)
    count = f'portallink_occurrences_total{{stage="measure",occurrence="{occurrence.name}"}}'
    assert shown(told)[count] == 1


def test_a_broker_that_is_away_is_told_once_and_once_that_it_is_back():
    """Whoever notices it, and however often: one line, until it has changed."""
    told, lines = a_telemetry()
    for _ in range(2):
        for one in (telemetry.BrokerBack(), telemetry.BrokerAway("a"), telemetry.BrokerAway("b")):
            told.emit(one)
    events = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert events == ["broker_away", "broker_back", "broker_away"]


def test_every_metric_of_the_contract_is_moved_by_some_occurrence():
    """No metric is declared that nothing moves."""
    told, _ = a_telemetry()
    for occurrence in EVERY_OCCURRENCE:
        if not isinstance(occurrence, telemetry.LinkReleased | telemetry.PartitionsRevoked):
            told.emit(occurrence)
    exposed = told.store.expose(openmetrics=False)
    assert [m.name for m in contract.CONTRACT if f"# TYPE {m.name} " not in exposed] == []


def test_the_records_metered_reconcile_on_the_metrics():
    """records_total over all results equals the records read, and a cut does not count them again."""
    told, _ = a_telemetry()
    for _ in range(2):
        told.emit(telemetry.RecordsMetered("npd.lookups", 3, MEASUREMENT.records))
        told.emit(telemetry.MeasurementCut(MEASUREMENT))
    total = sum(v for name, v in shown(told).items() if name.startswith("portallink_records_total"))
    assert total == 2 * (SOURCE.next_offset - SOURCE.first_offset)


def test_a_cut_moves_everything_it_holds():
    """Outcomes of on-time and late slots, latency, submissions and who was hit all arrive."""
    told, _ = a_telemetry()
    told.emit(telemetry.MeasurementCut(MEASUREMENT))
    values = shown(told)
    assert values['portallink_lookups_total{link="npd",outcome="ok"}'] == 7
    assert values['portallink_lookups_total{link="npd",outcome="timeout"}'] == 2
    assert values['portallink_lookups_total{link="npd",outcome="no_response"}'] == 0
    assert {f'portallink_lookups_total{{link="npd",outcome="{o}"}}' for o in OUTCOMES} <= set(values)
    assert values['portallink_lookups_requested_total{link="npd"}'] == 9
    assert values['portallink_lookup_latency_seconds_count{link="npd"}'] == 6
    assert values['portallink_provider_latency_seconds_count{link="npd"}'] == 6
    assert values['portallink_failed_lookups_by_service_total{link="npd",service="birth"}'] == 2
    assert values['portallink_failed_lookups_by_agency_total{link="npd",agency="Q1"}'] == 2
    assert values['portallink_submissions_total{portal="hcmc",type="received"}'] == 3
    assert values['portallink_submissions_blocked_total{portal="hcmc",link="npd"}'] == 1
    assert values['portallink_submission_acceptance_seconds_count{portal="hcmc"}'] == 2


ACTIVE = 'portallink_link_outage_active{link="npd",kind="down"}'
DOSSIERS = 'portallink_link_dossiers_affected{link="npd"}'


def test_an_outage_is_shown_while_it_is_open():
    """It is active from its first revision to its close, with as many dossiers as it has hit by now."""
    told, _ = a_telemetry("detect")
    told.emit(telemetry.OutagePublished(an_outage()))
    assert shown(told)[ACTIVE] == 1
    told.emit(telemetry.SlotFinalised("npd", 20_000, 25_000, "DOWN", dossiers_affected=30))
    assert shown(told)[DOSSIERS] == 30
    closed = an_outage(revision=2, supersedes=1, status="closed", reason="closed", end_ms=147_000)
    told.emit(telemetry.OutagePublished(closed))
    assert (shown(told)[ACTIVE], shown(told)[DOSSIERS]) == (0, 0)
    assert shown(told)['portallink_outages_total{link="npd",kind="down"}'] == 1


def test_an_older_outage_revised_does_not_close_the_open_one():
    """A late correction of a closed outage leaves the alert on the open one standing."""
    told, _ = a_telemetry("detect")
    told.emit(telemetry.OutagePublished(an_outage(status="closed", end_ms=15_000)))
    told.emit(telemetry.OutagePublished(an_outage(outage_id="o2", start_ms=60_000, detected_at_ms=65_000)))
    revised = an_outage(revision=2, supersedes=1, status="closed", reason="late", end_ms=16_000)
    told.emit(telemetry.OutagePublished(revised))
    assert shown(told)[ACTIVE] == 1


SPENT = {"up": 90_000, "degraded": 0, "down": 12_500, "unknown": 17_500, "not_in_service": 0}


def state_seconds(told):
    """Return what is shown of the time in each state of the link."""
    names = {s: f'portallink_link_state_seconds_total{{link="npd",state="{s}"}}' for s in labels.LINK_STATES}
    return {state: shown(told)[name] for state, name in names.items() if name in shown(told)}


def test_a_restart_goes_on_with_the_open_outage():
    """After a restore the outage is shown open, and is not counted again with its next revision."""
    told, _ = a_telemetry("detect")
    told.emit(telemetry.LinkRestored("npd", "DOWN", 100_000, an_outage()))
    assert shown(told)[ACTIVE] == 1
    closed = an_outage(revision=2, supersedes=1, status="closed", reason="closed", end_ms=104_000)
    told.emit(telemetry.OutagePublished(closed))
    assert shown(told)[ACTIVE] == 0
    assert shown(told)['portallink_outages_total{link="npd",kind="down"}'] == 0


def test_time_by_state_is_set_to_its_totals():
    """It is the total that comes with a slot or a restart, whichever came before; a new link begins at 0."""
    told, _ = a_telemetry("detect")
    told.emit(telemetry.SlotFinalised("npd", 0, 5_000, "UP"))
    assert state_seconds(told) == dict.fromkeys(labels.LINK_STATES, 0)
    for one in (
        telemetry.SlotFinalised("npd", 5_000, 10_000, "UP", spent_ms=SPENT),
        telemetry.LinkRestored("npd", "UP", 10_000, None, SPENT),
        telemetry.SlotFinalised("npd", 10_000, 15_000, "UP"),
    ):
        told.emit(one)
        assert state_seconds(told) == {state: ms / 1000 for state, ms in SPENT.items()}
    assert shown(told)['portallink_link_downtime_seconds_total{link="npd"}'] == 12.5


def test_a_released_link_is_claimed_no_longer():
    """Gauges and totals of a link that another process took over are gone, so that nothing sees it twice."""
    told, _ = a_telemetry("detect")
    told.emit(telemetry.OutagePublished(an_outage()))
    told.emit(telemetry.SlotFinalised("npd", 20_000, 25_000, "DOWN", spent_ms=SPENT))
    told.emit(telemetry.LinkReleased("npd"))
    gone = (
        "link_state{",
        "link_state_seconds",
        "link_downtime",
        "link_observed",
        "link_outage_active",
        "link_dossiers_affected",
    )
    assert not [name for name in shown(told) if name.removeprefix("portallink_").startswith(gone)]


@given(st.lists(st.sampled_from(get_args(LinkStateName)), min_size=1, max_size=40))
def test_the_state_and_its_changes_follow_the_slots(states):
    """The state is the last slot's; changes are those among known states, whatever lies between."""
    store = Store(lambda: 0.0)
    for index, state in enumerate(states):
        telemetry.SlotFinalised("npd", index * 5_000, (index + 1) * 5_000, state).move(store, "detect")
    known = [state for state in states if state != "UNKNOWN"]
    changes = sum(a != b for a, b in itertools.pairwise(known))
    assert store.value(contract.LINK_STATE_CHANGES, ("npd",)) == changes
    assert store.value(contract.LINK_STATE, ("npd",)) == labels.LINK_STATE_CODES[states[-1]]


def test_short_failures_of_a_window_count_once_however_often_it_is_revised():
    """Revisions add what is more than was counted, and take nothing back."""
    told, _ = a_telemetry("detect")
    for revision, short in enumerate(((1, 4_000, 30), (2, 9_000, 70), (1, 4_000, 30)), 1):
        window = a_window(revision=revision, short_failures=ShortFailures(*short))
        told.emit(telemetry.WindowPublished(window))
    names = ("failures_total", "failure_seconds_total", "failure_lookups_total")
    series = shown(told)
    assert [series[f'portallink_short_{name}{{link="npd"}}'] for name in names] == [2, 9, 70]


def test_a_raised_normal_is_shown_while_it_lasts():
    """The latest window of a link says what is raised; where nothing is, there is no series."""
    told, _ = a_telemetry("detect")
    raised = RaisedNormal(failure_share=0.1, since_ms=30_000)
    told.emit(telemetry.WindowPublished(a_window(normal=raised)))
    shown_now = {name: value for name, value in shown(told).items() if "link_normal" in name}
    assert shown_now == {
        'portallink_link_normal_failure_share{link="npd"}': 0.1,
        'portallink_link_normal_since_timestamp_seconds{link="npd"}': 30,
    }
    told.emit(telemetry.WindowPublished(a_window(start_ms=0)))
    assert any("link_normal" in name for name in shown(told))
    told.emit(telemetry.WindowPublished(a_window(start_ms=120_000)))
    assert not any("link_normal" in name for name in shown(told))


def test_no_label_can_hold_a_dossier():
    """No metric of the contract has a label for what identifies a dossier, a person or an event."""
    forbidden = {"dossier", "dossier_id", "citizen", "person", "event_id", "lookup_id"}
    assert not [m.name for m in contract.CONTRACT if forbidden & set(m.labels)]


def test_below_the_level_nothing_is_written_but_metrics_move():
    """A quiet log loses no count."""
    told, lines = a_telemetry(level="warning")
    told.emit(telemetry.RecordsMetered("npd.lookups", 3, MEASUREMENT.records))
    assert lines.getvalue() == ""
    assert shown(told)['portallink_records_total{stage="measure",result="applied"}'] == 15


def test_a_library_that_warns_writes_in_the_same_form():
    """The standard library's logging comes out as JSON lines too, with the logger's name."""
    _, lines = a_telemetry()
    logging.getLogger("aiokafka.consumer").warning("heartbeat failed for %s", "group")
    written = json.loads(lines.getvalue())
    assert (written["event"], written["logger"]) == ("heartbeat failed for group", "aiokafka.consumer")


def test_console_lines_are_for_people():
    """The console form is no JSON and has the event and its fields."""
    lines = io.StringIO()
    telemetry.Telemetry("measure", "console", "info", stream=lines).emit(telemetry.StageStopped("asked to"))
    assert "stage_stopped" in lines.getvalue()
    assert "{" not in lines.getvalue()


def test_an_unknown_level_is_refused_by_name():
    """A wrong level says which there are."""
    with pytest.raises(ValueError, match="'loud' must be one of debug, info, warning, error"):
        telemetry.Telemetry("measure", "json", "loud")


def test_emitting_before_configuring_says_what_to_do(monkeypatch):
    """Forgetting `configure` is an error that names it, not a silent loss."""
    monkeypatch.setattr("streams.telemetry.hub._Current.telemetry", None)
    with pytest.raises(RuntimeError, match="configure"):
        telemetry.emit(telemetry.StageStopped("x"))
