"""Each of the eighteen systems: its typical fault, injected, is found with the right link and fault domain.

Data-quality trouble, silence, announced maintenance and a blind observer are true as well, and none of them
is an outage. The pipeline is the whole pure one that `portallink analyze` runs.
"""

from dataclasses import dataclass, field

import pytest

from streams.model.outage import Outage
from streams.replay.analyze import analyze
from streams.simulate.city import epoch_ms
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
    effect: {effect}
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
    """A system's typical fault; ``services`` are those that suffer, None for all that ask the link."""

    link: str
    effect: str
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
FLAPPING = "pattern: flapping\n    bad_seconds: 50\n    good_seconds: 20"
BURSTS = "pattern: bursts\n    bad_seconds: 60\n    good_seconds: 15"

SYSTEMS = {
    # The portal's own system fails on all its lookups at once: every link is struck by one cause.
    1: Case("hcmc-npd", "reset", extra=SHARED, others={"hcmc-vneid", "hcmc-justice"}),
    2: Case("hcmc-npd", "unreachable"),
    3: Case("hcmc-vneid", "timeout", extra="share: 0.7"),
    4: Case("hcmc-cmnd", "half_open"),
    5: Case("hcmc-cccd", "slow", kind="degraded", extra="slow_times: 9"),
    6: Case("hanoi-bhyt", "timeout", flows=HEALTH.format(portal="hanoi"), services={"tra-cuu-bhyt"}),
    7: Case(
        "hcmc-justice",
        "provider_error",
        "provider",
        flows=flow("phieu-ly-lich-tu-phap-1: 3, dang-ky-khai-sinh: 1"),
        extra="services: [phieu-ly-lich-tu-phap-1]",
        services={"phieu-ly-lich-tu-phap-1"},
    ),
    8: Case(
        "police-npd",
        "provider_error",
        "provider",
        flows=flow("ho-chieu-pho-thong: 2, thong-bao-luu-tru: 2", "police", "hcmc-police"),
        extra="services: [ho-chieu-pho-thong]",
        services={"ho-chieu-pho-thong"},
    ),
    9: Case(
        "hcmc-npd",
        "protocol_error",
        kind="degraded",
        flows=flow("qd422-0001: 1, dang-ky-tam-tru: 8", count=9000),
        extra="services: [qd422-0001]",
        services={"qd422-0001"},
    ),
    10: Case("hcmc-npsp", "reset", flows=flow("thanh-toan: 1"), extra=FLAPPING),
    11: Case("hanoi-npd", "unreachable", flows=HANOI, extra="share: 0.9"),
    12: Case(
        "hanoi-vaccine", "throttled", "provider", flows=HANOI, more=BATCH, services={"xac-minh-tiem-chung"}
    ),
    13: Case("hcmc-payment", "throttled", "provider", extra="share: 0.8"),
    14: Case("hcmc-signature", "tls_error", flows=flow("cap-chu-ky-so: 1")),
    15: Case("hcmc-ecopy", "timeout", flows=flow("sao-y-dien-tu: 1", count=5000), extra=BURSTS),
    16: Case("hcmc-legacy", "protocol_error", flows=flow("tro-cap-that-nghiep: 1"), extra="share: 0.8"),
    17: Case(
        "hcmc-specialised",
        "unreachable",
        more="probes: [hcmc-specialised]\n",
        services=set(),
        start=epoch_ms("2024-03-11T07:00"),
        end=None,
    ),
    18: Case(
        "binh-tan-access",
        "timeout",
        flows=flow("dang-ky-khai-sinh: 1", agencies="binh-tan-units").replace(
            "    count", "    access: binh-tan-access\n    count"
        ),
        extra="share: 0.6",
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
    where = "cause: typical" if case.extra.startswith("links") else f"links: [{case.link}]"
    text = CITY.format(
        flows=case.flows,
        more=case.more,
        effect=case.effect,
        where=where,
        extra=case.extra or "cause: typical fault",
    ).replace("    cause: typical\n    start", "    start")
    outages, truth = found(simulate, text)
    fault = next(f for f in truth.faults if f.link == case.link and f.outage)
    assert {outage.link for outage in outages} == {case.link} | case.others
    mine = [outage for outage in outages if outage.link == case.link]
    assert all(outage.fault_domain == case.domain == fault.fault_domain for outage in mine)
    assert case.kind == fault.kind
    assert case.kind in {outage.kind for outage in mine}
    assert abs(min(outage.start_ms for outage in mine) - case.start) < 180_000 + 900_000 * (system == 17)
    if case.end is None:
        assert mine[-1].end_ms is None
    else:
        assert abs(max(outage.end_ms or 0 for outage in mine) - case.end) < 180_000
    if case.effect != "slow":
        services = set().union(*(outage.services for outage in mine))
        hit = case.services if case.services is not None else set(fault.services)
        assert hit <= services
        assert hit == set(fault.services)


NONE = {
    "data quality": (EVERYDAY, "data_quality", "links: [hcmc-npd]", "share: 0.6"),
    "silence": (EVERYDAY, "silence", "portals: [hcmc]", "cause: nobody comes"),
    "maintenance": (EVERYDAY, "maintenance", "links: [hcmc-npd, hcmc-vneid]", "cause: announced"),
    "blindness": (EVERYDAY, "blindness", "portals: [hcmc]", "cause: the observer is dead"),
    "no fault": (EVERYDAY, "data_quality", "links: [hcmc-npd]", "share: 0.0"),
}


@pytest.mark.parametrize("trouble", NONE)
def test_what_is_no_outage_gives_none(simulate, trouble):
    """Data-quality trouble, silence, announced maintenance and blindness give no outage."""
    flows, effect, where, extra = NONE[trouble]
    outages, truth = found(
        simulate, CITY.format(flows=flows, more="", effect=effect, where=where, extra=extra)
    )
    assert not any(fault.outage for fault in truth.faults)
    assert {fault.effect for fault in truth.faults} == {effect}
    assert outages == []
