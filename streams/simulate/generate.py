"""A run: a scenario of a city, a seed and a scale, turned into records and the truth about them."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import accumulate
from random import Random
from typing import Final

from msgspec.structs import replace

from streams.model.record import Record
from streams.simulate.broker import BrokerOrder, partition_of
from streams.simulate.city import FAILING, Batch, Catalogue, Fault, Flow, Link, Portal, Scenario, epoch_ms
from streams.simulate.dossier import Dossier
from streams.simulate.draw import lognormal, seeded
from streams.simulate.engine import LOOKUP_TIMEOUT_MS, Arrivals, Engine
from streams.simulate.faults import Spell, Window, by_chance, planned, spells_of, true_fault
from streams.simulate.links import LinkState
from streams.simulate.timetable import BIN_MS, Timetable
from streams.simulate.truth import FigureResult, TrueFault, Truth

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_UTC_OFFSET_MS: Final = 7 * _HOUR_MS
_MIN_ATTEMPTS_TO_JUDGE: Final = 10


class Run:
    """One run. `records` yields the log once; `truth` is complete when it has been read to its end."""

    def __init__(
        self,
        catalogue: Catalogue,
        scenario: Scenario,
        *,
        seed: int | None = None,
        scale: float = 1.0,
        partitions: int | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.scale = scale
        self.partitions = partitions or scenario.partitions
        self.start_ms, self.end_ms = epoch_ms(scenario.start), epoch_ms(scenario.end)
        self._catalogue = catalogue
        self._portals = {portal.id: portal for portal in catalogue.portals}
        self._services = {s.id: s for group in catalogue.services for s in group.all()}
        self._agencies = {group.id: group.ids() for group in catalogue.agencies}
        self._states = {
            link.id: LinkState(link, seeded(self.seed, f"link/{link.id}"))
            for link in self._links_in_use(catalogue)
        }
        self._general: list[TrueFault] = []
        self._blind: dict[str, list[Window]] = {}
        self._silent: dict[str, list[Window]] = {}
        self._lay_faults()
        self._numbers: dict[str, int] = {}
        self._broker = BrokerOrder(scenario.transport, self.partitions, seeded(self.seed, "transport"))
        self._engine = Engine(
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            broker=self._broker,
            links=[self._states[name] for name in sorted(self._states)],
            patience=scenario.patience,
            holidays=scenario.holidays,
            rng=seeded(self.seed, "engine"),
            blind=self._blind,
            silent=self._silent,
            heartbeat_interval_ms=scenario.heartbeat_interval_ms,
        )

    def records(self) -> Iterator[Record]:
        """Yield the log in broker order; offsets of each partition ascend from 0 without a gap."""
        yield from self._engine.run(merge(*self._arrivals(), key=lambda arrival: arrival[0]))

    # -- what is asked ------------------------------------------------------------------------------

    def _links_in_use(self, catalogue: Catalogue) -> list[Link]:
        scenario = self.scenario
        used = {*scenario.probes, *(batch.link for batch in scenario.batches)}
        for flow in scenario.flows:
            lookups = self._portals[flow.portal].lookups
            roles = {"signin", "cmnd", *flow.extra_lookups} & lookups.keys()
            if not flow.submits:
                roles = set(flow.extra_lookups)
            for service in flow.services:
                roles |= {*self._services[service].lookups, *self._services[service].settling}
            used |= {lookups[role] for role in roles}
            if flow.access:
                used.add(flow.access)
        views = scenario.provider_views
        links = [link for link in catalogue.links if link.id in used]
        return links if views else [replace(link, provider_view=False) for link in links]

    def _arrivals(self) -> list[Arrivals]:
        """Return the streams of what comes, each in order of time."""
        scenario = self.scenario
        streams = [self._flow(flow) for flow in scenario.flows]
        streams += [self._batch(batch) for batch in scenario.batches]
        streams += [self._probe(self._states[name]) for name in scenario.probes]
        return streams

    def _flow(self, flow: Flow) -> Arrivals:
        rng = seeded(self.seed, f"flow/{flow.id}")
        table = Timetable(flow.timetable, self.start_ms, self.end_ms, self.scenario.holidays, flow.peaks)
        by_bin = table.draw(max(1, round(flow.count * self.scale)), rng)
        make = self._maker(flow, rng)
        for start in sorted(by_bin):
            first, last = max(start, self.start_ms), min(start + BIN_MS, self.end_ms)
            for at in sorted(first + int(rng.random() * (last - first)) for _ in range(by_bin[start])):
                yield at, make

    def _maker(self, flow: Flow, rng: Random) -> Callable[[], Dossier]:
        """Return what makes one dossier of a flow, its applicant and path drawn anew each time."""
        portal, people = self._portals[flow.portal], self.scenario.people
        names, cumulative = list(flow.services), list(accumulate(flow.services.values()))
        agencies = self._agencies[flow.agencies]
        plans = {
            (name, signs_in, old_number): self._plan(flow, portal, name, signs_in, old_number)
            for name in names
            for signs_in in (False, True)
            for old_number in (False, True)
        }
        after = {name: self._links(portal, self._services[name].settling) for name in names}
        settling = {name: lognormal(self._services[name].settling_hours * _HOUR_MS, 0.7) for name in names}
        ecopy = frozenset({portal.lookups[role] for role in ("ecopy",) if role in portal.lookups})
        tails: dict[tuple[str, str], str] = {}
        random = rng.random
        count = self._engine.count

        def make() -> Dossier:
            service = names[bisect_right(cumulative, random() * cumulative[-1])]
            agency = agencies[int(random() * random() * len(agencies))]
            account = flow.submits and random() < people.vneid_account
            old_number = flow.submits and random() < people.cmnd_9_digits
            dossier = self._dossier(portal.prefix, flow.id, portal.id, agency, service)
            dossier.plan = plans[service, account, old_number]
            dossier.settling, dossier.settling_table = after[service], settling[service]
            dossier.submits = flow.submits
            dossier.aim = "access" if flow.access else "lookups"
            if account and random() < people.vneid_level_2:
                count("applicants/vneid-level-2")
            if ecopy and random() >= people.vneid_in_portal:
                dossier.denied_links = ecopy
            tail = tails.get((agency, service))
            if tail is None:
                tail = tails[agency, service] = (
                    f'"portal":"{portal.id}","agency":"{agency}","service":"{service}",'
                    f'"channel":"{flow.channel}"'
                )
            dossier.submission_tail = tail
            return dossier

        return make

    def _dossier(self, prefix: str, flow: str, portal: str, agency: str, service: str) -> Dossier:
        number = self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        id_ = f"{prefix}-{number:07d}"
        key = id_.encode()
        return Dossier(
            id_=id_,
            key=key,
            partition=partition_of(key, self.partitions),
            flow=flow,
            portal=portal,
            agency=agency,
            service=service,
            plan=(),
        )

    def _plan(
        self, flow: Flow, portal: Portal, service: str, signs_in: bool, old_number: bool
    ) -> tuple[LinkState, ...]:
        roles = list(self._services[service].lookups) if flow.submits else []
        roles += flow.extra_lookups
        if signs_in and "signin" in portal.lookups:
            roles.insert(0, "signin")
        if old_number and "cmnd" in portal.lookups and "identity" in roles:
            roles.insert(roles.index("identity"), "cmnd")
        access = (self._states[flow.access],) if flow.access else ()
        return access + self._links(portal, roles)

    def _links(self, portal: Portal, roles: list[str]) -> tuple[LinkState, ...]:
        return tuple(self._states[portal.lookups[role]] for role in roles)

    def _batch(self, batch: Batch) -> Arrivals:
        """Spread the batch's requests evenly over its hours."""
        rng = seeded(self.seed, f"batch/{batch.id}")
        requests = max(1, round(batch.records * self.scale / batch.per_request))
        start, end = max(self.start_ms, epoch_ms(batch.start)), min(self.end_ms, epoch_ms(batch.end))
        hours = _daily_hours(start, end, batch.from_hour, batch.to_hour)
        total = sum(last - first for first, last in hours)
        plan = (self._states[batch.link],)

        def make() -> Dossier:
            dossier = self._dossier("BATCH", batch.id, batch.id, batch.agency, batch.service)
            dossier.plan, dossier.weight, dossier.records = plan, batch.weight, batch.per_request
            return dossier

        offset, passed = 0, 0
        for first, last in hours:
            while offset < requests:
                at = first + int((offset + rng.random()) * total / requests) - passed
                if at >= last:
                    break
                offset += 1
                yield max(first, at), make
            passed += last - first

    def _probe(self, link: LinkState) -> Arrivals:
        """Ask a link at a fixed interval, whatever the traffic."""
        every = round((link.link.probe_seconds or 60) * 1000)
        plan = (link,)

        def make() -> Dossier:
            dossier = self._dossier("PROBE", f"probe-{link.id}", f"probe-{link.id}", "monitoring", "probe")
            dossier.plan, dossier.synthetic = plan, True
            return dossier

        for at in range(self.start_ms + every // 2, self.end_ms, every):
            yield at, make

    # -- what goes wrong ----------------------------------------------------------------------------

    def _lay_faults(self) -> None:
        faults: dict[str, list[TrueFault]] = {name: [] for name in self._states}
        spells: dict[str, list[Spell]] = {name: [] for name in self._states}
        holds: dict[str, list[tuple[int, int]]] = {name: [] for name in self._states}
        scenario = self.scenario
        laid = list(planned(scenario.faults))
        for process in scenario.fault_processes:
            laid += by_chance(process, self.start_ms, self.end_ms, self.seed)
        for fault, start, end in laid:
            if fault.effect in ("silence", "blindness"):
                self._lay_general(fault, start, end)
                continue
            for name in fault.links:
                if name not in self._states:
                    continue
                truth = true_fault(fault, name, start, end)
                faults[name].append(truth)
                if fault.effect == "maintenance":
                    holds[name].append((start, end))
                else:
                    spells[name] += spells_of(fault, truth, seeded(self.seed, f"spells/{fault.id}/{name}"))
        for name, state in self._states.items():
            if state.link.state == "unconnected":
                paper = _on_paper(name, (self.end_ms - self.start_ms) / 60_000)
                truth = true_fault(paper, name, self.start_ms, self.end_ms)
                faults[name].append(truth)
                spells[name] += spells_of(paper, truth, seeded(self.seed, "paper"))
            state.lay(faults[name], spells[name], holds[name])

    def _lay_general(self, fault: Fault, start: int, end: int) -> None:
        """Lay a silence or a blindness over portals and all their links."""
        for portal in fault.portals:
            links = sorted({*self._portals[portal].lookups.values()} & self._states.keys())
            links += [f.access for f in self.scenario.flows if f.portal == portal and f.access]
            truths = {name: true_fault(fault, name, start, end) for name in links}
            self._general += truths.values()
            if fault.effect == "silence":
                self._silent.setdefault(portal, []).append(Window(start, end))
            else:
                for name in (portal, *truths):
                    self._blind.setdefault(name, []).append(Window(start, end))

    # -- the account --------------------------------------------------------------------------------

    def truth(self) -> Truth:
        """Return the account of the run."""
        faults = list(self._general)
        for state in self._states.values():
            for overload in state.overloads:
                overload.truth.services = sorted(overload.services)
                overload.truth.agencies = sorted(overload.agencies)
                faults.append(overload.truth)
            hit = {id(spell.truth): spell for spell in state.spells}
            for fault in state.faults:
                spell = hit.get(id(fault))
                if spell is not None:
                    fault.services = sorted(spell.hit_services)
                    fault.agencies = sorted(spell.hit_agencies)
                faults.append(fault)
        for fault in faults:
            _judge(fault)
        counters = {name: self._engine.counters[name] for name in sorted(self._engine.counters)}
        return Truth(
            scenario=self.scenario.name,
            seed=self.seed,
            scale=self.scale,
            timezone="Asia/Ho_Chi_Minh",
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            lookup_timeout_ms=LOOKUP_TIMEOUT_MS,
            links=[self._states[name].totals for name in sorted(self._states)],
            faults=sorted(faults, key=lambda fault: (fault.start_ms, fault.fault_id, fault.link)),
            records=dict(self._broker.counts),
            counters=counters,
            figures=self._figures(counters),
        )

    def _figures(self, counters: dict[str, int]) -> list[FigureResult]:
        results = []
        for figure in self.scenario.figures:
            expected = figure.reported * (self.scale if figure.scaled else 1) * figure.sampled
            simulated = sum(counters.get(name, 0) for name in figure.counters)
            difference = simulated / expected - 1
            results.append(
                FigureResult(
                    id=figure.id,
                    system=figure.system,
                    what_vi=figure.what.vi,
                    what_en=figure.what.en,
                    source=figure.source,
                    reported=figure.reported,
                    expected=expected,
                    simulated=simulated,
                    difference=round(difference, 6),
                    bound=figure.bound,
                    within=abs(difference) <= figure.bound,
                    note=figure.note,
                )
            )
        return results


def _on_paper(link: str, minutes: float) -> Fault:
    return Fault(
        id=f"on-paper-{link}",
        effect="unreachable",
        start="1970-01-01T07:00",
        minutes=minutes,
        links=[link],
        cause="the link exists on paper only",
    )


def _judge(fault: TrueFault) -> None:
    """Settle a fault's kind by what it did: down is where at least half of the attempts failed."""
    if not fault.attempts:
        return
    fault.share_of_attempts = round(fault.failures / fault.attempts, 4)
    if fault.effect in FAILING and fault.attempts >= _MIN_ATTEMPTS_TO_JUDGE:
        fault.kind = "down" if 2 * fault.failures >= fault.attempts else "degraded"


def _daily_hours(start: int, end: int, from_hour: int, to_hour: int) -> list[tuple[int, int]]:
    """Return the stretches ``[from_hour, to_hour)`` local of the days within ``[start, end)``."""
    hours = []
    day = start - (start + _UTC_OFFSET_MS) % _DAY_MS
    while day < end:
        first, last = max(start, day + from_hour * _HOUR_MS), min(end, day + to_hour * _HOUR_MS)
        if first < last:
            hours.append((first, last))
        day += _DAY_MS
    return hours
