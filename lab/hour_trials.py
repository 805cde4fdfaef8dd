"""Compares the time a link spends in each state according to counters and to the ledger, hour by hour.

`python -m lab.hour_trials 1-9` judges the histories of `lab.histories`, without late facts, on links from one
lookup in 100 s up. A counter counts a minute `SETTLE_MS` after its end, as it is judged by then. The ledger
has it as it is judged at last. So the two differ by what was decided about a minute later than that, and by
nothing else. One hour is compared every ten minutes. The table says how many hours differ by more than 0.01
points of availability or coverage, how many of these were decided in time (there should be none), and what
was decided late about the others: that there was trouble, that it was over, or of which kind it was.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct, structs
from rich.console import Console
from rich.table import Table

from lab.histories import draw
from streams.detect.detector import Detector
from streams.detect.link.elapsed import SETTLE_MS
from streams.detect.link.minute import MINUTE_MS
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.measure.meter import Meter
from streams.model.availability import LinkHistory, Minutes, OutageSpan, account
from streams.model.canonical import final_outages
from streams.model.hours.calendar import AROUND_THE_CLOCK
from streams.model.intervals import union
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.retirement import Service
from streams.model.settings import DetectSettings, MeasureSettings
from streams.model.topics import LOOKUPS

HOUR_MS: Final = 60 * MINUTE_MS
STEP_MS: Final = 10 * MINUTE_MS
POINTS: Final = 0.01
HOURS: Final = 10.0
RATES: Final = {f"1 in {seconds} s": 1 / seconds for seconds in (100, 50, 33, 20, 10, 5, 2)}

Spent = tuple[int, ...]
"""Milliseconds up, degraded, down and unknown."""


class Told(Struct):
    """What was published about one link, and the values of its counters by the time they count up to."""

    windows: list[Window]
    outages: list[Outage]
    totals: dict[int, Spent]


class Hour(NamedTuple):
    """One hour of a link: as counted, in the ledger, and in the ledger when each minute was counted."""

    end_ms: int
    counted: Spent
    ledger: Spent
    in_time: Spent


def follow(measurements: Iterable[Measurement], partitions: Iterable[int]) -> dict[str, Told]:
    """Return what is published about each link."""
    detector = Detector(Rules(Rule()), DetectSettings(), partitions, service=Service())
    found: dict[str, Told] = {}
    for measurement in measurements:
        for link, output in detector.apply(measurement).output.items():
            told = found.setdefault(link, Told([], [], {}))
            told.windows += output.windows
            told.outages += output.outages
        for link, tracker in detector.trackers.items():
            spent = tracker.spent(detector.clock_ms)
            if spent is not None and spent.until_ms is not None:
                _, until_ms, *states, _ = structs.astuple(spent)
                found.setdefault(link, Told([], [], {})).totals.setdefault(until_ms, tuple(states))
    return found


def ledgers(windows: Iterable[Window], outages: Iterable[Outage], start_ms: int, end_ms: int) -> Spent:
    """Return what the ledger counts of a stretch of full minutes, by the last revisions."""
    last = {one.start_ms: one for one in windows if start_ms <= one.start_ms < end_ms}
    unknown = []
    for at in range(start_ms, end_ms, MINUTE_MS):
        unknown_ms = last[at].state_ms["UNKNOWN"] if at in last else MINUTE_MS
        unknown.append((at + MINUTE_MS - unknown_ms, at + MINUTE_MS))
    spans = [OutageSpan(one.outage_id, one.kind, one.start_ms, one.end_ms) for one in final_outages(outages)]
    history = LinkHistory(spans, union(unknown), [], Minutes([]))
    counted = account(history, AROUND_THE_CLOCK, start_ms, end_ms)[0]
    up_ms = counted.observed_ms - counted.down_ms - counted.degraded_ms
    return up_ms, counted.degraded_ms, counted.down_ms, counted.unknown_ms


def hours(told: Told) -> Iterator[Hour]:
    """Yield the hours of a link, one every `STEP_MS`."""
    counted = sorted(told.totals)
    before = counted[0]
    grown: dict[int, Spent] = {}
    for until_ms in counted[1:]:
        if until_ms - before == MINUTE_MS:
            both = zip(told.totals[until_ms], told.totals[before], strict=True)
            grown[before] = tuple(after - earlier for after, earlier in both)
        before = until_ms
    known = {at: ledgers(told.windows, told.outages, at, at + MINUTE_MS) for at in grown}
    in_time = {}
    for at in grown:
        by_ms = at + MINUTE_MS + SETTLE_MS
        outages = [one for one in told.outages if one.detected_at_ms <= by_ms]
        in_time[at] = ledgers(told.windows, outages, at, at + MINUTE_MS)
    first = min(grown)
    for start_ms in range(first, max(grown) + MINUTE_MS - HOUR_MS + 1, STEP_MS):
        minutes = range(start_ms, start_ms + HOUR_MS, MINUTE_MS)
        if all(at in grown for at in minutes):
            sums = (added(of[at] for at in minutes) for of in (grown, known, in_time))
            yield Hour(start_ms + HOUR_MS, *sums)


def added(spent: Iterable[Spent]) -> Spent:
    """Return the sums of each state."""
    return tuple(sum(each) for each in zip(*spent, strict=True))


def differ(one: Spent, other: Spent) -> bool:
    """Return whether two results for an hour differ by more than `POINTS`, in availability or in coverage."""
    pairs = zip(_points(one), _points(other), strict=True)
    return any(abs(mine - theirs) > POINTS for mine, theirs in pairs)


def _points(spent: Spent) -> tuple[float, float]:
    up_ms, degraded_ms, down_ms, unknown_ms = spent
    known_ms = up_ms + degraded_ms + down_ms
    return 100 * (1 - down_ms / known_ms) if known_ms else 100.0, 100 * known_ms / (known_ms + unknown_ms)


def what_was_late(hour: Hour) -> str:
    """Return the decisions about an hour that were made after it was counted."""
    (_, _, down_ms, unknown_ms), (_, _, its_down_ms, its_unknown_ms) = hour.counted, hour.ledger
    if unknown_ms != its_unknown_ms:
        return "known"
    trouble_ms, its_trouble_ms = sum(hour.counted[1:3]), sum(hour.ledger[1:3])
    if abs(trouble_ms - its_trouble_ms) >= abs(down_ms - its_down_ms) / 2:
        return "opened late" if its_trouble_ms > trouble_ms else "ended late"
    return "down late" if its_down_ms > down_ms else "degraded late"


def of_history(seed: int, rates: dict[str, float], hours_long: float) -> Iterator[tuple[str, Told]]:
    """Yield what is published about the links of one history."""
    history = draw(seed, hours_long, rates, disturbed=False)
    measurements = []
    for partition, entries in history.entries.items():
        meter = Meter(LOOKUPS, partition, MeasureSettings())
        meter.feed(entries)
        measurements += meter.measurements
    measurements.sort(key=lambda one: (one.watermark_ms, one.source.partition))
    yield from follow(measurements, history.entries).items()


def main(seeds: range, rates: Sequence[str]) -> int:
    """Print how many hours differ, by rate; return 1 if any does that was decided upon in time."""
    console, wrong = Console(width=160), 0
    table = Table("lookups", "hours", "differ", "of those decided in time", "what was decided late")
    tallies = {rate: Counter[str]() for rate in rates}
    for seed in seeds:
        for rate, told in of_history(seed, {rate: RATES[rate] for rate in rates}, HOURS):
            tally = tallies[rate]
            for hour in hours(told):
                tally["hours"] += 1
                if not differ(hour.counted, hour.ledger):
                    continue
                tally["differ"] += 1
                if not differ(hour.in_time, hour.ledger):
                    tally["in time"] += 1
                    at_s = (hour.end_ms - min(told.totals)) // 1000
                    console.print(seed, rate, at_s, hour.counted, hour.ledger, highlight=False)
                else:
                    tally[what_was_late(hour)] += 1
    for rate, tally in tallies.items():
        counts = [str(tally.pop(name, 0)) for name in ("hours", "differ")]
        in_time = tally.pop("in time", 0)
        wrong += in_time
        late = ", ".join(f"{what} {number}" for what, number in sorted(tally.items()))
        table.add_row(rate, *counts, str(in_time), late)
    console.print(table)
    return 1 if wrong else 0


if __name__ == "__main__":
    _first, _, _last = (sys.argv[1] if len(sys.argv) > 1 else "1-3").partition("-")
    sys.exit(main(range(int(_first), int(_last)), sys.argv[2:] or list(RATES)))
