"""Trials of local trouble: how soon it is found, how precisely, and what is called local wrongly.

`python -m lab.local_trials [TRIALS [RATES]]` draws histories of one link in which a service or an agency with
a share of the lookups fails wholly for as long as 15 of its lookups take, ten minutes at least. `quiet HOURS
FIRST-LAST` draws histories with nothing but failures by chance, and `troubled HOURS FIRST-LAST` such with
full outages of 5 s to 20 min and failures in part. Events go through the meters of several partitions.
"""

import sys
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from streams.detect.detector import Detector
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.measure.meter import Meter
from streams.model.canonical import final_outages
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.measurement import Measurement
from streams.model.outage import Outage
from streams.model.settings import DetectSettings, MeasureSettings
from streams.model.topics import LOOKUPS
from streams.simulate.draw import seeded

START_MS: Final = 1_700_000_100_000
LINK: Final = "portal > npd"
BROKEN: Final = "broken"
SHARES: Final = (0.02, 0.05, 0.1, 0.3)
RATES: Final = (0.2, 1.0, 5.0, 20.0)
OUTCOMES: Final = ("unreachable", "timeout", None)
NOISE: Final = 0.03
_encode: Final = msgspec.json.Encoder().encode


class Fault(NamedTuple):
    """From ``start_s`` to ``end_s`` a share of the lookups of ``kind`` (or of all) ends with ``outcome``."""

    start_s: float
    end_s: float
    kind: str
    outcome: str | None
    share: float = 1.0


class Lookup(NamedTuple):
    """One lookup: when it was asked, of what, and how it ended."""

    asked_ms: int
    service: str
    agency: str
    outcome: str | None


def lookups(
    rng: Random, rate_per_s: float, seconds: float, faults: list[Fault], share: float
) -> Iterator[Lookup]:
    """Yield Poisson lookups; `BROKEN` gets ``share`` of them in kinds with faults, the others are skewed."""
    kinds = {fault.kind for fault in faults}
    at = rng.expovariate(rate_per_s)
    while at < seconds:
        named = {
            "service": f"service-{int(25 * rng.random() ** 2)}",
            "agency": f"agency-{int(40 * rng.random() ** 2)}",
        }
        for kind in named:
            if kind in kinds and rng.random() < share:
                named[kind] = BROKEN
        outcome = rng.choice(("timeout", "reset", None)) if rng.random() < NOISE else "ok"
        for fault in faults:
            hit = fault.kind == "all" or named[fault.kind] == BROKEN
            if fault.start_s <= at < fault.end_s and hit and rng.random() < fault.share:
                outcome = fault.outcome
        yield Lookup(START_MS + round(at * 1000), named["service"], named["agency"], outcome)
        at += rng.expovariate(rate_per_s)


def measurements(drawn: list[Lookup], seconds: float, partitions: int, rng: Random) -> list[Measurement]:
    """Return the measurements of lookups spread over some partitions, in the order of their watermarks."""
    logs: list[list[tuple[int, bytes]]] = [[] for _ in range(partitions)]
    for number, one in enumerate(drawn):
        log, name = logs[number * 7919 % partitions], f"l{number}"
        common: dict[str, Any] = {
            "lookup_id": name,
            "dossier_id": name,
            "link": LINK,
            "agency": one.agency,
            "service": one.service,
            "attempt": 1,
            "observer": "portal",
        }
        request = LookupRequested(event_id=f"q{number}", occurred_at_ms=one.asked_ms, **common)
        log.append((one.asked_ms, _encode(request)))
        if one.outcome is not None:
            took_ms = 10_000 if one.outcome == "timeout" else round(rng.lognormvariate(5, 0.5)) + 1
            known_ms = one.asked_ms + took_ms
            common["outcome"] = one.outcome
            done = LookupCompleted(event_id=f"c{number}", occurred_at_ms=known_ms, **common)
            log.append((known_ms, _encode(done)))
    made = []
    for partition, log in enumerate(logs):
        beats = range(START_MS, START_MS + round(seconds * 1000) + 60_000, 2_000)
        log += [(at, _encode(Heartbeat(at, "portal", [LINK], interval_ms=2_000))) for at in beats]
        log.sort()
        meter = Meter(LOOKUPS, partition, MeasureSettings())
        meter.feed([(offset, at, None, value) for offset, (at, value) in enumerate(log)])
        made += meter.measurements
    return sorted(made, key=lambda one: (one.watermark_ms, one.source.partition))


def revisions(made: list[Measurement], partitions: int) -> list[Outage]:
    """Return every revision that detection publishes."""
    detector = Detector(Rules(Rule()), DetectSettings(), range(partitions), outages_only=True)
    told = [output for one in made for output in detector.apply(one).output.values()]
    return [outage for output in told for outage in output.outages]


