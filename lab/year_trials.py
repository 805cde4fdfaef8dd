"""Made-up link-years through the real detector, scored by volume class.

`python -m lab.year_trials 1-3` follows a link of each class for a year at each seed from 1 up to
3; `... 1-3 91 "1 in 40 s" "1 a second"` for 91 days, and only those classes. An outage counts as *full* that
all attempts met for 60 s or more, or for as long as ten lookups are expected to take; how it fared is told
apart from the rest. Availability is compared twice: by outages, and over the time in which a state is known.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lab.histories import REPORTED, Trouble
from lab.history_trials import KIND
from lab.link_years import DAY_MS, MINUTE_MS, Fate, LinkYear
from streams.detect.detector import Detector
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.canonical import final_outages
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.settings import DetectSettings
from streams.score.known import known_downtimes
from streams.score.score import Score, downtimes_of, score
from streams.score.truth import Fault, LinkTotals, Truth

RATES: Final = {
    "1 in 40 s": 1 / 40,
    "1 in 10 s": 0.1,
    "1 in 3 s": 1 / 3,
    "1 a second": 1.0,
    "5 a second": 5.0,
    "20 a second": 20.0,
}
"""Lookups a second of each volume class."""
LEAST_MS: Final = 60_000
LEAST_LOOKUPS: Final = 10
WEEK_DAYS: Final = 7


class Found(Struct):
    """What the detector made of one link-year: every revision of its outages, and its last windows."""

    outages: list[Outage] = field(default_factory=list)
    windows: dict[int, Window] = field(default_factory=dict)


class Missed(Struct, frozen=True):
    """A trouble of which no outage was found, and what there was to see of it."""

    link: str
    what: str
    seconds: float
    attempts: int
    failures: int
    full: bool

    def line(self) -> str:
        """Return it in a line of text."""
        due = "full, " if self.full else ""
        hit = f"{self.failures} of {self.attempts} attempts hit"
        return f"{self.link}: {self.what}, {due}{self.seconds:.0f} s, {hit}"


class ClassResult(Struct, frozen=True):
    """How the links of a volume class fared.

    Availability errors are in percentage points, one of each link-year: with sign, found less true downtime.
    """

    name: str
    link_weeks: float
    all: Score
    full: Score
    kinds: dict[str, tuple[int, int]]
    """By kind of trouble: how often it was told right, of how many found."""
    by_outages_pp: list[float]
    by_known_pp: list[float]
    parts_s: dict[str, float]
    """What makes the difference in downtime, in seconds over all link-years (`streams.score.downtime`)."""
    missed: list[Missed]
    false: list[str]


def follow(measurements: Iterable[Measurement], rule: Rule) -> Found:
    """Return what the real detector makes of a link's measurements."""
    detector, found = Detector(Rules(rule), DetectSettings(), [0]), Found()
    well = {"UNKNOWN": 0, "UP": MINUTE_MS, "DEGRADED": 0, "DOWN": 0}
    for measurement in measurements:
        for output in detector.apply(measurement).output.values():
            found.outages += output.outages
            for window in output.windows:  # half a million a year: no more is kept than is compared
                spent = well if window.state_ms == well else window.state_ms
                found.windows[window.start_ms] = replace(
                    window, state_ms=spent, outcomes={}, latency_ms=None, provider_latency_ms=None
                )
    return found


def truth_of(years: Iterable[LinkYear], *, full_only: bool = False) -> Truth:
    """Return the truth about some link-years, or about their full outages alone."""
    years = list(years)
    return Truth(
        "years",
        0,
        1.0,
        "Asia/Ho_Chi_Minh",
        years[0].start_ms,
        years[0].end_ms,
        [LinkTotals(year.link, year.attempts) for year in years],
        [
            _fault(trouble, fate)
            for year in years
            for trouble, fate in zip(year.troubles, year.fates, strict=True)
            if trouble.what in REPORTED and fate.seen and (is_full(trouble, year) or not full_only)
        ],
    )


def is_full(trouble: Trouble, year: LinkYear) -> bool:
    """Say whether a trouble is a full outage of the length from which each ought to be found."""
    least_ms = max(LEAST_MS, 1000 * LEAST_LOOKUPS / year.rate_per_s if year.rate_per_s < 1 else 0)
    return trouble.what == "down" and trouble.end_ms - trouble.start_ms >= least_ms


def _fault(trouble: Trouble, fate: Fate) -> Fault:
    return Fault(
        fault_id=f"{trouble.link}-{trouble.start_ms}",
        link=trouble.link,
        kind=KIND[trouble.what],
        outage=True,
        fault_domain="link",
        start_ms=trouble.start_ms,
        end_ms=trouble.end_ms,
        attempts=fate.attempts,
        failures=fate.hit,
        observed=fate.seen,
        first_failure_known_ms=fate.known_ms,
        first_failing_request_ms=fate.first_hit_ms,
    )


