"""Links as events, through meter and detector: what only events show. `python -m lab.event_regimes 70-75`.

Each *regime* is one link of some hours with full outages of one to five minutes, or with one service or
agency that fails wholly: lookups as portal and provider see them, retry storms, observers that restart, an
outage that lasts when the log ends. Every full outage ought to be found, with its edges and whose fault it
is, and nothing else; what is local ought to be named. Edges are compared with the true ones and with the
observable ones (`lab.observable`), of what is local by the requests that ask for it.
"""

import sys
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct, field
from rich.console import Console
from rich.table import Table

from lab.history_trials import p95
from lab.local_trials import BROKEN, LINK, NOISE, START_MS, revisions
from lab.observable import Edges, Errors, edges_of
from streams.measure.meter import Meter
from streams.model.canonical import final_outages
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.measurement import Measurement
from streams.model.outage import Outage
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS

HOURS: Final = 4.0
PARTITIONS: Final = 2
RATES: Final = {"1 in 5 s": 0.2, "1 a second": 1.0, "10 a second": 10.0, "20 a second": 20.0}
MOST_LOOKUPS: Final = 60_000
"""Histories of the busiest links are shorter."""
TRIES: Final = 4
_encode: Final = msgspec.json.Encoder().encode


class Regime(NamedTuple):
    """How lookups of a link end in trouble, and who sees it.

    ``outcome`` is the portal's (None: no answer comes). Where the provider records as well, ``provider`` is
    its outcome in trouble, None where the lookup never reaches it. What failed is asked again under a ``new``
    or the ``same`` id, as ``retries`` says. ``confined`` is whether only a service or an agency fails.
    ``blind_s`` is for how many seconds nothing is recorded each half hour.
    """

    outcome: str | None
    domain: str = "link"
    records: bool = False
    provider: str | None = None
    retries: str = ""
    confined: str = ""
    blind_s: float = 0.0
    open_at_end: bool = False


REGIMES: Final = {
    "provider errors, both sides": Regime(
        "provider_error", "provider", records=True, provider="provider_error"
    ),
    "provider times out, both sides": Regime("timeout", "provider", records=True, provider="timeout"),
    "line cut, provider sees nothing": Regime("timeout", records=True),
    "answers lost, provider answered": Regime(None, records=True, provider="ok"),
    "retry storm, new ids": Regime("timeout", retries="new"),
    "retry storm, same lookup_id": Regime("unreachable", retries="same"),
    "observers restart": Regime("reset", blind_s=20.0),
    "open at the end": Regime("timeout", open_at_end=True),
    "one service fails": Regime("timeout", confined="service"),
    "one agency fails": Regime("unreachable", confined="agency"),
}


class Fault(NamedTuple):
    """Trouble over ``[start_ms, end_ms)`` by request time."""

    start_ms: int
    end_ms: int


class Asked(NamedTuple):
    """One lookup of the portal: its time, names and outcome, and whether trouble hit it."""

    asked_ms: int
    lookup_id: str
    attempt: int
    service: str
    agency: str
    outcome: str | None
    took_ms: int
    hit: bool


class Tally(Struct):
    """The results of a regime's links; errors are in milliseconds."""

    due: int = 0
    found: int = 0
    named: int = 0
    false: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    true: Errors = field(default_factory=Errors)
    observable: Errors = field(default_factory=Errors)
    delays_ms: list[int] = field(default_factory=list)


def faults(rng: Random, regime: Regime, rate_per_s: float, end_ms: int) -> list[Fault]:
    """Return the faults: full outages, or confined ones that last long enough to be found."""
    least_s = max(600.0, 15 / (rate_per_s * 0.1)) if regime.confined else max(60.0, 12 / rate_per_s)
    found, at_ms = [], START_MS + 1_800_000
    while True:
        at_ms += rng.randrange(300_000, 1_200_000)
        until_ms = at_ms + round(1000 * (least_s + rng.random() * 240))
        if until_ms > end_ms - 1_200_000:
            break
        found.append(Fault(at_ms, until_ms))
        at_ms = until_ms + round(20_000 / rate_per_s)
    return [*found, Fault(end_ms - 600_000, end_ms)] if regime.open_at_end else found


