"""Checks that the types cannot make of a scenario: names exist and are used, times fit, and a run ends."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from streams.model.located import Located
from streams.simulate.check import known, unique
from streams.simulate.city import Catalogue
from streams.simulate.faults.causes import CAUSES, OF_PORTALS, outcomes_of
from streams.simulate.scenario import Batch, Fault, FaultProcess, Flow, Scenario, epoch_ms
from streams.simulate.timetable import Timetable
from streams.simulate.workload import links_in_use

_DAY_MS: Final = 86_400_000
YEARS: Final = range(2000, 2100)
LONGEST_DAYS: Final = 1_830
MOST_RECORDS: Final = 500_000_000
"""About as many records as a run writes in an hour and a half."""
MOST_SPELLS: Final = 100_000
RECORDS_OF_A_DOSSIER: Final = 12
_OF_A_FLOW: Final = frozenset(
    {
        "received", "accepted", "rejected", "failed", "deferred", "completed", "looked_up", "stayed_away",
        "distinct-agency", "distinct-service",
    }
)  # fmt: skip
_OF_ALL: Final = (
    "unseen",
    "applicants",
    *(f"submission.{what}" for what in ("received", "accepted", "completed")),
)
_TRAITS: Final = ("vneid-account", "vneid-level-2", "cmnd", "cccd")


def check_scenario(scenario: Scenario, catalogue: Catalogue, located: Located) -> None:
    """Raise `LocatedError` if the scenario contradicts the catalogue, the calendar or itself."""
    start, end = (_time(scenario.start, located, "start"), _time(scenario.end, located, "end"))
    if end <= start:
        raise located.error("the scenario ends before it starts", "end")
    if end - start > LONGEST_DAYS * _DAY_MS:
        raise located.error(f"a scenario lasts at most {LONGEST_DAYS:,} days", "end")
    for what, ids in {
        "flows": [flow.id for flow in scenario.flows],
        "batches": [batch.id for batch in scenario.batches],
        "faults": [fault.id for fault in scenario.faults],
        "fault_processes": [process.id for process in scenario.fault_processes],
        "figures": [figure.id for figure in scenario.figures],
    }.items():
        unique("id", ids, located, what)
    if not scenario.flows:
        raise located.error("a scenario needs flows", "flows")
    if scenario.people.cmnd_9_digits + scenario.people.card_read > 1:
        raise located.error("`cmnd_9_digits` and `card_read` add up to more than 1", "people")
    names = _Names(catalogue, scenario)
    for index, flow in enumerate(scenario.flows):
        _check_flow(index, flow, names, located)
    for index, batch in enumerate(scenario.batches):
        _check_batch(index, batch, names, located)
    known("link", scenario.links, names.links, located, "links")
    known("link", scenario.probes, names.links, located, "probes")
    names.asked = {link.id for link in links_in_use(catalogue, scenario)}
    for index, fault in enumerate(scenario.faults):
        _check_fault(index, fault, names, located)
    for index, process in enumerate(scenario.fault_processes):
        _check_process(index, process, names, located)
    _check_figures(scenario, names, located)
    _check_size(scenario, catalogue, located)


class _Names:
    """The catalogue's objects by identifier, and those that the scenario uses."""

    def __init__(self, catalogue: Catalogue, scenario: Scenario) -> None:
        self.links = {link.id: link for link in catalogue.links}
        self.portals = {portal.id: portal for portal in catalogue.portals}
        self.groups = {group.id for group in catalogue.agencies}
        self.agencies = {name for group in catalogue.agencies for name in group.ids()}
        self.services = {service.id: service for group in catalogue.services for service in group.all()}
        self.service_groups = {group.id for group in catalogue.services}
        self.start_ms, self.end_ms = epoch_ms(scenario.start), epoch_ms(scenario.end)
        self.first, self.last = scenario.start[:10], scenario.end[:10]
        self.flows = {flow.id for flow in scenario.flows} | {batch.id for batch in scenario.batches}
        self.playing = {flow.portal for flow in scenario.flows}
        self.asked: set[str] = set()
        self.asked_for = {name for flow in scenario.flows for name in flow.services}
        self.asked_for |= {batch.service for batch in scenario.batches}


