"""The arrivals of dossiers, batches and probes, each with its path over links."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, count
from math import floor
from random import Random
from typing import Final
from zlib import crc32

from msgspec.structs import replace

from streams.model.hours.calendar import DAY_MS, UTC_OFFSET_MS, day_start_ms, to_local
from streams.simulate.city import Catalogue, Link, Portal
from streams.simulate.dossier import Dossier, Matter
from streams.simulate.draw import Table, lognormal, seeded
from streams.simulate.load.links import LinkState
from streams.simulate.scenario import Batch, Flow, People, Scenario, epoch_ms
from streams.simulate.timetable import BIN_MS, Timetable, kinds_of_days

_HOUR_MS: Final = 3_600_000
_LAST_DIGITS: Final = [(f"{n:03d}", f"{n:03d}".encode()) for n in range(1000)]

Maker = Callable[[int], Dossier]
Arrivals = Iterator[tuple[int, Maker]]


def links_in_use(catalogue: Catalogue, scenario: Scenario) -> list[Link]:
    """Return the links that a scenario can use, in the catalogue's order."""
    portals = {portal.id: portal for portal in catalogue.portals}
    services = {service.id: service for group in catalogue.services for service in group.all()}
    used = set()
    for flow in scenario.flows:
        roles = set(flow.extra_lookups)
        if flow.submits:
            roles |= _visitor_roles(scenario.people)
            for service in flow.services:
                roles |= {*services[service].lookups, *services[service].settling}
        lookups = portals[flow.portal].lookups
        used |= {lookups[role] for role in roles & lookups.keys()}
        if flow.access:
            used.add(flow.access)
    if scenario.links:
        used &= {*scenario.links}
    used |= {*scenario.probes, *(batch.link for batch in scenario.batches)}
    links = [link for link in catalogue.links if link.id in used]
    return links if scenario.provider_views else [replace(link, provider_view=False) for link in links]


def _visitor_roles(people: People) -> set[str]:
    """Return the lookups that depend on the applicant, not on the service."""
    shares = {"signin": people.vneid_account, "cmnd": people.cmnd_9_digits, "cccd": people.card_read}
    return {role for role, share in shares.items() if share}


def users_of(catalogue: Catalogue, scenario: Scenario, links: Iterable[str]) -> dict[str, list[str]]:
    """Return the portals that use each of some links, at least one each, as its observer sees the lookups."""
    playing = dict.fromkeys(flow.portal for flow in scenario.flows)
    access = {(flow.portal, flow.access) for flow in scenario.flows}
    users: dict[str, list[str]] = {}
    for link in links:
        knowing = [p.id for p in catalogue.portals if link in p.lookups.values() or (p.id, link) in access]
        users[link] = [portal for portal in knowing if portal in playing] or knowing or [next(iter(playing))]
    return users


