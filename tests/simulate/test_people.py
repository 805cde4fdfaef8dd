"""People and offices: days differ, Tết has its ramp, each service is settled where the law says."""

from collections import Counter, defaultdict

import pytest

from streams.model.events import SubmissionReceived, submission_decoder
from streams.model.hours.calendar import to_local
from streams.model.topics import SUBMISSIONS
from streams.simulate.draw import seeded
from streams.simulate.observers import Clock
from streams.simulate.scenario import Clocks, epoch_ms
from streams.simulate.timetable import Timetable, kinds_of_days, next_working_time

pytestmark = pytest.mark.slow

CITY = """name: people
title: {vi: Thử, en: Test}
start: 2024-03-11T07:00
end: 2024-03-11T17:00
heartbeat_interval_ms: 60000
links: [hcmc-npd, hcmc-vneid, hcmc-ecopy]
people: {vneid_account: 0.5, vneid_in_portal: 0}
flows:
  - id: residents
    portal: hcmc
    agencies: hcmc-districts
    count: 1500
    services:
      {phieu-ly-lich-tu-phap-1: 1, cap-dien-moi: 1, dang-ky-khai-sinh: 1, dvc-0001: 1, sao-y-dien-tu: 1}
"""


def by_day(start: str, end: str, **settings) -> Counter:
    """Return how many of 200,000 arrivals fall on each day."""
    period = epoch_ms(start), epoch_ms(end)
    counts = Timetable("office", *period, **settings).draw(200_000, seeded(1, "people"))
    days: Counter = Counter()
    for at, n in counts.items():
        days[to_local(at).date().isoformat()] += n
    return days


def test_each_service_goes_to_its_office(simulate, catalogue):
    """Judicial records go to Justice, electricity to the power company, births to wards."""
    run = simulate(CITY)
    asked = defaultdict(set)
    for record in run.records:
        event = submission_decoder.decode(record.value) if record.topic == SUBMISSIONS else None
        if isinstance(event, SubmissionReceived):
            asked[event.service].add(event.agency)
            code = event.dossier_id.split("-")
            assert (code[0][:4], code[1], len(code[2])) == ("H29.", "240311", 4)
    groups = {group.id: set(group.ids()) for group in catalogue.agencies}
    assert asked["phieu-ly-lich-tu-phap-1"] == {"so-tu-phap"}
    assert asked["cap-dien-moi"] == {"dien-luc-tp"}
    assert asked["dang-ky-khai-sinh"] <= groups["hcmc-wards"]
    assert asked["dvc-0001"] <= groups["hcmc-districts"]
    assert "quan-2" not in groups["hcmc-districts"]
    assert len(groups["hcmc-districts"]) == 22
    assert {"quan-11", "quan-12"} <= groups["hcmc-districts"]


def test_an_e_copy_is_denied_to_those_who_did_not_sign_in_by_vneid(simulate):
    """Where nobody else has VNeID in the portal account, exactly those without sign-in are denied."""
    run = simulate(CITY)
    totals = {link.link: link for link in run.truth.links}
    copies = totals["hcmc-ecopy"]
    assert copies.outcomes["denied"] == pytest.approx(0.5 * copies.attempts, rel=0.15)


def test_days_differ_by_more_than_chance():
    """Working days of one weekday vary by some 8 %, and Poisson besides."""
    period = epoch_ms("2023-03-01T00:00"), epoch_ms("2023-06-30T00:00")
    kinds = kinds_of_days(*period, seeded(3, "kinds of days"))
    days = by_day("2023-03-01T00:00", "2023-06-30T00:00", days_are=kinds)
    even = by_day("2023-03-01T00:00", "2023-06-30T00:00")
    tuesdays = [
        day for day in days if epoch_ms(f"{day}T12:00") and to_local(epoch_ms(f"{day}T12:00")).weekday() == 1
    ]
    ratios = [days[day] / even[day] for day in tuesdays if even[day] > 1000]
    mean = sum(ratios) / len(ratios)
    spread = (sum((ratio / mean - 1) ** 2 for ratio in ratios) / (len(ratios) - 1)) ** 0.5
    assert 0.05 < spread < 0.12


def test_tet_has_its_ramp_and_its_weekends():
    """Fewer and fewer come before Tết, hardly anyone on its weekend, and more than usual after it."""
    days = by_day("2023-01-03T00:00", "2023-02-11T00:00")
    usual = days["2023-01-05"]
    assert days["2023-01-19"] < 0.55 * usual  # the last working day before
    assert days["2023-01-19"] < days["2023-01-18"] < days["2023-01-16"]
    assert days["2023-01-21"] < 0.08 * usual  # a Saturday within Tết
    assert days["2023-01-28"] > 2 * days["2023-01-21"]  # an ordinary Saturday
    assert days["2023-01-27"] > 1.15 * usual  # the first working day after


def test_growth_grows():
    """A flow that grows by a half has about half as many again at its end as at its start."""
    days = by_day("2023-03-06T00:00", "2023-06-24T00:00", growth=0.5)
    assert days["2023-06-20"] / days["2023-03-07"] == pytest.approx(1.49, rel=0.1)


def test_dossiers_are_settled_over_the_working_day():
    """What comes due at night is settled in the morning as in the afternoon, by the hours of both."""
    spreads = [next_working_time(epoch_ms("2023-03-14T02:00"), n / 1000) for n in range(1000)]
    before_noon = sum(to_local(at).hour < 12 for at in spreads)
    assert before_noon == pytest.approx(500, abs=5)
    assert spreads == sorted(spreads)


def test_clocks_are_off_within_their_bounds_and_set_again():
    """A clock is off by its offset and what it drifted since it was set, never by more than both bounds."""
    clocks = Clocks(offset_up_to_ms=50, drift_ppm_up_to=20, set_every_minutes=60)
    offs = {
        clock.off_ms(at)
        for n in range(40)
        for clock in [Clock(clocks, seeded(n, "clock"))]
        for at in range(0, 7_200_000, 600_000)
    }
    assert max(map(abs, offs)) <= 50 + 72 + 1
    assert len(offs) > 100
    assert Clock(Clocks(), seeded(1, "clock")).off_ms(10**12) == 0
