"""Runs the real detector on links that each behave in a special way: `python -m lab.regimes 50-52`.

Each *regime* is a link of some days: what it always does, what changes about it, and what befalls it. Full
outages of one to six minutes are planted everywhere; every one ought to be found, with its edges, and nothing
else but what the regime itself calls for. Edges are compared with the true ones and with the observable ones
(`lab.observable`). Observers that restart leave the link unseen for some seconds.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final, NamedTuple

from msgspec import Struct, field
from rich.console import Console
from rich.table import Table

from lab.histories import OUTCOMES, START_MS, Trouble, What
from lab.history_trials import p95
from lab.link_years import DAY_MS, USUAL, Conduct, LinkYear
from lab.observable import Edges, Errors, asked_of, edges_of
from lab.year_trials import Found, follow
from streams.detect.rule.definition import Rule
from streams.model.canonical import final_outages
from streams.model.measurement import Measurement
from streams.model.outage import Outage, ShortFailures

HOUR_MS: Final = 3_600_000
DAYS: Final = 2.0
RATES: Final = {"1 in 40 s": 1 / 40, "1 in 5 s": 0.2, "1 a second": 1.0, "10 a second": 10.0}
LEAST_LOOKUPS: Final = 12
"""A full outage lasts a minute at least, or as long as so many lookups are expected to take."""
STEPS: Final = 48


class Regime(NamedTuple):
    """What a link does: by itself, what befalls it, and when other trouble than full outages is true."""

    conduct: Conduct
    troubles: list[Trouble]
    also: list[tuple[int, int]]
    """Spans in which a degraded outage is right."""


class Tally(Struct):
    """How the links of a regime fared; errors in milliseconds."""

    links: int = 0
    full: int = 0
    found: int = 0
    false: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    true: Errors = field(default_factory=Errors)
    observable: Errors = field(default_factory=Errors)
    delays_ms: list[int] = field(default_factory=list)
    changes: int = 0
    changes_found: int = 0
    short: int = 0
    short_counted: int = 0


def trouble(
    what: What, start_ms: int, length_ms: int, share: float = 1.0, outcome: str | None = None
) -> Trouble:
    """Return trouble of one stretch."""
    span = start_ms, start_ms + length_ms
    return Trouble("link", what, *span, share, outcome, (span,))


def planted(rng: Random, rate_per_s: float, from_ms: int, to_ms: int) -> list[Trouble]:
    """Return full outages some hours apart."""
    least_ms = max(60_000, round(1000 * LEAST_LOOKUPS / rate_per_s))
    found, at_ms = [], from_ms
    while (at_ms := at_ms + rng.randrange(2 * HOUR_MS, 6 * HOUR_MS)) < to_ms - 2 * HOUR_MS:
        length_ms = least_ms + rng.randrange(300_000)
        found.append(trouble("down", at_ms, length_ms, outcome=rng.choice(OUTCOMES)))
        at_ms += length_ms
    return found


def steps(from_ms: int, to_ms: int, low: float, high: float) -> tuple[list[int], list[float]]:
    """Return a ramp as steps: when each begins, and its level."""
    at = [from_ms + (to_ms - from_ms) * step // STEPS for step in range(STEPS + 1)]
    return [0, *at], [low, *(low + (high - low) * step / STEPS for step in range(STEPS + 1))]


def always(rng: Random, rate: float, end_ms: int) -> Regime:
    """Fail a tenth of the lookups, always."""
    return Regime(Conduct(shares=(0.1,)), planted(rng, rate, START_MS, end_ms), [])


def slow_always(rng: Random, rate: float, end_ms: int) -> Regime:
    """Take forty seconds for a quarter of the lookups, always."""
    return Regime(Conduct(heavy=(0.25,)), planted(rng, rate, START_MS, end_ms), [])


def failing_ramp(rng: Random, rate: float, end_ms: int) -> Regime:
    """Fail ever more, from 0.3 % to 20 %, within the second day."""
    from_ms = START_MS + DAY_MS
    at, shares = steps(from_ms, end_ms, 0.003, 0.2)
    conduct = Conduct(at, shares, [1.0] * len(at), [0.0] * len(at))
    return Regime(conduct, planted(rng, rate, START_MS, from_ms), [(from_ms, end_ms)])


def slower_ramp(rng: Random, rate: float, end_ms: int) -> Regime:
    """Answer ever more slowly, up to ten times as long, within the second day."""
    from_ms = START_MS + DAY_MS
    at, slower = steps(from_ms, end_ms, 1.0, 10.0)
    conduct = Conduct(at, [0.01] * len(at), slower, [0.0] * len(at))
    return Regime(conduct, planted(rng, rate, START_MS, from_ms), [(from_ms, end_ms)])


def short(rng: Random, rate: float, end_ms: int) -> Regime:
    """Fail completely for three to eight seconds now and then."""
    found, at_ms = planted(rng, rate, START_MS + 12 * HOUR_MS, end_ms), START_MS + HOUR_MS
    while (at_ms := at_ms + rng.randrange(200_000, 1_200_000)) < START_MS + 12 * HOUR_MS:
        found.append(trouble("flapping", at_ms, rng.randrange(3_000, 8_000), outcome=rng.choice(OUTCOMES)))
    return Regime(USUAL, sorted(found, key=lambda one: one.start_ms), [])


def throttled(rng: Random, rate: float, _end_ms: int) -> Regime:
    """Refuse a third of the lookups at the busiest hour of each day, as a provider that throttles does."""
    found = planted(rng, rate, START_MS + 12 * HOUR_MS, START_MS + DAY_MS)
    also = []
    for day in range(int(DAYS)):
        at_ms = START_MS + day * DAY_MS + 9 * HOUR_MS
        found.append(trouble("degraded", at_ms, HOUR_MS, 0.33, "provider_error"))
        also.append((at_ms, at_ms + HOUR_MS))
    return Regime(USUAL, sorted(found, key=lambda one: one.start_ms), also)


def restarts(rng: Random, rate: float, end_ms: int) -> Regime:
    """Have observers that restart: nothing is recorded for twenty seconds each hour."""
    found = planted(rng, rate, START_MS, end_ms)
    for hour in range(1, int(DAYS * 24)):
        at_ms = START_MS + hour * HOUR_MS
        if not any(one.start_ms - 120_000 < at_ms < one.end_ms + 120_000 for one in found):
            found.append(trouble("blind", at_ms, 20_000))
    return Regime(USUAL, sorted(found, key=lambda one: one.start_ms), [])


def chains(rng: Random, rate: float, end_ms: int) -> Regime:
    """Fail in part, then completely, then in part again, and be well for hours."""
    least_ms = max(60_000, round(1000 * LEAST_LOOKUPS / rate))
    part_ms, found, also, at_ms = 6 * least_ms + 600_000, [], [], START_MS
    while (at_ms := at_ms + rng.randrange(4 * HOUR_MS, 7 * HOUR_MS)) < end_ms - 4 * HOUR_MS:
        whole = trouble("down", at_ms + part_ms, 3 * least_ms, outcome="timeout")
        found += [
            trouble("degraded", at_ms, part_ms, 0.3, "timeout"),
            whole,
            trouble("degraded", whole.end_ms, part_ms, 0.3, "timeout"),
        ]
        at_ms = whole.end_ms + part_ms
        also.append((whole.start_ms - part_ms, at_ms))
    return Regime(USUAL, found, also)


def open_at_the_end(rng: Random, rate: float, end_ms: int) -> Regime:
    """Be down when the log ends."""
    found = planted(rng, rate, START_MS, end_ms - 4 * HOUR_MS)
    last = trouble("down", end_ms - HOUR_MS, HOUR_MS, outcome="timeout")
    return Regime(USUAL, [*found, last], [])


REGIMES: Final[dict[str, Callable[[Random, float, int], Regime]]] = {
    "always fails a tenth": always,
    "always slow": slow_always,
    "failures creep up": failing_ramp,
    "latency creeps up": slower_ramp,
    "short failures": short,
    "throttled daily": throttled,
    "observers restart": restarts,
    "chains": chains,
    "open at the end": open_at_the_end,
}


def add(
    tally: Tally, year: LinkYear, regime: Regime, found: Found, measurements: Iterable[Measurement]
) -> None:
    """Add one link to a tally."""
    asked = asked_of(measurements)
    tally.links += 1
    final = final_outages(found.outages)
    first = {one.outage_id: one.detected_at_ms for one in reversed(found.outages) if one.revision == 1}
    right = list(regime.also)
    for one, fate in zip(regime.troubles, year.fates, strict=True):
        if one.what == "flapping":
            tally.short += 1
        if one.what != "down" or fate.first_hit_ms is None or fate.known_ms is None:
            continue
        tally.full += 1
        right.append((one.start_ms, one.end_ms))
        met = [
            outage for outage in final if outage.kind == "down" and _meets(outage, one.start_ms, one.end_ms)
        ]
        if not met:
            tally.missed.append(f"{year.link}: {(one.start_ms - START_MS) // 1000} s, {fate.seen} failures")
            continue
        tally.found += 1
        tally.delays_ms.append(first[met[0].outage_id] - fate.known_ms)
        edges = Edges(met[0].start_ms, met[-1].end_ms)
        tally.true.add(edges, Edges(one.start_ms, one.end_ms if one.end_ms < year.end_ms else None))
        tally.observable.add(edges, edges_of(*asked, one.start_ms, one.end_ms))
    for span in regime.also:
        tally.changes += 1
        tally.changes_found += any(_meets(outage, *span) for outage in final)
    for outage in final:
        if not any(_meets(outage, start_ms - 60_000, end_ms + 1000) for start_ms, end_ms in right):
            at_s = (outage.start_ms - START_MS) // 1000
            tally.false.append(
                f"{year.link}: {outage.kind} at {at_s} s, {outage.failures} of {outage.attempts}"
            )
    told = (window.short_failures for window in found.windows.values())
    tally.short_counted += sum(one.number for one in told if isinstance(one, ShortFailures))


def _meets(outage: Outage, start_ms: int, end_ms: int) -> bool:
    return outage.start_ms < end_ms and (outage.end_ms is None or outage.end_ms > start_ms)


def run(name: str, rate: str, seeds: Iterable[int]) -> Tally:
    """Return the results of a regime at a rate, with one link per seed."""
    tally = Tally()
    for seed in seeds:
        rng = Random(f"{seed}/{name}/{rate}")  # noqa: S311 - a history, no secret
        end_ms = START_MS + round(DAYS * DAY_MS)
        regime = REGIMES[name](rng, RATES[rate], end_ms)
        year = LinkYear(seed, f"{name}, {rate} ({seed})", RATES[rate], DAYS, regime.conduct, regime.troubles)
        measurements = list(year.measurements())
        add(tally, year, regime, follow(measurements, Rule()), measurements)
    return tally


def main(seeds: range, names: Sequence[str], rates: Sequence[str]) -> None:
    """Print how each regime fared at each rate."""
    console = Console(width=150)
    columns = ("regime", "lookups", "full found", "false", "start p95 (s)", "end p95 (s)")
    edges = ("start, observable", "end, observable")
    shown = Table(*columns, *edges, "delay p95 (s)", "other trouble found", "short counted")
    lines = []
    for name in names:
        for rate in rates:
            one = run(name, rate, seeds)
            errors = (each for of in (one.true, one.observable) for each in (of.starts_ms, of.ends_ms))
            times = [f"{p95(of):.1f}" for of in (*errors, one.delays_ms)]
            changes = f"{one.changes_found} of {one.changes}" if one.changes else ""
            counted = f"{one.short_counted} of {one.short}" if one.short else ""
            full = f"{one.found} of {one.full}"
            shown.add_row(name, rate, full, str(len(one.false)), *times, changes, counted)
            lines += [*(f"false: {line}" for line in one.false), *(f"missed: {line}" for line in one.missed)]
    console.print(shown)
    for line in lines:
        console.print(line, highlight=False)


if __name__ == "__main__":
    _first, _, _last = (sys.argv[1] if len(sys.argv) > 1 else "1-2").partition("-")
    _names = [sys.argv[2]] if len(sys.argv) > 2 and sys.argv[2] != "all" else list(REGIMES)
    main(range(int(_first), int(_last)), _names, sys.argv[3:] or list(RATES))
