"""What follows from the model: who comes when, retry storms, backlogs, overload, deferral, paths."""

from collections import Counter

import pytest

from streams.model.events import (
    Heartbeat,
    LookupCompleted,
    LookupRequested,
    lookup_decoder,
    submission_decoder,
)
from streams.model.hours.calendar import to_local
from streams.model.topics import LOOKUPS
from streams.simulate.draw import seeded
from streams.simulate.scenario import Peak, epoch_ms
from streams.simulate.timetable import Timetable, next_working_time

pytestmark = pytest.mark.slow

HEAD = """name: test
title: {vi: Thử, en: Test}
start: 2024-03-11T07:00
end: 2024-03-11T12:00
heartbeat_interval_ms: 10000
"""
FLOW = """flows:
  - id: residents
    portal: hcmc
    agencies: hcmc-districts
    timetable: even
    count: 6000
    services: {dang-ky-tam-tru: 1}
people: {vneid_account: 0, card_read: 0, cmnd_9_digits: 0}
"""


def events(simulated, topic=LOOKUPS):
    """Return the distinct events of a topic in order of their own time."""
    decoder = lookup_decoder if topic == LOOKUPS else submission_decoder
    seen, found = set(), []
    for record in simulated.records:
        if record.topic == topic:
            event = decoder.decode(record.value)
            if not isinstance(event, Heartbeat) and event.event_id not in seen:
                seen.add(event.event_id)
                found.append(event)
    return sorted(found, key=lambda event: event.occurred_at_ms)


