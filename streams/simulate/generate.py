"""A run: a scenario of a city, a seed and a scale, turned into records and the truth about them."""

from collections import defaultdict
from collections.abc import Iterator
from heapq import merge
from itertools import chain

from streams.model.record import Record
from streams.simulate.account import catalogue_counters, figure_results, settle
from streams.simulate.broker import BrokerOrder, Entry
from streams.simulate.city import Catalogue, Fault, Scenario, epoch_ms
from streams.simulate.draw import seeded
from streams.simulate.engine import Engine
from streams.simulate.faults import Spell, Window, by_chance, on_paper, planned, spells_of, true_fault
from streams.simulate.links import LOOKUP_TIMEOUT_MS, LinkState
from streams.simulate.observers import Observers
from streams.simulate.truth import TrueFault, Truth
from streams.simulate.workload import Workload, links_in_use


class Run:
    """One run. `records` or `lines` yields the log, once; `truth` is complete when it has been read."""

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
        partitions = partitions or scenario.partitions
        self.start_ms, self.end_ms = epoch_ms(scenario.start), epoch_ms(scenario.end)
        self._portals = {portal.id: portal for portal in catalogue.portals}
        self._states = {
            link.id: LinkState(link, seeded(self.seed, f"link/{link.id}"))
            for link in links_in_use(catalogue, scenario)
        }
        self._general: list[TrueFault] = []
        self._blind: dict[str, list[Window]] = {}
        self._silent: dict[str, list[Window]] = {}
        self._lay_faults()
        self._counters = defaultdict(int, catalogue_counters(catalogue))
        self._broker = BrokerOrder(scenario.transport, partitions, seeded(self.seed, "transport"))
        self._engine = Engine(
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            broker=self._broker,
            observers=Observers(
                [self._states[name] for name in sorted(self._states)],
                self._blind,
                self.start_ms,
                self.end_ms,
                scenario.heartbeat_interval_ms,
            ),
            patience=scenario.patience,
            rng=seeded(self.seed, "engine"),
            silent=self._silent,
            counters=self._counters,
        )
        self._workload = Workload(
            catalogue,
            scenario,
            self._states,
            seed=self.seed,
            scale=scale,
            partitions=partitions,
            counters=self._counters,
        )

    def records(self) -> Iterator[Record]:
        """Yield the log in broker order; offsets of each partition ascend from 0 without a gap."""
        return chain.from_iterable(map(self._broker.records, self._log()))

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the log as lines of a log file, in pieces, each with the log time that it reaches."""
        for entries in self._log():
            yield entries[-1][0], self._broker.lines(entries)

    def _log(self) -> Iterator[list[Entry]]:
        return self._engine.run(merge(*self._workload.streams(), key=lambda arrival: arrival[0]))

    def truth(self) -> Truth:
        """Return the account of the run."""
        states = [self._states[name] for name in sorted(self._states)]
        counters = {name: self._counters[name] for name in sorted(self._counters)}
        return Truth(
            scenario=self.scenario.name,
            seed=self.seed,
            scale=self.scale,
            timezone="Asia/Ho_Chi_Minh",
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            lookup_timeout_ms=LOOKUP_TIMEOUT_MS,
            links=[state.totals() for state in states],
            faults=settle(self._general, states),
            records=self._broker.counts(),
            counters=counters,
            figures=figure_results(self.scenario.figures, counters, self.scale),
        )

    def _lay_faults(self) -> None:
        faults: dict[str, list[TrueFault]] = {name: [] for name in self._states}
        spells: dict[str, list[Spell]] = {name: [] for name in self._states}
        holds: dict[str, list[tuple[int, int]]] = {name: [] for name in self._states}
        laid = list(planned(self.scenario.faults))
        for process in self.scenario.fault_processes:
            laid += by_chance(process, self.start_ms, self.end_ms, self.seed)
        for name, state in self._states.items():
            if state.link.state == "unconnected":
                laid.append((on_paper(name), self.start_ms, self.end_ms))
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
            state.lay(faults[name], spells[name], holds[name])

    def _lay_general(self, fault: Fault, start: int, end: int) -> None:
        """Lay a silence or a blindness over portals and all their links."""
        for portal in fault.portals:
            links = {*self._portals[portal].lookups.values()}
            links |= {flow.access for flow in self.scenario.flows if flow.portal == portal and flow.access}
            names = sorted(links & self._states.keys())
            self._general += [true_fault(fault, name, start, end) for name in names]
            if fault.effect == "silence":
                self._silent.setdefault(portal, []).append(Window(start, end))
            else:
                for name in (portal, *names):
                    self._blind.setdefault(name, []).append(Window(start, end))
