"""Checks that forgetting does not change results: long histories with limited and with unlimited memory.

`python -m lab.forgetting_trials 0-300` judges each history of `lab.long_histories` twice: once under a bound
on lateness just above its latest fact, forgetting every few minutes, the state saved and loaded now and then;
and once with all of it remembered. Every revision must be the same, evidence apart. With `on-time` no fact is
late, and nothing may be taken back that was published. With `confined` services and agencies fail beside it.
"""

import sys
import time
from collections.abc import Iterable
from random import Random
from typing import Final

from msgspec.structs import replace
from rich.console import Console

from lab.long_histories import LongHistory, draw
from lab.phases import HOUR_MS
from streams.detect.detector import Detector
from streams.detect.link.placing import REACH_MS
from streams.detect.link.snapshot import load, save
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.measurement import Measurement
from streams.model.outage import Outage
from streams.model.settings import DetectSettings

ENDLESS_MS: Final = 10_000 * HOUR_MS


def remembering_all(history: LongHistory) -> list[Outage]:
    """Return every revision found if nothing is ever forgotten."""
    settings = DetectSettings(allowed_lateness_ms=ENDLESS_MS)
    detector = Detector(Rules(Rule()), settings, range(history.partitions), outages_only=True)
    return [outage for measurement in history.measurements for outage in _found(detector, measurement)]


def forgetting(history: LongHistory, seed: int | str) -> list[Outage]:
    """Return every revision found under a tight bound, with the state saved and loaded at random moments."""
    rng = Random(f"forgetting/{seed}")  # noqa: S311 - a trial, no secret
    bound_ms = history.latest_ms + rng.choice((0, 0, 60_000, HOUR_MS))
    settings = DetectSettings(allowed_lateness_ms=bound_ms)
    every_ms = rng.choice((60_000, 300_000, 1_800_000))
    restarts = {rng.randrange(len(history.measurements)) for _ in range(rng.randrange(6))}
    detector = _detector(history, settings, every_ms)
    found: list[Outage] = []
    for position, measurement in enumerate(history.measurements):
        if position in restarts:
            saved = save(detector, position)
            detector = _detector(history, settings, every_ms)
            load(detector, saved)
        found += _found(detector, measurement, position)
    return found


def _detector(history: LongHistory, settings: DetectSettings, every_ms: int) -> Detector:
    detector = Detector(Rules(Rule()), settings, range(history.partitions), outages_only=True)
    detector.forget_every_ms = every_ms
    return detector


def _found(detector: Detector, measurement: Measurement, position: int | None = None) -> Iterable[Outage]:
    for output in detector.apply(measurement, position).output.values():
        yield from output.outages


def told(outages: Iterable[Outage]) -> list[Outage]:
    """Return revisions without their evidence, in one order."""
    plain = [replace(outage, evidence=[]) for outage in outages]
    return sorted(plain, key=lambda outage: (outage.outage_id, outage.revision))


def taken_back(outages: Iterable[Outage]) -> list[str]:
    """Return the retractions among revisions; each should follow from a late fact."""
    found: list[str] = []
    before: dict[str, Outage] = {}
    for outage in told(outages):
        known = before.get(outage.outage_id, outage)
        before[outage.outage_id] = outage
        if outage.status == "retracted" or outage.reason == "late":
            found.append(f"{outage.outage_id} is {outage.status}, {outage.reason}")
        elif None not in (known.end_ms, outage.end_ms) and outage.end_ms != known.end_ms:
            found.append(f"the end of {outage.outage_id} moves from {known.end_ms} to {outage.end_ms}")
        elif outage.start_ms > known.start_ms + REACH_MS:
            found.append(f"the start of {outage.outage_id} moves from {known.start_ms} to {outage.start_ms}")
    return found


def main(seeds: range, options: Iterable[str]) -> int:
    """Judge the given histories; print those that differ, and how long it took."""
    console, on_time, confined = Console(width=200), "on-time" in options, "confined" in options
    began, differ, revisions = time.process_time(), 0, 0
    for seed in seeds:
        history = draw(f"confined/{seed}" if confined else seed, late=not on_time, confined=confined)
        some = forgetting(history, seed)
        whole = some if on_time else remembering_all(history)
        revisions += len(whole)
        lines = taken_back(some) if on_time else []
        if not on_time and told(whole) != told(some):
            lines = list(_differences(told(whole), told(some)))
        if lines:
            differ += 1
            console.print(
                f"{seed}: {history.rate_per_s:.3f} a second, {history.partitions} partitions", *lines
            )
    took_s = time.process_time() - began
    console.print(f"{differ} of {len(seeds)} differ; {revisions} revisions, {took_s:.0f} s of CPU time")
    return 1 if differ else 0


def _differences(whole: list[Outage], some: list[Outage]) -> Iterable[str]:
    for name, ones, others in (("all", whole, some), ("some", some, whole)):
        for outage in [one for one in ones if one not in others][:4]:
            yield f"\n  {name} {replace(outage, services=[], agencies=[])}"


if __name__ == "__main__":
    _first, _last = (int(number) for number in sys.argv[1].split("-"))
    sys.exit(main(range(_first, _last), sys.argv[2:]))
