"""Each of the eighteen systems: its typical fault, injected, is found with the right link and fault domain.

Data-quality trouble, silence, announced maintenance and a blind observer are true as well, and none of them
is an outage. The pipeline is the whole pure one that `portallink analyze` runs.
"""

from dataclasses import dataclass, field

import pytest

from streams.model.outage import Outage
from streams.replay.analyze import analyze
from streams.simulate.faults.causes import CAUSES
from streams.simulate.scenario import epoch_ms
from streams.simulate.truth import Truth

pytestmark = pytest.mark.slow

START, END = epoch_ms("2024-03-11T09:00"), epoch_ms("2024-03-11T09:30")

CITY = """name: system
title: {{vi: Thử, en: Test}}
start: 2024-03-11T07:00
end: 2024-03-11T11:00
partitions: 2
heartbeat_interval_ms: 5000
people: {{vneid_account: 0.5, cmnd_9_digits: 0.3, card_read: 0.3, vneid_level_2: 0.2}}
flows:
{flows}{more}faults:
  - id: typical
    cause: {cause}
    {where}
    start: 2024-03-11T09:00
    minutes: 30
    {extra}
"""

FLOW = """  - id: {id}
    portal: {portal}
    agencies: {agencies}
    timetable: even
    count: {count}
    services: {{{services}}}
"""


def flow(services: str, portal: str = "hcmc", agencies: str = "hcmc-districts", count: int = 3000) -> str:
    """Return dossiers of some services through one portal."""
    return FLOW.format(
        id=f"{portal}-people", portal=portal, agencies=agencies, services=services, count=count
    )


HEALTH = """  - id: health
    portal: {portal}
    agencies: {portal}-health
    submits: false
    timetable: even
    extra_lookups: [insurance]
    services: {{tra-cuu-bhyt: 1}}
    count: 3000
"""
EVERYDAY = flow("dang-ky-tam-tru: 3, dang-ky-khai-sinh: 2, gia-han-the-bhyt: 1")
HANOI = flow("dang-ky-tam-tru: 3, dang-ky-khai-sinh: 2", "hanoi", "hanoi-communes")
BATCH = (
    "batches: [{id: vaccination, link: hanoi-vaccine, service: xac-minh-tiem-chung, agency: so-y-te-hn, "
    "records: 100000, per_request: 50, start: 2024-03-11T07:00, end: 2024-03-11T11:00}]\n"
)


@dataclass
class Case:
    """A system's typical fault; ``services`` are those that suffer, None for all that ask the link.

    ``domain`` is whom the outage blames: where only the portal reports, the line for what hangs at the
    provider.
    """

    link: str
    cause: str
    domain: str = "link"
    kind: str = "down"
    flows: str = EVERYDAY
    more: str = ""
    extra: str = ""
    services: set[str] | None = None
    start: int = START
    end: int | None = END
    others: set[str] = field(default_factory=set)


SHARED = "links: [hcmc-npd, hcmc-vneid, hcmc-justice]\n    share: 0.7"
FLAPPING = "bad_seconds: 50\n    good_seconds: 20"
BURSTS = "bad_seconds: 60\n    good_seconds: 15"

