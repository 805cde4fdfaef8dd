"""``python -m lab.city_statistics``: what docs/city.md claims of the draws, over ten seeds.

A claim is measured under ten seeds. It holds where the expected value lies within the interval of the mean:
2.262 standard errors either way (95 % for ten values, by Student's t), and the claim's allowance.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from math import sqrt
from typing import Final, NamedTuple

from streams.model.hours.calendar import to_local
from streams.simulate.draw import exponential, lognormal, pick, seeded
from streams.simulate.faults.laying import Laid
from streams.simulate.faults.processes import by_chance
from streams.simulate.load.provider import SHED, Provider
from streams.simulate.scenario import FaultProcess, epoch_ms
from streams.simulate.timetable import Timetable, kinds_of_days

SEEDS: Final = range(1, 11)
STUDENT: Final = 2.262
"""95 % of Student's t with nine degrees of freedom."""
YEARS: Final = epoch_ms("2014-01-01T00:00"), epoch_ms("2024-01-01T00:00")
PROCESS: Final = FaultProcess(
    id="ten-years", links=["a", "b", "c", "d"], causes={"dns": 1}, mean_gap_hours=60
)
HOUR_MS: Final = 3_600_000


class Claim(NamedTuple):
    """A claim: the expected value, the allowed error besides chance, and how one seed measures it."""

    says: str
    expected: float
    allowance: float
    measure: Callable[[int], float]


class Shown(NamedTuple):
    """The result of a claim over ten seeds: the mean and half the width of its interval."""

    claim: Claim
    mean: float
    half: float

    @property
    def holds(self) -> bool:
        """Whether the expected value lies within the interval, allowance included."""
        return abs(self.mean - self.claim.expected) <= self.half + self.claim.allowance


def _faults(seed: int) -> tuple[list[Laid], list[Laid]]:
    laid = list(by_chance(PROCESS, *YEARS, seed=seed, city="statistics"))
    return [one for one in laid if one[0].cause != "maintenance"], [
        one for one in laid if one[0].cause == "maintenance"
    ]


def _gap_hours(seed: int) -> float:
    unplanned, _ = _faults(seed)
    return sum(b[1] - a[2] for a, b in pairwise(unplanned)) / (len(unplanned) - 1) / HOUR_MS


def _short_gaps(seed: int) -> float:
    unplanned, _ = _faults(seed)
    mean = _gap_hours(seed) * HOUR_MS
    return sum(b[1] - a[2] < 0.1 * mean for a, b in pairwise(unplanned)) / (len(unplanned) - 1)


def _median_minutes(seed: int) -> float:
    lengths = sorted(end - start for _, start, end in _faults(seed)[0])
    return lengths[len(lengths) // 2] / 60_000


def _shared(seed: int) -> float:
    sizes = [len(fault.links) for fault, _, _ in _faults(seed)[0]]
    return sum(size for size in sizes if size > 1) / sum(sizes)


def _works(seed: int) -> float:
    unplanned, works = _faults(seed)
    return len(works) / (len(works) + sum(len(fault.links) for fault, _, _ in unplanned))


def _by_day(seed: int) -> float:
    starts = [to_local(start) for _, start, _ in _faults(seed)[0]]
    return sum(at.weekday() < 5 and 7 <= at.hour < 18 for at in starts) / len(starts)


def _fit_of_hours(seed: int) -> float:
    """Return chi-square by its degrees of freedom, of arrivals against their intensity: one on average."""
    period = epoch_ms("2023-03-13T00:00"), epoch_ms("2023-03-18T00:00")
    timetable = Timetable("office", *period)
    weights = timetable.weights()
    counts = timetable.draw(50_000, seeded(seed, "statistics/arrivals"))
    expected = [(at, 50_000 * weight / timetable.total) for at, weight in weights.items()]
    cells = [(counts.get(at, 0), mean) for at, mean in expected if mean >= 5]
    return sum((n - mean) ** 2 / mean for n, mean in cells) / (len(cells) - 1)


def _spread_of_days(seed: int) -> float:
    kinds = [*kinds_of_days(*YEARS, seeded(seed, "statistics/days")).values()]
    mean = sum(kinds) / len(kinds)
    return sqrt(sum((kind / mean - 1) ** 2 for kind in kinds) / (len(kinds) - 1))


def _served(seed: int, rate: float) -> tuple[float, float]:
    """Return the mean latency and how many a second are served by a provider of 50 a second."""
    service, gaps = lognormal(200, 0.5), exponential(1_000_000 / rate)
    rng = seeded(seed, f"statistics/load/{rate}")
    provider = Provider(50, sum(service) / len(service), 2_500)
    at, took = 0.0, []
    while at < 200_000:
        at += pick(gaps, rng) / 1000
        one = provider.take(int(at), pick(service, rng))
        if one != SHED:
            took.append(one)
    return sum(took) / len(took), len(took) / 200


CLAIMS: Final = (
    Claim("mean gap of faults by chance, hours (Weibull)", 60.0, 0.5, _gap_hours),
    Claim("gaps under a tenth of the mean: a falling hazard (exponential: 0.095)", 0.21, 0.015, _short_gaps),
    Claim("median repair, minutes (lognormal)", 12.0, 0.2, _median_minutes),
    Claim("unplanned failures of links that are shared (Markopoulou et al.)", 0.30, 0.005, _shared),
    Claim("failures of links in announced works (Markopoulou et al.)", 0.20, 0.005, _works),
    Claim("faults that begin on working days from 7 to 18", 0.54, 0.03, _by_day),
    Claim(
        "arrivals by quarter hour against their intensity, chi-square by its degrees",
        1.0,
        0.02,
        _fit_of_hours,
    ),
    Claim("spread of days of one kind", 0.08, 0.002, _spread_of_days),
    Claim(
        "a provider of 50 a second asked 200: served a second", 50.0, 3.0, lambda seed: _served(seed, 200)[1]
    ),
    Claim("its latency when asked 5 a second, ms", 225.0, 8.0, lambda seed: _served(seed, 5)[0]),
)


def shown(claim: Claim) -> Shown:
    """Return the result of a claim over ten seeds."""
    values = [claim.measure(seed) for seed in SEEDS]
    mean = sum(values) / len(values)
    error = sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    return Shown(claim, mean, STUDENT * error)


def table() -> tuple[str, bool]:
    """Return the table for docs/city.md, and whether every claim holds."""
    all_shown = [shown(claim) for claim in CLAIMS]
    rows = [
        f"| {one.claim.says} | {one.claim.expected:g} | {one.mean:.3f} ± {one.half:.3f} | "
        f"{'yes' if one.holds else 'no'} |"
        for one in all_shown
    ]
    head = ["| claim | expected | measured, ten seeds | holds |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]), all(one.holds for one in all_shown)


if __name__ == "__main__":
    text, holds = table()
    print(text)
    sys.exit(not holds)