def _check_flow(index: int, flow: Flow, names: _Names, located: Located) -> None:
    where = ("flows", index)
    known("portal", [flow.portal], names.portals, located, *where, "portal")
    known("agency group", [flow.agencies], names.groups, located, *where, "agencies")
    if not flow.services:
        raise located.error("a flow needs services", *where, "services")
    known("service", flow.services, names.services, located, *where, "services")
    if flow.access is not None:
        known("link", [flow.access], names.links, located, *where, "access")
    lookups = names.portals[flow.portal].lookups
    known("lookup", flow.extra_lookups, lookups, located, *where, "extra_lookups")
    wanted = [(role, name) for name in flow.services for role in _roles(names, name)] if flow.submits else []
    for role, name in [*wanted, *((role, "") for role in flow.extra_lookups)]:
        part = ("services", name) if name else ("extra_lookups",)
        if role not in lookups:
            raise located.error(f"portal `{flow.portal}` has no link for the lookup `{role}`", *where, *part)
        if names.links[lookups[role]].state == "unconnected":
            raise located.error(
                f"the lookup `{role}` goes over `{lookups[role]}`, which is not connected", *where, *part
            )
    for number, peak in enumerate(flow.peaks):
        first, last = (
            _day(text, located, *where, "peaks", number, field)
            for text, field in ((peak.start, "start"), (peak.end, "end"))
        )
        if last < first:
            raise located.error("the peak ends before it starts", *where, "peaks", number, "end")
        if peak.end < names.first or peak.start > names.last:
            raise located.error("the peak lies outside the scenario", *where, "peaks", number, "start")
    if names.end_ms - names.start_ms < _DAY_MS:
        timetable = Timetable(flow.timetable, names.start_ms, names.end_ms)
        if not timetable.total:
            raise located.error(
                f"nobody comes by the timetable `{flow.timetable}` in this period; one of always, even, "
                "health, or other hours",
                *where,
                "timetable",
            )


def _roles(names: _Names, service: str) -> list[str]:
    of = names.services[service]
    return [*of.lookups, *of.settling]


def _check_batch(index: int, batch: Batch, names: _Names, located: Located) -> None:
    where = ("batches", index)
    known("link", [batch.link], names.links, located, *where, "link")
    known("service", [batch.service], names.services, located, *where, "service")
    known("agency", [batch.agency], names.agencies, located, *where, "agency")
    if batch.from_hour >= batch.to_hour:
        raise located.error("`from_hour` must come before `to_hour`", *where, "from_hour")
    start, end = _time(batch.start, located, *where, "start"), _time(batch.end, located, *where, "end")
    if end <= start:
        raise located.error("the batch ends before it starts", *where, "end")
    if end <= names.start_ms or start >= names.end_ms:
        raise located.error("the batch lies outside the scenario", *where, "start")


def _check_fault(index: int, fault: Fault, names: _Names, located: Located) -> None:
    where = ("faults", index)
    cause = CAUSES[fault.cause]
    known("link", fault.links, names.links, located, *where, "links")
    known("portal", fault.portals, names.portals, located, *where, "portals")
    known("service", fault.services, names.services, located, *where, "services")
    if fault.cause in OF_PORTALS:
        if not fault.portals:
            raise located.error(f"{fault.cause} applies to portals: name them under `portals`", *where)
        _used("portal", fault.portals, names.playing, located, *where, "portals")
    elif not fault.links:
        raise located.error("a fault on links needs `links`", *where)
    _used("link", fault.links, names.asked, located, *where, "links")
    _used("service", fault.services, names.asked_for, located, *where, "services")
    known("outcome", fault.outcomes, outcomes_of(cause), located, *where, "outcomes")
    start = _time(fault.start, located, *where, "start")
    if not names.start_ms <= start < names.end_ms:
        raise located.error("the fault starts outside the scenario", *where, "start")
    if start + fault.minutes * 60_000 > names.end_ms:
        raise located.error("the fault ends after the scenario", *where, "minutes")
    if fault.ramp_minutes + fault.recovery_minutes > fault.minutes:
        raise located.error("its ramp and recovery are longer than the fault", *where, "minutes")
    if fault.ends_apart_minutes >= fault.minutes:
        raise located.error("some links would recover before it starts", *where, "ends_apart_minutes")
    pattern = fault.pattern or cause.pattern
    if pattern != "steady" and fault.minutes * 60 / (fault.bad_seconds + fault.good_seconds) > MOST_SPELLS:
        raise located.error(f"it comes and goes more than {MOST_SPELLS:,} times", *where, "minutes")


