"""A run: turns a scenario of a city, a seed and a scale into records and the truth about them."""

from collections import defaultdict
from collections.abc import Iterator
from heapq import merge
from itertools import chain

from streams.model.record import Record
from streams.simulate.account import catalogue_counters, figure_results, settle
from streams.simulate.broker import BrokerOrder, Entry
from streams.simulate.city import Catalogue
from streams.simulate.draw import seeded
from streams.simulate.engine import Engine
from streams.simulate.faults.causes import OF_PORTALS
from streams.simulate.faults.laying import (
    Laid,
    Spell,
    Window,
    end_on,
    on_paper,
    planned,
    spells_of,
    true_fault,
)
from streams.simulate.faults.processes import by_chance
from streams.simulate.load.links import LOOKUP_TIMEOUT_MS, LinkState
from streams.simulate.observers import Clock, Observers
from streams.simulate.scenario import Fault, Scenario, epoch_ms
from streams.simulate.truth import TrueFault, Truth
from streams.simulate.workload import Workload, links_in_use, users_of


class Run:
    """One run. Order of calls: read all of `records` or of `lines`, once; then `truth` is complete."""

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
        self._states = {
            link.id: LinkState(link, seeded(self.seed, f"{scenario.name}/link/{link.id}"))
            for link in links_in_use(catalogue, scenario)
        }
        self._users = users_of(catalogue, scenario, self._states)
        self._blind: dict[str, list[Window]] = {}
        self._silent: dict[str, list[Window]] = {}
        self._lay_faults()
        self._counters = defaultdict(int, catalogue_counters(catalogue))
        self._broker = BrokerOrder(
            scenario.transport, partitions, seeded(self.seed, f"{scenario.name}/transport")
        )
        self._engine = Engine(
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            broker=self._broker,
            observers=Observers(
                [self._states[name] for name in sorted(self._states)],
                self._blind,
                self._users,
                self.start_ms,
                self.end_ms,
                scenario.heartbeat_interval_ms,
            ),
            patience=scenario.patience,
            rng=seeded(self.seed, f"{scenario.name}/engine"),
            silent=self._silent,
            counters=self._counters,
            clocks={
                name: Clock(scenario.clocks, seeded(self.seed, f"{scenario.name}/clock/{name}"))
                for name in sorted(
                    {*self._states, *(user for users in self._users.values() for user in users)}
                )
            },
        )
        self._workload = Workload(
            catalogue,
            scenario,
            self._states,
            self._users,
            seed=self.seed,
            scale=scale,
            partitions=partitions,
            counters=self._counters,
        )

    def records(self) -> Iterator[Record]:
        """Yield the log in broker order; the offsets of each partition count up from 0 without a gap."""
        return chain.from_iterable(map(self._broker.records, self._log()))

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the log as pieces of a log file, each with its last log time."""
        for entries in self._log():
            yield entries[-1][0], self._broker.lines(entries)

    def _log(self) -> Iterator[list[Entry]]:
        return self._engine.run(merge(*self._workload.streams(), key=lambda arrival: arrival[0]))

    def truth(self) -> Truth:
        """Return what really happened in the run. Call it after the whole log was read."""
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
            faults=settle(states),
            records=self._broker.counts(),
            counters=counters,
            figures=figure_results(self.scenario.figures, counters, self.scale),
        )

    def _lay_faults(self) -> None:
        faults: dict[str, list[TrueFault]] = {name: [] for name in self._states}
        spells: dict[str, list[Spell]] = {name: [] for name in self._states}
        holds: dict[str, list[tuple[int, int]]] = {name: [] for name in self._states}
        for fault, start, end in self._laid():
            if fault.cause in OF_PORTALS:
                self._lay_general(fault, start, end, faults)
                continue
            for name in fault.links:
                if name not in self._states:
                    continue
                truth = true_fault(fault, name, start, max(start + 1, end_on(fault, name, end)))
                faults[name].append(truth)
                if fault.cause == "maintenance":
                    holds[name].append((start, end))
                else:
                    rng = seeded(self.seed, f"{self.scenario.name}/spells/{fault.id}/{name}")
                    spells[name] += spells_of(fault, truth, rng)
        for name, state in self._states.items():
            state.lay(faults[name], spells[name], holds[name])

    def _laid(self) -> Iterator[Laid]:
        """Yield every fault of the run with its window."""
        yield from planned(self.scenario.faults)
        for process in self.scenario.fault_processes:
            yield from by_chance(process, self.start_ms, self.end_ms, self.seed, self.scenario.name)
        for name, state in self._states.items():
            if state.link.state == "unconnected":
                yield on_paper(name), self.start_ms, self.end_ms

    def _lay_general(self, fault: Fault, start: int, end: int, faults: dict[str, list[TrueFault]]) -> None:
        """Apply a silence or a blind observer to portals and all the links that they use."""
        windows = self._silent if fault.cause == "silence" else self._blind
        for portal in fault.portals:
            windows.setdefault(portal, []).append(Window(start, end))
            for name, users in self._users.items():
                if portal in users:
                    truth = true_fault(fault, name, start, end)
                    truth.portal = portal
                    faults[name].append(truth)
