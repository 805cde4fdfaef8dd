"""Scores the whole pipeline on synthetic histories.

`python -m lab.history_trials 0-20 3` draws three hours for each seed from 0 up to 20. A trouble is
*seen* if an observer reported an attempt that it hit, and *found* if an outage was published that overlaps
it. Of those touched by blindness no more is asked: their edges lie where nobody looked. An outage that
overlaps no trouble is false.
"""

import sys
from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct, field
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lab.histories import RATES, REPORTED, History, Lookup, Trouble, draw
from streams.detect.rule.definition import Rule
from streams.model.canonical import final_outages
from streams.model.intervals import length_ms, union
from streams.model.outage import Outage
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS
from streams.replay.analyze import analyze

WEEK_HOURS: Final = 168
TIMEOUT_MS: Final = MeasureSettings().lookup_timeout_ms
KIND: Final = {"down": "down", "half": "down", "flapping": "down", "degraded": "degraded", "late": "degraded"}


class Row(Struct):
    """The results for troubles of one kind on one link; errors and delays in milliseconds."""

    seen: int = 0
    missed: list[str] = field(default_factory=list)
    starts_ms: list[int] = field(default_factory=list)
    ends_ms: list[int] = field(default_factory=list)
    delays_ms: list[int] = field(default_factory=list)
    kinds: list[bool] = field(default_factory=list)


class Tally(Struct):
    """The results of a number of histories.

    ``down_errors_ms`` holds, for each full outage seen from end to end, found less true downtime.
    """

    link_weeks: float = 0.0
    false: list[str] = field(default_factory=list)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    down_errors_ms: list[int] = field(default_factory=list)


def outages_of(history: History, rule: Rule | None = None) -> list[Outage]:
    """Return every revision of every outage that the pure pipeline finds in a history."""
    log = (
        Record(LOOKUPS, partition, *entry) for partition, those in history.entries.items() for entry in those
    )
    return analyze(sorted(log, key=lambda record: record.logged_at_ms), rule, outages_only=True).outages


def add(tally: Tally, history: History, outages: Iterable[Outage], label: str) -> None:
    """Add one history to a tally."""
    revisions = list(outages)
    first_ms: dict[str, int] = {}
    for outage in revisions:
        first_ms.setdefault(outage.outage_id, outage.detected_at_ms)
    final = final_outages(revisions)
    links = {lookup.link for lookup in history.lookups} | {trouble.link for trouble in history.troubles}
    tally.link_weeks += len(links) * (history.end_ms - history.start_ms) / 3_600_000 / WEEK_HOURS
    true = [trouble for trouble in history.troubles if trouble.what in REPORTED]
    for outage in final:
        if not any(_meet(outage, trouble, history) for trouble in true):
            at = (outage.start_ms - history.start_ms) // 1000
            tally.false.append(f"{label} {outage.link} at {at} s: {outage.kind}, {outage.failures} failures")
    hits: dict[str, list[Lookup]] = {}
    for lookup in history.lookups:
        if lookup.hit and not any(begin <= lookup.asked_ms < end for begin, end in history.blind):
            hits.setdefault(lookup.link, []).append(lookup)
    for trouble in true:
        inside = [
            hit for hit in hits.get(trouble.link, ()) if trouble.start_ms <= hit.asked_ms < trouble.end_ms
        ]
        if inside:
            found = [outage for outage in final if _meet(outage, trouble, history)]
            _add_trouble(tally, history, trouble, inside, found, first_ms, label)


def _add_trouble(
    tally: Tally,
    history: History,
    trouble: Trouble,
    hits: list[Lookup],
    found: list[Outage],
    first_ms: dict[str, int],
    label: str,
) -> None:
    row = tally.rows.setdefault((trouble.link, trouble.what), Row())
    row.seen += 1
    if not found:
        at = (trouble.start_ms - history.start_ms) // 1000
        row.missed.append(f"{label} {trouble.link} {trouble.what} at {at} s: {len(hits)} attempts hit")
        return
    if any(
        begin - 60_000 < trouble.end_ms and trouble.start_ms < end + 60_000 for begin, end in history.blind
    ):
        return
    start_ms = min(outage.start_ms for outage in found)
    end_ms = max(_end_ms(outage, history) for outage in found)
    known_ms = min(
        hit.asked_ms + (TIMEOUT_MS if hit.outcome is None else min(hit.latency_ms, TIMEOUT_MS))
        for hit in hits
    )
    earliest = min(found, key=lambda outage: outage.start_ms)
    row.starts_ms.append(start_ms - trouble.start_ms)
    row.ends_ms.append(end_ms - trouble.end_ms)
    row.delays_ms.append(first_ms[earliest.outage_id] - known_ms)
    row.kinds.append({outage.kind for outage in found} == {KIND[trouble.what]})
    if trouble.what == "down":
        down = union((o.start_ms, _end_ms(o, history)) for o in found if o.kind == "down")
        tally.down_errors_ms.append(length_ms(down) - (trouble.end_ms - trouble.start_ms))


def _end_ms(outage: Outage, history: History) -> int:
    return history.end_ms if outage.end_ms is None else outage.end_ms


def _meet(outage: Outage, trouble: Trouble, history: History) -> bool:
    """Return whether an outage overlaps a trouble, to the second."""
    return (
        outage.link == trouble.link
        and outage.start_ms < trouble.end_ms + 1000
        and trouble.start_ms - 1000 < _end_ms(outage, history)
    )


def p95(values_ms: Iterable[int]) -> float:
    """Return the 95th percentile (nearest rank) of absolute values, in seconds; NaN without values."""
    ordered = sorted(abs(value) for value in values_ms)
    return ordered[-(-len(ordered) * 95 // 100) - 1] / 1000 if ordered else float("nan")


def table(tally: Tally) -> Table:
    """Return a tally as a table, a row for each link and kind of trouble."""
    shown = Table(
        "link", "trouble", "seen", "found", "start p95 (s)", "end p95 (s)", "delay p95 (s)", "kind right"
    )
    for (link, what), row in sorted(tally.rows.items(), key=lambda item: (_rank(item[0][0]), item[0][1])):
        times: list[Any] = [f"{p95(of):.1f}" for of in (row.starts_ms, row.ends_ms, row.delays_ms)]
        kinds = f"{sum(row.kinds)} of {len(row.kinds)}"
        shown.add_row(link, what, str(row.seen), str(row.seen - len(row.missed)), *times, kinds)
    return shown


def _rank(link: str) -> float:
    return RATES.get(link, 0.0)


def main(seeds: range, hours: float) -> None:
    """Draw histories, run them through the pipeline and print the results."""
    tally = Tally()
    for seed in track(seeds, "histories", console=Console(stderr=True)):
        history = draw(seed, hours)
        add(tally, history, outages_of(history), f"seed {seed}:")
    console = Console(width=120)
    console.print(table(tally))
    console.print(f"{tally.link_weeks:.2f} link-weeks, {len(tally.false)} false outages", highlight=False)
    errors = tally.down_errors_ms
    mean_ms = sum(errors) / max(len(errors), 1)
    console.print(
        f"downtime of {len(errors)} full outages: off by {mean_ms:+.0f} ms on average", highlight=False
    )
    for line in [*tally.false, *(line for row in tally.rows.values() for line in row.missed)]:
        console.print(f"  {line}", highlight=False)


if __name__ == "__main__":
    _first, _, _last = (sys.argv[1] if len(sys.argv) > 1 else "0-20").partition("-")
    main(range(int(_first), int(_last)), float(sys.argv[2]) if len(sys.argv) > 2 else 3.0)