def _check_process(index: int, process: FaultProcess, names: _Names, located: Located) -> None:
    where = ("fault_processes", index)
    known("link", process.links, names.links, located, *where, "links")
    if not process.links or len(set(process.links)) < len(process.links):
        raise located.error("a fault process needs links, each once", *where, "links")
    _used("link", process.links, names.asked, located, *where, "links")
    if not process.causes or not process.shares:
        raise located.error("a fault process needs causes and shares", *where)
    striking = [name for name, cause in CAUSES.items() if cause.kind in ("fails", "slow", "late")]
    known("cause of failures", process.causes, striking, located, *where, "causes")
    if (names.end_ms - names.start_ms) / (process.mean_gap_hours * 3_600_000) > MOST_SPELLS:
        raise located.error(f"it strikes more than {MOST_SPELLS:,} times", *where, "mean_gap_hours")


def _check_figures(scenario: Scenario, names: _Names, located: Located) -> None:
    traits = {f"applicants/{name}" for name in (*_TRAITS, *scenario.people.traits)}
    counters = {f"{what}/{flow}" for what in _OF_A_FLOW for flow in names.flows} | traits | {*_OF_ALL}
    counters |= {f"distinct-group/{group}" for group in names.service_groups}
    counters |= {
        f"catalogue/{name}" for name in (*names.groups, *names.service_groups, "services", "full-process")
    }
    for index, figure in enumerate(scenario.figures):
        where = ("figures", index)
        known("counter", figure.counters, counters, located, *where, "counters")
        known("counter", figure.among, counters, located, *where, "among")
        if not figure.counters:
            raise located.error("a figure needs counters", *where)
        if bool(figure.among) != (figure.total is not None):
            raise located.error("`among` and `total` go together", *where)
        if not figure.sampled:
            raise located.error("a sample of nothing", *where, "sampled")


def _check_size(scenario: Scenario, catalogue: Catalogue, located: Located) -> None:
    """Raise `LocatedError` if a run would write more than `MOST_RECORDS`."""
    length_ms = epoch_ms(scenario.end) - epoch_ms(scenario.start)
    beats = length_ms / scenario.heartbeat_interval_ms * scenario.partitions * 2
    every = {link.id: link.probe_seconds or 60 for link in catalogue.links}
    probes = sum(2 * length_ms / 1000 / every[name] for name in scenario.probes)
    dossiers = sum(flow.count for flow in scenario.flows) * RECORDS_OF_A_DOSSIER
    batches = sum(2 * batch.records / batch.per_request for batch in scenario.batches)
    for what, records, where in (
        ("heartbeats", beats, "heartbeat_interval_ms"),
        ("probes", probes, "probes"),
        ("dossiers", dossiers, "flows"),
        ("batches", batches, "batches"),
    ):
        if records > MOST_RECORDS:
            raise located.error(
                f"about {records:,.0f} records of {what}; a run has at most {MOST_RECORDS:,}", where
            )


def _used(what: str, names: Iterable[str], used: Iterable[str], located: Located, *where: str | int) -> None:
    """Raise `LocatedError` at a name that exists but is not used by this scenario."""
    known(f"{what} in this scenario: nothing uses", names, used, located, *where)


def _time(value: str, located: Located, *where: str | int) -> int:
    try:
        year = datetime.fromisoformat(value).year
    except ValueError as error:
        raise located.error(f"{value} is not a time: {error}", *where) from error
    if year not in YEARS:
        raise located.error(f"the year must be {YEARS.start} to {YEARS.stop - 1}", *where)
    return epoch_ms(value)


def _day(value: str, located: Located, *where: str | int) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise located.error(f"{value} is not a date: {error}", *where) from error
