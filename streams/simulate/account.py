"""The account of a run: what each fault did, and the calibration figures."""

from collections.abc import Sequence
from math import sqrt
from typing import Final

from streams.simulate.city import Catalogue
from streams.simulate.faults.causes import CAUSES
from streams.simulate.load.links import LinkState
from streams.simulate.scenario import Figure
from streams.simulate.truth import FigureResult, TrueFault

_SET: Final = ("received/", "catalogue/", "applicants/")
"""Counters that the scenario itself sets: how many people come, who they are, what the catalogue holds."""
_SHORTEST_MS: Final = 10_000
_FEWEST: Final = 5
"""An overload that is shorter than this, or fails fewer requests, does not count as an outage."""


def settle(states: Sequence[LinkState]) -> list[TrueFault]:
    """Return all faults in order of time, with the services and agencies hit, and their final kind."""
    faults: list[TrueFault] = []
    for state in states:
        for overload in state.overloads:
            truth = overload.truth
            truth.outage = truth.end_ms - truth.start_ms >= _SHORTEST_MS and truth.failures >= _FEWEST
            truth.services, truth.agencies = sorted(overload.services), sorted(overload.agencies)
            faults.append(truth)
        spell_of = {id(spell.truth): spell for spell in state.spells}
        for fault in state.faults:
            spell = spell_of.get(id(fault))
            if spell is not None:
                fault.services = sorted(spell.hit_services)
                fault.agencies = sorted(spell.hit_agencies)
            faults.append(fault)
    for fault in faults:
        _judge(fault)
    return sorted(faults, key=lambda fault: (fault.start_ms, fault.fault_id, fault.link))


def _judge(fault: TrueFault) -> None:
    """Set a fault's final kind: down if at least half of the attempts failed."""
    if not fault.attempts:
        return
    fault.share_of_attempts = round(fault.failures / fault.attempts, 4)
    if CAUSES[fault.cause].kind == "fails" and fault.failures:
        fault.kind = "down" if 2 * fault.failures >= fault.attempts else "degraded"


def catalogue_counters(catalogue: Catalogue) -> dict[str, int]:
    """Return counters of the catalogue's services (all, by group, full-process) and agencies."""
    counters: dict[str, int] = {}
    for group in catalogue.services:
        services = group.all()
        full = sum(service.level == "full" for service in services)
        counters[f"catalogue/{group.id}"] = len(services) + len(group.members)
        counters["catalogue/services"] = counters.get("catalogue/services", 0) + len(services)
        counters["catalogue/full-process"] = counters.get("catalogue/full-process", 0) + full
    for agencies in catalogue.agencies:
        counters[f"catalogue/{agencies.id}"] = len(agencies.ids())
    return counters


def figure_results(figures: Sequence[Figure], counters: dict[str, int], scale: float) -> list[FigureResult]:
    """Return each figure compared with the run's counters."""
    results = []
    for figure in figures:
        counted = sum(counters.get(name, 0) for name in figure.counters)
        if figure.among and figure.total:
            among = sum(counters.get(name, 0) for name in figure.among)
            simulated = round(figure.total * counted / among) if among else 0
            share = counted / among if among else 0.0
            # With few applicants a share is uncertain: up to three standard errors do not count as a miss.
            bound = max(figure.bound, 3 * sqrt((1 - share) / max(counted, 1)))
        else:
            simulated, bound = counted, figure.bound
        expected = figure.reported * (scale if figure.scaled else 1) * figure.sampled
        difference = simulated / expected - 1
        needs_all = not figure.scaled and not figure.among and scale < 1
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
                bound=round(bound, 6),
                within=None if needs_all else abs(difference) <= bound,
                note=figure.note,
                made="input" if all(name.startswith(_SET) for name in figure.counters) else "result",
            )
        )
    return results