class Found(NamedTuple):
    """What became of one case of local trouble; times in seconds, None where it was not found as such."""

    delay_s: float | None
    start_s: float | None
    end_s: float | None


def trial(seed: int, rate_per_s: float, share: float, kind: str) -> Found:
    """Draw one case of local trouble and say how it was found."""
    rng = seeded(seed, f"local/{rate_per_s}/{share}/{kind}")
    lasts_s = max(600.0, 15 / (rate_per_s * share))
    fault = Fault(3_600.0, 3_600.0 + lasts_s, kind, rng.choice(OUTCOMES))
    seconds, partitions = fault.end_s + lasts_s + 1_200, rng.choice((1, 2, 4))
    drawn = list(lookups(rng, rate_per_s, seconds, [fault], share))
    told = revisions(measurements(drawn, seconds, partitions, rng), partitions)
    mine = [one for one in drawn if (one.service if kind == "service" else one.agency) == BROKEN]
    first_ms = next(one.asked_ms for one in mine if one.asked_ms >= START_MS + fault.start_s * 1000)
    after = (one for one in mine if one.asked_ms >= START_MS + fault.end_s * 1000 and one.outcome == "ok")
    last_ms = next((one.asked_ms for one in after), None)
    for outage in final_outages(told):
        to = outage.confined_to
        if to is not None and BROKEN in (to.services if kind == "service" else to.agencies):
            known = [one for one in told if one.outage_id == outage.outage_id and one.confined_to]
            ended = None if outage.end_ms is None or last_ms is None else (outage.end_ms - last_ms) / 1000
            delay_s = (known[0].detected_at_ms - first_ms) / 1000
            return Found(delay_s, (outage.start_ms - first_ms) / 1000, ended)
    return Found(None, None, None)


def local_table(trials: int, rates: tuple[float, ...]) -> Table:
    """Return how local trouble is found, by the link's rate and the name's share."""
    table = Table(
        "lookups a second", "share", "found", "delay p50, p95 (s)", "start p50, p95 (s)", "end p50, p95 (s)"
    )
    for rate_per_s, share in product(rates, SHARES):
        cases = [trial(seed, rate_per_s, share, ("service", "agency")[seed % 2]) for seed in range(trials)]
        found = [case for case in cases if case.delay_s is not None]
        columns = (
            [case.delay_s for case in found if case.delay_s is not None],
            [abs(case.start_s) for case in found if case.start_s is not None],
            [abs(case.end_s) for case in found if case.end_s is not None],
        )
        table.add_row(
            f"{rate_per_s:g}", f"{share:.0%}", f"{len(found)} of {trials}", *map(_middle_and_most, columns)
        )
    return table


def _middle_and_most(values: list[float]) -> str:
    if not values:
        return "–"
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.1f}, {ordered[min(len(ordered) * 95 // 100, len(ordered) - 1)]:.1f}"


def nothing_local(seed: int, hours: float, *, troubled: bool) -> tuple[int, str]:
    """Draw a history without local trouble; return the number of local outages, and its description."""
    rng = seeded(seed, "nothing local")
    rate_per_s, partitions = rng.choice((0.2, 1.0, 3.0)), rng.choice((1, 2, 4, 12))
    faults, at = [], 1_800.0
    while troubled and at < hours * 3_600 - 1_800:
        lasts_s = rng.choice((5.0, 8.0, 60.0, 300.0, 1_200.0))
        share = rng.choice((1.0, 1.0, 0.2, 0.5))
        faults.append(Fault(at, at + lasts_s, "all", rng.choice(OUTCOMES), share))
        at += lasts_s + rng.choice((200.0, 1_000.0, 3_000.0))
    drawn = list(lookups(rng, rate_per_s, hours * 3_600, faults, 0.0))
    told = final_outages(revisions(measurements(drawn, hours * 3_600, partitions, rng), partitions))
    return sum(
        one.confined_to is not None for one in told
    ), f"{rate_per_s:g} a second, {partitions} partitions"


def main(arguments: list[str]) -> None:
    """Print the table of local trouble, or what was called local where nothing was."""
    console = Console()
    if arguments and arguments[0] in {"quiet", "troubled"}:
        hours, seeds = float(arguments[1]), range(*map(int, arguments[2].split("-")))
        wrong = 0
        for seed in seeds:
            called, what = nothing_local(seed, hours, troubled=arguments[0] == "troubled")
            wrong += called
            if called:
                console.print(f"seed {seed}: {called} called local ({what})")
        console.print(f"{wrong} called local in {len(seeds) * hours:g} hours")
        return
    rates = tuple(map(float, arguments[1].split(","))) if len(arguments) > 1 else RATES
    console.print(local_table(int(arguments[0]) if arguments else 20, rates))


if __name__ == "__main__":
    main(sys.argv[1:])