def lookups(
    rng: Random, regime: Regime, rate_per_s: float, trouble: Sequence[Fault], end_ms: int
) -> Iterator[Asked]:
    """Yield the portal's lookups: a Poisson process and its retries."""
    at_ms, number = float(START_MS), 0
    while (at_ms := at_ms + rng.expovariate(rate_per_s / 1000)) < end_ms:
        number += 1
        names = {
            "service": f"service-{int(25 * rng.random() ** 2)}",
            "agency": f"agency-{int(40 * rng.random() ** 2)}",
        }
        if regime.confined and rng.random() < 0.1:
            names[regime.confined] = BROKEN
        asked_ms, name = round(at_ms), f"l{number}"
        for attempt in range(1, 1 + (TRIES if regime.retries else 1)):
            hit = any(one.start_ms <= asked_ms < one.end_ms for one in trouble)
            hit = hit and (not regime.confined or names[regime.confined] == BROKEN)
            outcome: str | None = "ok"
            if hit:
                outcome = regime.outcome
            elif rng.random() < NOISE:
                outcome = rng.choice(("timeout", "reset", None))
            took_ms = 10_000 if outcome == "timeout" else round(rng.lognormvariate(5, 0.5)) + 1
            yield Asked(asked_ms, name, attempt, names["service"], names["agency"], outcome, took_ms, hit)
            if outcome == "ok" or not regime.retries:
                break
            asked_ms += took_ms + rng.randrange(1_000, 3_000)
            name = f"{name}-again" if regime.retries == "new" else name
            if asked_ms >= end_ms:
                break


def measured(regime: Regime, asked: Sequence[Asked], end_ms: int) -> list[Measurement]:
    """Return the measurements of what portal and provider record, in the order of their watermarks."""
    logs: list[list[tuple[int, bytes]]] = [[] for _ in range(PARTITIONS)]
    for number, one in enumerate(asked):
        common: dict[str, Any]
        log = logs[hash_of(one.lookup_id) % PARTITIONS]
        sides: list[tuple[str, str | None, int, int]] = [("portal", one.outcome, 0, one.took_ms)]
        seen = regime.provider if one.hit else one.outcome
        if regime.records and seen is not None:
            sides.append(("provider", seen, 20, max(one.took_ms - 40, 1)))
        for observer, outcome, after_ms, took_ms in sides:
            common = {
                "lookup_id": one.lookup_id,
                "dossier_id": one.lookup_id.split("-", maxsplit=1)[0],
                "link": LINK,
                "agency": one.agency,
                "service": one.service,
                "attempt": one.attempt,
                "observer": observer,
            }
            at_ms = one.asked_ms + after_ms
            request = LookupRequested(event_id=f"q{number}{observer}", occurred_at_ms=at_ms, **common)
            log.append((at_ms, _encode(request)))
            if outcome is not None:
                done = LookupCompleted(
                    event_id=f"c{number}{observer}",
                    occurred_at_ms=at_ms + took_ms,
                    outcome=outcome,  # type: ignore[arg-type]  # from the regimes above
                    **common,
                )
                log.append((at_ms + took_ms, _encode(done)))
    made = []
    for partition, log in enumerate(logs):
        beats = range(START_MS, end_ms, 1_000)
        log += [(at, _encode(Heartbeat(at, "portal", [LINK], interval_ms=1_000))) for at in beats]
        kept = sorted(entry for entry in log if not is_blind(regime, entry[0]) and entry[0] < end_ms)
        meter = Meter(LOOKUPS, partition, MeasureSettings())
        meter.feed([(offset, at, None, value) for offset, (at, value) in enumerate(kept)])
        made += meter.measurements
    return sorted(made, key=lambda one: (one.watermark_ms, one.source.partition))