class Workload:
    """The arrivals of one run; dossiers are numbered in order, people exist only as shares.

    The counts of applicants needed for calibration are added to ``counters``.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        scenario: Scenario,
        states: Mapping[str, LinkState],
        users: Mapping[str, Sequence[str]],
        *,
        seed: int,
        scale: float,
        partitions: int,
        counters: defaultdict[str, int],
    ) -> None:
        self._scenario = scenario
        self._states, self._users = states, users
        self._seed, self._scale, self._partitions = seed, scale, partitions
        self._counters = counters
        self._start_ms, self._end_ms = epoch_ms(scenario.start), epoch_ms(scenario.end)
        self._portals = {portal.id: portal for portal in catalogue.portals}
        self._services = {s.id: s for group in catalogue.services for s in group.all()}
        self._agencies = {group.id: group.ids() for group in catalogue.agencies}
        self._groups: dict[str, list[str]] = {}
        for group in catalogue.services:
            for name in (*(service.id for service in group.all()), *group.members):
                self._groups.setdefault(name, []).append(group.id)
        self._codes: dict[tuple[str, str, int], tuple[str, int]] = {}
        self._days: dict[int, str] = {}
        self._settled: dict[tuple[str, str], tuple[tuple[LinkState, ...], Table]] = {}
        self._numbered: dict[str, Iterator[tuple[str, int]]] = {}
        self._met: set[tuple[str, str]] = set()
        self._timetables: dict[str, Timetable] = {}
        self._days_are = kinds_of_days(
            self._start_ms, self._end_ms, seeded(seed, f"{scenario.name}/kinds of days")
        )
        self._office_numbers = {
            name: number
            for number, name in enumerate(dict.fromkeys(chain(*self._agencies.values())), start=1)
        }

    def streams(self) -> list[Arrivals]:
        """Return the streams of arrivals, each in order of time."""
        scenario = self._scenario
        return [
            *(self._flow(flow) for flow in scenario.flows),
            *(self._batch(batch) for batch in scenario.batches),
            *(self._probe(self._states[name]) for name in scenario.probes),
        ]

    def _flow(self, flow: Flow) -> Arrivals:
        rng = seeded(self._seed, f"{self._scenario.name}/flow/{flow.id}")
        by_bin = self._timetable(flow).draw(max(1, round(flow.count * self._scale)), rng)
        make, random = self._maker(flow, rng), rng.random
        for start in sorted(by_bin):
            first, last = max(start, self._start_ms), min(start + BIN_MS, self._end_ms)
            for at in sorted([first + floor(random() * (last - first)) for _ in range(by_bin[start])]):
                yield at, make

    def _timetable(self, flow: Flow) -> Timetable:
        """Return the timetable of a flow; flows without peaks and growth share one."""
        period = self._start_ms, self._end_ms
        if flow.peaks or flow.growth:
            return Timetable(flow.timetable, *period, flow.peaks, growth=flow.growth, days_are=self._days_are)
        if flow.timetable not in self._timetables:
            self._timetables[flow.timetable] = Timetable(flow.timetable, *period, days_are=self._days_are)
        return self._timetables[flow.timetable]

    def _maker(self, flow: Flow, rng: Random) -> Maker:
        """Return a function that makes a dossier of a flow, with a random applicant and path."""
        portal = self._portals[flow.portal]
        names, cumulative = list(flow.services), list(accumulate(flow.services.values()))
        settled_by = {
            name: [
                agency
                for office in portal.offices.get(name, [flow.agencies])
                for agency in self._agencies.get(office, [office])
            ]
            for name in names
        }
        access = (self._states[flow.access],) if flow.access else ()
        ecopy = frozenset({portal.lookups["ecopy"]} if "ecopy" in portal.lookups else ())
        nothing: frozenset[str] = frozenset()
        without_vneid = 1 - self._scenario.people.vneid_in_portal
        matters: dict[tuple[str, str], Matter] = {}
        plans: dict[tuple[str, bool, str], tuple[LinkState, ...]] = {}
        partitions = self._partitions
        random, all_weights = rng.random, cumulative[-1]

        def make(at_ms: int) -> Dossier:
            service = names[bisect_right(cumulative, random() * all_weights)]
            # The first agencies of a group are larger: the density falls by two thirds over the group.
            place, agencies = random(), settled_by[service]
            agency = agencies[floor((place + place * place) / 2 * len(agencies))]
            matter = matters.get((agency, service))
            if matter is None:
                matter = matters[agency, service] = self._matter(flow, portal, agency, service)
            account, card = self._identity(random) if flow.submits else (False, "")
            denied = ecopy if ecopy and not account and random() < without_vneid else nothing
            plan = plans.get((service, account, card))
            if plan is None:
                plan = access + self._path(flow, portal, service, account, card)
                plans[service, account, card] = plan
            id_ = self._code(portal.prefix, agency, at_ms)
            return Dossier(id_, crc32(id_.encode()) % partitions, matter, plan, denied)

        return make

    def _code(self, prefix: str, agency: str, at_ms: int) -> str:
        """Return the next dossier code of an agency on a day, in the portals' form: H29.12-230313-0042."""
        day = (at_ms + UTC_OFFSET_MS) // DAY_MS
        key = prefix, agency, day
        head, number = self._codes.get(key, ("", 0))
        if not number:
            written = self._days.get(day)
            if written is None:
                written = self._days[day] = f"{to_local(at_ms):%y%m%d}"
            head = f"{prefix}.{self._office_numbers[agency]:02d}-{written}-"
        self._codes[key] = head, number + 1
        return f"{head}{number + 1:04d}"

    def _matter(self, flow: Flow, portal: Portal, agency: str, service: str) -> Matter:
        """Return what the dossiers of a service at an agency share. Call it for the first one only."""
        self._first_of(flow, agency, service)
        matter = Matter(flow=flow.id, portal=portal.id, agency=agency, service=service)
        matter.submits = flow.submits
        matter.first_aim = "access" if flow.access else "lookups"
        matter.channel = flow.channel
        if flow.submits:
            key = portal.id, service
            if key not in self._settled:
                of_service = self._services[service]
                self._settled[key] = (
                    self._links(portal, of_service.settling),
                    lognormal(of_service.settling_hours * _HOUR_MS, 0.7),
                )
            matter.settling, matter.settling_table = self._settled[key]
        return matter

    def _first_of(self, flow: Flow, agency: str, service: str) -> None:
        """Count an agency or service at its first occurrence in a flow or in a group of services."""
        groups = [(f"distinct-group/{group}", service) for group in self._groups[service]]
        for met in (
            (f"distinct-agency/{flow.id}", agency),
            (f"distinct-service/{flow.id}", service),
            *groups,
        ):
            if met not in self._met:
                self._met.add(met)
                self._counters[met[0]] += 1

    def _identity(self, random: Callable[[], float]) -> tuple[bool, str]:
        """Draw whether an applicant signs in with VNeID, and the lookup that their document needs."""
        people, counters = self._scenario.people, self._counters
        counters["applicants"] += 1
        account, chance = random() < people.vneid_account, random()
        card = ""
        if chance < people.cmnd_9_digits:
            card = "cmnd"
        elif chance < people.cmnd_9_digits + people.card_read:
            card = "cccd"
        if account:
            counters["applicants/vneid-account"] += 1
            if random() < people.vneid_level_2:
                counters["applicants/vneid-level-2"] += 1
                card = ""  # level 2 has already identified the person
        if card:
            counters[f"applicants/{card}"] += 1
        for trait, share in people.traits.items():
            if random() < share:
                counters[f"applicants/{trait}"] += 1
        return account, card

    def _path(
        self, flow: Flow, portal: Portal, service: str, account: bool, card: str
    ) -> tuple[LinkState, ...]:
        """Return the links that a dossier uses before it is accepted, in order."""
        roles = list(self._services[service].lookups) if flow.submits else []
        roles += flow.extra_lookups
        if card and card in portal.lookups and "identity" in roles:
            roles.insert(roles.index("identity"), card)
        if account and "signin" in portal.lookups:
            roles.insert(0, "signin")
        return self._links(portal, roles)

    def _links(self, portal: Portal, roles: list[str]) -> tuple[LinkState, ...]:
        """Return the links of some lookups, without those that the scenario leaves out."""
        names = [portal.lookups[role] for role in roles]
        return tuple(self._states[name] for name in names if name in self._states)

    def _ids(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Return the ids of a prefix, each with its partition; shared by all that use the prefix."""
        ids = self._numbered.get(prefix)
        if ids is None:
            ids = self._numbered[prefix] = _numbered(prefix, self._partitions)
        return ids

    def _batch(self, batch: Batch) -> Arrivals:
        """Spread the batch's requests evenly over its hours."""
        rng = seeded(self._seed, f"{self._scenario.name}/batch/{batch.id}")
        requests = max(1, round(batch.records * self._scale / batch.per_request))
        start, end = max(self._start_ms, epoch_ms(batch.start)), min(self._end_ms, epoch_ms(batch.end))
        hours = _daily_hours(start, end, batch.from_hour, batch.to_hour)
        total = sum(last - first for first, last in hours)
        plan = (self._states[batch.link],)
        matter = Matter(
            flow=batch.id,
            portal=batch.id,
            agency=batch.agency,
            service=batch.service,
            observer=self._users[batch.link][0],
        )
        matter.weight, matter.records = batch.weight, batch.per_request
        ids = self._ids("BATCH")

        def make(_at_ms: int) -> Dossier:
            id_, partition = next(ids)
            return Dossier(id_, partition, matter, plan)

        number, passed = 0, 0
        for first, last in hours:
            while number < requests:
                at = first + floor((number + rng.random()) * total / requests) - passed
                if at >= last:
                    break
                number += 1
                yield max(first, at), make
            passed += last - first

    def _probe(self, link: LinkState) -> Arrivals:
        """Probe a link at a fixed interval, whatever the traffic."""
        every = round((link.link.probe_seconds or 60) * 1000)
        name = f"probe-{link.id}"
        matter = Matter(
            flow=name,
            portal=name,
            agency="monitoring",
            service="probe",
            observer=self._users[link.id][0],
            synthetic=True,
        )
        ids = self._ids("PROBE")

        def make(_at_ms: int) -> Dossier:
            id_, partition = next(ids)
            return Dossier(id_, partition, matter, (link,))

        for at in range(self._start_ms + every // 2, self._end_ms, every):
            yield at, make


def _numbered(prefix: str, partitions: int) -> Iterator[tuple[str, int]]:
    """Yield ids numbered from 1 with at least seven digits, each with its partition.

    A thousand ids share all but their last three digits, and the checksum of that part.
    """
    for thousands in count():
        head = f"{prefix}-{thousands:04d}"
        checksum = crc32(head.encode())
        for digits, encoded in _LAST_DIGITS if thousands else _LAST_DIGITS[1:]:
            yield head + digits, crc32(encoded, checksum) % partitions


def _daily_hours(start: int, end: int, from_hour: int, to_hour: int) -> list[tuple[int, int]]:
    """Return the spans ``[from_hour, to_hour)`` local time of the days, within ``[start, end)``."""
    hours = []
    for day in range(day_start_ms(start), end, DAY_MS):
        first, last = max(start, day + from_hour * _HOUR_MS), min(end, day + to_hour * _HOUR_MS)
        if first < last:
            hours.append((first, last))
    return hours