def per_minute(simulated, link):
    """Return how many attempts a link got in each minute."""
    asked = Counter()
    for event in events(simulated):
        if isinstance(event, LookupRequested) and event.observer == "portal" and event.link == link:
            asked[(event.occurred_at_ms - simulated.truth.start_ms) // 60_000] += 1
    return asked


def test_a_cut_makes_a_retry_storm_and_a_backlog(simulate):
    """In a cut more is asked than before, afterwards the backlog drains, and then all is as it was."""
    run = simulate(
        HEAD + FLOW + "faults: [{id: cut, cause: line_cut, links: [hcmc-npd], "
        "start: 2024-03-11T08:00, minutes: 20}]"
    )
    asked = per_minute(run, "hcmc-npd")
    before = sum(asked[m] for m in range(20, 60)) / 40
    during = sum(asked[m] for m in range(60, 80)) / 20
    after = sum(asked[m] for m in range(80, 90)) / 10
    much_later = sum(asked[m] for m in range(200, 290)) / 90
    assert during > 2.5 * before
    assert after > 1.3 * before
    assert much_later == pytest.approx(before, rel=0.1)
    deferred = [e for e in events(run, "portal.submissions") if e.blocked_by]
    assert {e.blocked_by for e in deferred} == {"hcmc-npd"}
    assert run.truth.counters["deferred/residents"] == sum(
        type(e).__name__ == "SubmissionDeferred" for e in events(run, "portal.submissions")
    )


def test_a_batch_competes_with_citizens(simulate):
    """A batch that asks more than the provider serves slows citizens' lookups until they fail; the truth
    holds an overload that nobody planned, and it ends some time after the batch.
    """
    batch = (
        "batches: [{id: bulk, link: hcmc-npd, service: lam-sach-du-lieu, agency: ca-tp, records: 150000, "
        "per_request: 1000, weight: 360, start: 2024-03-11T09:00, end: 2024-03-11T09:10}]"
    )
    calm, busy = simulate(HEAD + FLOW), simulate(HEAD + FLOW + batch)
    overloads = [f for f in busy.truth.faults if f.cause == "provider_overloaded"]
    assert not calm.truth.faults
    assert overloads
    assert overloads[0].fault_domain == "provider"
    assert epoch_ms("2024-03-11T09:00") < overloads[0].start_ms
    assert max(f.end_ms for f in overloads) < epoch_ms("2024-03-11T11:45")
    assert busy.truth.links[0].failures > 3 * calm.truth.links[0].failures
    assert busy.truth.counters["looked_up/bulk"] > 0
    citizens = [f for f in overloads if "dang-ky-tam-tru" in f.services]
    assert citizens


def test_data_quality_answers_and_does_not_fail(simulate):
    """Unclean records turn answers into not_found and mismatch; some dossiers are rejected."""
    run = simulate(
        HEAD + FLOW + "faults: [{id: unclean, cause: unclean_records, share: 0.5, links: [hcmc-npd], "
        "start: 2024-03-11T08:00, minutes: 60}]"
    )
    (fault,) = run.truth.faults
    assert not fault.outage
    assert fault.share_of_attempts == pytest.approx(0.5, abs=0.05)
    answers = Counter(
        e.outcome
        for e in events(run)
        if isinstance(e, LookupCompleted) and e.observer == "portal"
        and fault.start_ms <= e.occurred_at_ms < fault.end_ms
    )  # fmt: skip
    assert answers["not_found"] + answers["mismatch"] > 0.4 * answers.total()
    assert run.truth.counters["rejected/residents"] > 100


def test_late_answers_come_late(simulate):
    """Accepted-but-late: every lookup is answered ok, but only after the portal had given it up."""
    run = simulate(
        HEAD + FLOW + "faults: [{id: late, cause: provider_backlog, links: [hcmc-npd], "
        "start: 2024-03-11T08:00, minutes: 10}]"
    )
    (fault,) = run.truth.faults
    asked = {e.lookup_id: e.occurred_at_ms for e in events(run) if isinstance(e, LookupRequested)}
    waits = [
        e.occurred_at_ms - asked[e.lookup_id]
        for e in events(run)
        if isinstance(e, LookupCompleted) and e.observer == "portal"
        and fault.start_ms <= asked[e.lookup_id] < fault.end_ms
    ]  # fmt: skip
    assert len(waits) == fault.attempts
    assert min(waits) > 30_000
    assert fault.first_failure_known_ms >= fault.start_ms + 30_000


def test_flapping_and_bursts_alternate(simulate):
    """A flapping fault fails in its bad spells alone; a burst fault hits about its share of bad time."""
    run = simulate(
        HEAD + FLOW + "faults: [{id: flap, cause: line_flapping, bad_seconds: 60, "
        "good_seconds: 60, links: [hcmc-npd], start: 2024-03-11T08:00, minutes: 40}, {id: burst, cause: "
        "line_lossy, bad_seconds: 30, good_seconds: 60, links: [hcmc-npd], "
        "start: 2024-03-11T10:00, minutes: 90}]"
    )
    flap, burst = run.truth.faults
    bad = [
        (e.occurred_at_ms - flap.start_ms) // 60_000 % 2
        for e in events(run)
        if isinstance(e, LookupRequested) and flap.start_ms <= e.occurred_at_ms < flap.end_ms
    ]
    assert flap.failures <= bad.count(0)
    assert flap.failures > 0.9 * bad.count(0) * 0.5
    assert 0.2 < burst.share_of_attempts < 0.75


def test_an_e_copy_fails_without_vneid_in_the_portal(simulate):
    """Without VNeID in the portal account an e-certified copy is denied: no fault of the link."""
    flow = FLOW.replace("dang-ky-tam-tru", "sao-y-dien-tu").replace(
        "cmnd_9_digits: 0", "vneid_in_portal: 0.4"
    )
    run = simulate(HEAD + flow.replace("count: 6000", "count: 1500"))
    totals = next(link for link in run.truth.links if link.link == "hcmc-ecopy")
    assert totals.outcomes["denied"] == pytest.approx(0.6 * 1500, rel=0.1)
    assert totals.failures < 0.03 * totals.attempts
    assert run.truth.counters["failed/residents"] == totals.outcomes["denied"]


def test_paths_follow_who_applies(simulate):
    """VNeID accounts sign in first; old numbers are linked and cards read, unless level 2 has done it."""
    people = "people: {vneid_account: 0.5, vneid_level_2: 0.5, card_read: 0.4, cmnd_9_digits: 0.2}\n"
    run = simulate(HEAD + FLOW[: FLOW.index("people")] + people)
    paths = {}
    for event in events(run):
        if isinstance(event, LookupRequested) and event.observer == "portal" and event.attempt == 1:
            paths.setdefault(event.dossier_id, []).append(event.link)
    whole = Counter(tuple(path) for path in paths.values())
    assert {path[-1] for path in whole if len(path) == 3} <= {"hcmc-npd", "hcmc-cccd", "hcmc-npsp"}
    signed_in = sum(n for path, n in whole.items() if path[0] == "hcmc-vneid")
    assert signed_in == pytest.approx(3000, rel=0.06)
    cards = sum(n for path, n in whole.items() if {"hcmc-cccd", "hcmc-cmnd"} & set(path))
    assert cards == pytest.approx(6000 * 0.6 * 0.75, rel=0.08)


def test_people_come_in_office_hours_and_hardly_at_tet():
    """Arrivals follow hours, weekdays, holidays and campaigns, and their number is exact."""
    start, end = epoch_ms("2023-01-09T00:00"), epoch_ms("2023-02-06T00:00")
    peak = Peak(start="2023-02-01", end="2023-02-03", times=2.0)
    counts = Timetable("office", start, end, [peak]).draw(100_000, seeded(1, "people"))
    assert sum(counts.values()) == 100_000
    days, hours = Counter(), Counter()
    for at, n in counts.items():
        days[to_local(at).date().isoformat()] += n
        hours[to_local(at).hour] += n
    assert days["2023-01-24"] < 0.1 * days["2023-01-10"]  # Tết, against a Tuesday before it
    assert days["2023-01-15"] < 0.15 * days["2023-01-16"]  # Sunday, Monday
    assert days["2023-02-02"] == pytest.approx(2 * days["2023-01-12"], rel=0.1)
    assert hours[9] > 3 * hours[12] > hours[3]


@pytest.mark.parametrize(
    ("at", "first", "last"),
    [
        ("2023-01-12T09:00", "2023-01-12T09:00", "2023-01-12T09:00"),
        ("2023-01-12T12:10", "2023-01-12T13:00", "2023-01-12T17:00"),
        ("2023-01-12T03:00", "2023-01-12T07:30", "2023-01-12T17:00"),
        ("2023-01-13T18:00", "2023-01-16T07:30", "2023-01-16T17:00"),
        ("2023-01-19T17:30", "2023-01-27T07:30", "2023-01-27T17:00"),
    ],
)
def test_dossiers_are_settled_in_office_hours(at, first, last):
    """A dossier is settled while counters are open: at once, after lunch, next morning, after Tết."""
    assert next_working_time(epoch_ms(at), 0.0) == epoch_ms(first)
    assert epoch_ms(first) <= next_working_time(epoch_ms(at), 0.999) <= epoch_ms(last)