def judged(name: str, years: list[LinkYear], found: list[Found]) -> ClassResult:
    """Return how the link-years of a class fared; each has been followed to its end."""
    outages = [outage for one in found for outage in one.outages]
    truth = truth_of(years)
    of_all, of_full = score(outages, truth), score(outages, truth_of(years, full_only=True))
    known = known_downtimes((w for one in found for w in one.windows.values()), truth)
    final = final_outages(outages)
    kinds: dict[str, tuple[int, int]] = {}
    missed: list[Missed] = []
    true: dict[str, list[Trouble]] = {year.link: [] for year in years}
    for year in years:
        for trouble, fate in zip(year.troubles, year.fates, strict=True):
            if trouble.what not in REPORTED or not fate.seen:
                continue
            true[year.link].append(trouble)
            met = {outage.kind for outage in final if _meet(outage, trouble)}
            if met:
                right, of = kinds.get(trouble.what, (0, 0))
                kinds[trouble.what] = right + (met == {KIND[trouble.what]}), of + 1
            else:
                length_s = (trouble.end_ms - trouble.start_ms) / 1000
                missed.append(
                    Missed(
                        year.link, trouble.what, length_s, fate.attempts, fate.seen, is_full(trouble, year)
                    )
                )
    parts: dict[str, float] = {}
    period_ms = truth.end_ms - truth.start_ms
    by_outages = []
    for line in downtimes_of(outages, truth):
        by_outages.append(100_000 * (line.found_s - line.true_s) / period_ms)
        for part, seconds in line.parts.items():
            parts[part] = parts.get(part, 0.0) + seconds
    false = [_line(o, truth) for o in final if not any(_meet(o, trouble) for trouble in true[o.link])]
    return ClassResult(
        name=name,
        link_weeks=of_all.link_weeks,
        all=of_all,
        full=of_full,
        kinds=kinds,
        by_outages_pp=by_outages,
        by_known_pp=[100 * (one.found_s - one.true_s) / one.known_s for one in known],
        parts_s=parts,
        missed=missed,
        false=false,
    )


def _line(outage: Outage, truth: Truth) -> str:
    at_s = (outage.start_ms - truth.start_ms) // 1000
    return f"{outage.link} at {at_s} s: {outage.kind}, {outage.failures} of {outage.attempts} failed"


def _meet(outage: Outage, trouble: Trouble) -> bool:
    if outage.link != trouble.link or trouble.end_ms <= outage.start_ms:
        return False
    return outage.end_ms is None or trouble.start_ms < outage.end_ms


def run(name: str, rate_per_s: float, days: float, seeds: range, rule: Rule) -> ClassResult:
    """Draw, follow and judge the link-years of a class, one for each seed."""
    years = [LinkYear(seed, f"{name} ({seed})", rate_per_s, days) for seed in seeds]
    steps = [round(days * DAY_MS / MINUTE_MS)] * len(years)
    found = [
        follow(_shown(year.measurements(), f"{year.link}", step), rule)
        for year, step in zip(years, steps, strict=True)
    ]
    return judged(name, years, found)


def _shown(measurements: Iterator[Measurement], label: str, total: int) -> Iterator[Measurement]:
    yield from track(measurements, label, total, console=Console(stderr=True))


def table(results: Iterable[ClassResult]) -> Table:
    """Return results as a table, a row for each class."""
    columns = ("class", "weeks", "full found", "false", "start p50/p95 (s)", "end p50/p95 (s)")
    shown = Table(*columns, "delay p50/p95 (s)", "kind right", "by outages (pp)", "known time (pp)")
    for one in results:
        part = one.full.all
        edges: list[Any] = [
            f"{(q.p50 or 0) / 1000:.1f}/{(q.p95 or 0) / 1000:.1f}"
            for q in (part.start_error_ms, part.end_error_ms, part.delay_ms)
        ]
        right, of = (sum(pair[n] for pair in one.kinds.values()) for n in (0, 1))
        errors = [" ".join(f"{pp:+.4f}" for pp in those) for those in (one.by_outages_pp, one.by_known_pp)]
        found = f"{part.found} of {part.incidents}"
        shown.add_row(
            one.name, f"{one.link_weeks:.1f}", found, str(len(one.false)), *edges, f"{right} of {of}", *errors
        )
    return shown


def main(seeds: range, days: float, classes: list[str]) -> None:
    """Print how link-years fared, and what was missed of them."""
    results = [run(name, RATES[name], days, seeds, Rule()) for name in classes]
    console = Console(width=160)
    console.print(table(results))
    for one in results:
        parts = ", ".join(f"{name} {seconds:+.0f} s" for name, seconds in one.parts_s.items())
        kinds = ", ".join(f"{what} {right} of {of}" for what, (right, of) in sorted(one.kinds.items()))
        console.print(f"{one.name}: downtime off by {parts}; kind right: {kinds}", highlight=False)
        for line in [*(f"false: {line}" for line in one.false), *(f"missed: {m.line()}" for m in one.missed)]:
            console.print(f"  {line}", highlight=False)


if __name__ == "__main__":
    _first, _, _last = (sys.argv[1] if len(sys.argv) > 1 else "1-2").partition("-")
    _days = float(sys.argv[2]) if len(sys.argv) > 2 else 365.0
    main(range(int(_first), int(_last)), _days, sys.argv[3:] or list(RATES))