SYSTEMS = {
    # The portal's own system fails on all its lookups at once: every link is struck by one cause.
    1: Case("hcmc-npd", "gateway_faulty", extra=SHARED, others={"hcmc-vneid", "hcmc-justice"}),
    2: Case("hcmc-npd", "line_cut"),
    3: Case("hcmc-vneid", "servers_hang", extra="share: 0.7"),
    4: Case("hcmc-cmnd", "firewall_drops"),
    5: Case("hcmc-cccd", "database_slow", kind="degraded", extra="slow_times: 9"),
    6: Case(
        "hanoi-bhyt",
        "servers_hang",
        flows=HEALTH.format(portal="hanoi"),
        extra="share: 1",
        services={"tra-cuu-bhyt"},
    ),
    7: Case(
        "hcmc-justice",
        "bad_version",
        "provider",
        flows=flow("phieu-ly-lich-tu-phap-1: 3, dang-ky-khai-sinh: 1"),
        extra="services: [phieu-ly-lich-tu-phap-1]\n    outcomes: [provider_error]",
        services={"phieu-ly-lich-tu-phap-1"},
    ),
    8: Case(
        "police-npd",
        "bad_version",
        "provider",
        flows=flow("ho-chieu-pho-thong: 2, thong-bao-luu-tru: 2", "police", "hcmc-police"),
        extra="services: [ho-chieu-pho-thong]",
        services={"ho-chieu-pho-thong"},
    ),
    9: Case(
        "hcmc-npd",
        "old_standard",
        kind="degraded",
        flows=flow("qd422-0001: 1, dang-ky-tam-tru: 8", count=9000),
        extra="services: [qd422-0001]\n    share: 1",
        services={"qd422-0001"},
    ),
    10: Case("hcmc-npsp", "line_flapping", flows=flow("thanh-toan: 1"), extra=FLAPPING),
    11: Case("hanoi-npd", "line_cut", flows=HANOI, extra="share: 0.9"),
    12: Case(
        "hanoi-vaccine",
        "quota",
        "provider",
        flows=HANOI,
        more=BATCH,
        extra="share: 1",
        services={"xac-minh-tiem-chung"},
    ),
    13: Case("hcmc-payment", "quota", "provider", extra="share: 0.8"),
    14: Case("hcmc-signature", "certificate_expired", flows=flow("cap-chu-ky-so: 1")),
    15: Case("hcmc-ecopy", "line_lossy", flows=flow("sao-y-dien-tu: 1", count=5000), extra=BURSTS),
    16: Case("hcmc-legacy", "old_standard", flows=flow("tro-cap-that-nghiep: 1"), extra="share: 0.8"),
    17: Case(
        "hcmc-specialised",
        "never_connected",
        more="probes: [hcmc-specialised]\n",
        services=set(),
        start=epoch_ms("2024-03-11T07:00"),
        end=None,
    ),
    18: Case(
        "binh-tan-access",
        "line_lossy",
        flows=flow("dang-ky-khai-sinh: 1", agencies="binh-tan-units").replace(
            "    count", "    access: binh-tan-access\n    count"
        ),
        extra="share: 0.6\n    pattern: steady",
    ),
}


def found(simulate, text: str) -> tuple[list[Outage], Truth]:
    """Return the outages found in a run, and its truth."""
    run = simulate(text, seed=3)
    return analyze(run.records).final(), run.truth


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_typical_fault_is_found(simulate, system):
    """A system's typical fault is one outage of its link, at its time, with its domain and services."""
    case = SYSTEMS[system]
    where = "about: typical" if case.extra.startswith("links") else f"links: [{case.link}]"
    text = CITY.format(
        flows=case.flows,
        more=case.more,
        cause=case.cause,
        where=where,
        extra=case.extra or "about: typical fault",
    ).replace("    about: typical\n    start", "    start")
    outages, truth = found(simulate, text)
    fault = next(f for f in truth.faults if f.link == case.link and f.outage)
    assert {outage.link for outage in outages} == {case.link} | case.others
    mine = [outage for outage in outages if outage.link == case.link]
    assert all(outage.fault_domain == case.domain for outage in mine)
    assert fault.fault_domain == CAUSES[case.cause].domain
    assert case.kind == fault.kind
    assert case.kind in {outage.kind for outage in mine}
    assert abs(min(outage.start_ms for outage in mine) - case.start) < 180_000 + 900_000 * (system == 17)
    if case.end is None:
        assert mine[-1].end_ms is None
    else:
        assert abs(max(outage.end_ms or 0 for outage in mine) - case.end) < 180_000
    if case.cause != "database_slow":
        services = set().union(*(outage.services for outage in mine))
        hit = case.services if case.services is not None else set(fault.services)
        assert hit <= services
        assert hit == set(fault.services)


NONE = {
    "data quality": (EVERYDAY, "unclean_records", "links: [hcmc-npd]", "share: 0.6"),
    "silence": (EVERYDAY, "silence", "portals: [hcmc]", "about: nobody comes"),
    "maintenance": (EVERYDAY, "maintenance", "links: [hcmc-npd, hcmc-vneid]", "about: announced"),
    "blindness": (EVERYDAY, "observer_blind", "portals: [hcmc]", "about: the observer is dead"),
    "no fault": (EVERYDAY, "unclean_records", "links: [hcmc-npd]", "share: 0.0"),
}


@pytest.mark.parametrize("trouble", NONE)
def test_what_is_no_outage_gives_none(simulate, trouble):
    """Data-quality trouble, silence, announced maintenance and blindness give no outage."""
    flows, cause, where, extra = NONE[trouble]
    outages, truth = found(simulate, CITY.format(flows=flows, more="", cause=cause, where=where, extra=extra))
    assert not any(fault.outage for fault in truth.faults)
    assert {fault.cause for fault in truth.faults} == {cause}
    assert outages == []