def hash_of(text: str) -> int:
    """Return a number that is the same in every process."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text.split("-", maxsplit=1)[0]))


def is_blind(regime: Regime, at_ms: int) -> bool:
    """Return whether the observers are restarting at a time, so that nothing is recorded."""
    return (at_ms - START_MS) % 1_800_000 < 1000 * regime.blind_s


def add(
    tally: Tally,
    label: str,
    regime: Regime,
    trouble: Sequence[Fault],
    asked: Sequence[Asked],
    told: Sequence[Outage],
    end_ms: int,
) -> None:
    """Add one link to a tally."""
    final = final_outages(told)
    first = {one.outage_id: one.detected_at_ms for one in told if one.revision == 1}
    kind, record = "degraded" if regime.confined else "down", on_record(regime, asked)
    for fault in trouble:
        hits = [one for one in asked if one.hit and fault.start_ms <= one.asked_ms < fault.end_ms]
        seen = [one for one in hits if not is_blind(regime, one.asked_ms)]
        if not seen:
            continue
        tally.due += 1
        met = [one for one in final if one.kind == kind and meets(one, *fault)]
        if not met:
            at_s = (fault.start_ms - START_MS) // 1000
            kinds = [one.kind for one in final if meets(one, *fault)]
            tally.missed.append(f"{label}: {at_s} s, {len(seen)} failures, told as {kinds}")
            continue
        tally.found += 1
        to = met[0].confined_to
        if regime.confined:
            names = [] if to is None else to.services if regime.confined == "service" else to.agencies
            tally.named += names == [BROKEN]
        else:
            tally.named += to is None and met[0].fault_domain == regime.domain
        known = min(one.asked_ms + (30_000 if one.outcome is None else one.took_ms) for one in seen)
        tally.delays_ms.append(first[met[0].outage_id] - known)
        found = Edges(met[0].start_ms, met[-1].end_ms)
        tally.true.add(found, Edges(fault.start_ms, fault.end_ms if fault.end_ms < end_ms else None))
        tally.observable.add(found, edges_of(*record, *fault))
    for one in final:
        if not any(meets(one, start_ms - 60_000, until_ms + 1_000) for start_ms, until_ms in trouble):
            at_s = (one.start_ms - START_MS) // 1000
            tally.false.append(f"{label}: {one.kind} at {at_s} s, {one.failures} of {one.attempts}")


def on_record(regime: Regime, asked: Sequence[Asked]) -> tuple[list[int], list[int]]:
    """Return when requests were asked that are on record as failed, and those on record as answered.

    Where trouble is confined, only requests that ask for it count.
    """
    mine = [one for one in asked if not regime.confined or BROKEN in (one.service, one.agency)]
    mine = [one for one in mine if not is_blind(regime, one.asked_ms)]
    answered = [
        one.asked_ms
        for one in mine
        if one.outcome == "ok" and not is_blind(regime, one.asked_ms + one.took_ms)
    ]
    well = set(answered)
    return sorted(one.asked_ms for one in mine if one.asked_ms not in well), sorted(answered)


def meets(outage: Outage, start_ms: int, end_ms: int) -> bool:
    """Return whether an outage overlaps a span."""
    return outage.start_ms < end_ms and (outage.end_ms is None or outage.end_ms > start_ms)


def run(name: str, rate: str, seeds: range) -> Tally:
    """Return the results of a regime at a rate, with one link per seed."""
    regime, rate_per_s, tally = REGIMES[name], RATES[rate], Tally()
    for seed in seeds:
        rng = Random(f"{seed}/{name}/{rate}")  # noqa: S311 - a history, no secret
        hours = min(HOURS if rate_per_s >= 1 else 4 * HOURS, MOST_LOOKUPS / rate_per_s / 3600)
        end_ms = START_MS + round(hours * 3_600_000)
        trouble = faults(rng, regime, rate_per_s, end_ms)
        asked = list(lookups(rng, regime, rate_per_s, trouble, end_ms))
        told = revisions(measured(regime, asked, end_ms), PARTITIONS)
        add(tally, f"{name}, {rate} ({seed})", regime, trouble, asked, told, end_ms)
    return tally


def main(seeds: range, names: Sequence[str], rates: Sequence[str]) -> None:
    """Print the results of each regime at each rate."""
    console = Console(width=150)
    columns = ("regime", "lookups", "found", "domain or name right", "false", "start p95 (s)", "end p95 (s)")
    edges = ("start, observable", "end, observable")
    shown, lines = Table(*columns, *edges, "delay p95 (s)"), []
    for name in names:
        for rate in rates:
            one = run(name, rate, seeds)
            errors = (each for of in (one.true, one.observable) for each in (of.starts_ms, of.ends_ms))
            times = [f"{p95(of):.1f}" for of in (*errors, one.delays_ms)]
            counts = f"{one.found} of {one.due}", f"{one.named} of {one.found}", str(len(one.false))
            shown.add_row(name, rate, *counts, *times)
            Console(stderr=True).print(name, rate, *counts, *times, *one.false, *one.missed, highlight=False)
            lines += [*(f"false: {line}" for line in one.false), *(f"missed: {line}" for line in one.missed)]
    console.print(shown)
    for line in lines:
        console.print(line, highlight=False)


if __name__ == "__main__":
    _first, _, _last = (sys.argv[1] if len(sys.argv) > 1 else "1-2").partition("-")
    _names = [sys.argv[2]] if len(sys.argv) > 2 and sys.argv[2] != "all" else list(REGIMES)
    main(range(int(_first), int(_last)), _names, sys.argv[3:] or list(RATES))
