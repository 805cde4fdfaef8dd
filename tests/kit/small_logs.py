"""Small logs of lookups for the tests of `detect`: drawn by seed, in a true order, then disturbed."""

import dataclasses
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

import msgspec

from streams.detect.detector import Detector
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.measure.meter import Meter
from streams.model.canonical import final_outages
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.settings import DetectSettings, MeasureSettings
from streams.model.topics import LOOKUPS

START_MS = 1_700_000_100_000
encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Fault:
    """For ``seconds`` from ``start``, a share of the attempts ends with ``outcome`` (None: never).

    ``slower`` says how many times longer than usual that takes.
    """

    start: int
    seconds: int
    share: float = 1.0
    outcome: str | None = "unreachable"
    slower: float = 1.0


@dataclass(frozen=True)
class Told:
    """An event and when it is told: its place in the log."""

    told_ms: int
    partition: int
    event: LookupRequested | LookupCompleted | Heartbeat


@dataclass
class Result:
    """Everything published, in the order of publication."""

    windows: list[Window] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    detector: Detector | None = None

    def final(self):
        """Return the last revision of each outage that stands."""
        return final_outages(self.outages)

    def stories(self):
        """Return what the last revisions say, without how they came about."""
        return [story(outage) for outage in self.final()]

    def last_windows(self):
        """Return what the last revision of each window says, without its number and its late records.

        One that knows nothing says what a missing one does.
        """
        last = {(window.link, window.start_ms): window for window in self.windows}
        return {
            key: msgspec.structs.replace(w, revision=0, late=0)
            for key, w in last.items()
            if w.requested or w.attempts or w.state_ms["UNKNOWN"] < w.end_ms - w.start_ms
        }


def story(outage):
    """Return what an outage says, without how it came about."""
    return msgspec.structs.replace(
        outage,
        outage_id="",
        revision=0,
        supersedes=None,
        reason="opened",
        detected_at_ms=0,
        first_published_at_ms=None,
        end_published_at_ms=None,
        evidence=[],
    )


def draw_log(seed, *, seconds=900, faults=(), link="npd", rate=1.0, partitions=2, background=0.03, beat_s=5):
    """Return a log in the order of event time: Poisson lookups on one link, and heartbeats."""
    rng = Random(f"{seed}/{link}")
    told = []
    at, number = 0.0, 0
    while (at := at + rng.expovariate(rate)) < seconds:
        number += 1
        asked_ms = START_MS + round(at * 1000)
        outcome, latency_ms = "ok", round(rng.lognormvariate(5, 0.5))
        hit = next(
            (f for f in faults if f.start <= at < f.start + f.seconds and rng.random() < f.share), None
        )
        if hit is not None:
            outcome, latency_ms = hit.outcome, round(latency_ms * hit.slower)
        elif rng.random() < background:
            outcome = "timeout"
        if outcome == "timeout":
            latency_ms = 10_000
        dossier = f"{link}-d{rng.randrange(max(number // 2, 1))}"
        partition = crc32(dossier.encode()) % partitions
        common = {
            "lookup_id": f"{link}-l{number}",
            "dossier_id": dossier,
            "link": link,
            "agency": f"a{number % 3}",
            "service": f"s{number % 5}",
            "attempt": 1,
            "observer": "portal",
        }
        request = LookupRequested(event_id=f"{link}-q{number}", occurred_at_ms=asked_ms, **common)
        told.append(Told(asked_ms, partition, request))
        if outcome is not None:
            known_ms = asked_ms + latency_ms
            done = LookupCompleted(
                event_id=f"{link}-c{number}", occurred_at_ms=known_ms, outcome=outcome, **common
            )
            told.append(Told(known_ms, partition, done))
    for second in range(0, seconds, beat_s):
        for partition in range(partitions):
            at_ms = START_MS + second * 1000
            beat = Heartbeat(at_ms, "portal", [link], interval_ms=beat_s * 1000)
            told.append(Told(at_ms, partition, beat))
    return told


EVENTFUL = ("npd", "tax")
SILENT, BLIND = (2_400, 4_200), (5_000, 5_640)
"""Seconds in which nobody asks while heartbeats go on, and in which nothing comes at all."""
FAULTS = [
    Fault(700, 200),
    Fault(1_200, 600, share=0.3),
    Fault(2_300, 60, outcome=None),
    Fault(4_900, 500, share=0.8),
]


def eventful_log(*, late: bool = False) -> list[Told]:
    """Return two hours of two links with trouble of each kind that reaches into a silence and a blindness."""
    log = []
    for seed, link in enumerate(EVENTFUL):
        log += draw_log(seed, seconds=7_200, link=link, faults=FAULTS[seed:], rate=0.4)
    rng = Random(7)

    def kept(told: Told) -> bool:
        at = (told.event.occurred_at_ms - START_MS) / 1000
        silent = SILENT[0] <= at < SILENT[1] and hasattr(told.event, "dossier_id")
        return not silent and not BLIND[0] <= at < BLIND[1]

    log = [told for told in log if kept(told)]
    if not late:
        return log
    return [
        dataclasses.replace(one, told_ms=one.told_ms + (400_000 if rng.random() < 0.02 else 0)) for one in log
    ]


def shuffled(log, seed, bound_ms=5_000):
    """Return the log with its records told late by less than the bound."""
    rng = Random(seed)
    return [Told(t.told_ms + rng.randrange(bound_ms), t.partition, t.event) for t in log]


def measure(log, settings=None):
    """Return the measurements of each partition of a log, in their order."""
    measurements: dict[int, list[Measurement]] = {}
    for partition in sorted({told.partition for told in log}):
        mine = sorted((told for told in log if told.partition == partition), key=lambda told: told.told_ms)
        meter = Meter(LOOKUPS, partition, settings or MeasureSettings())
        end_ms = max(told.told_ms for told in log)
        meter.feed([(n, end_ms, _key(told.event), encode(told.event)) for n, told in enumerate(mine)])
        assert not meter.dead_letters
        measurements[partition] = meter.measurements
    return measurements


def detect(measurements, *, order=None, rule=None, settings=None, unhurried=False):
    """Return what comes of measurements, read in ``order`` (by default that of their watermarks)."""
    detector = Detector(
        Rules(rule or Rule()), settings or DetectSettings(), sorted(measurements), unhurried=unhurried
    )
    result = Result(detector=detector)
    for measurement in order or by_watermark(measurements):
        take(result, detector.apply(measurement).output)
    if unhurried:
        take(result, detector.catch_up())
    return result


def take(result, output):
    """Add a detector's output to a result."""
    for published in output.values():
        result.windows += published.windows
        result.outages += published.outages


def by_watermark(measurements):
    """Return all measurements in the order of their watermarks."""
    every = [measurement for of_one in measurements.values() for measurement in of_one]
    return sorted(every, key=lambda measurement: (measurement.watermark_ms, measurement.source))


def interleaved(measurements, seed):
    """Return all measurements in a random interleaving of the partitions."""
    rng = Random(seed)
    queues = [list(of_one) for of_one in measurements.values()]
    order = []
    while any(queues):
        queue = rng.choice([queue for queue in queues if queue])
        burst = rng.randrange(1, 40)
        order += queue[:burst]
        del queue[:burst]
    return order


def run(log, **how):
    """Measure a log and detect."""
    return detect(measure(log), **how)


def _key(event):
    return None if isinstance(event, Heartbeat) else event.dossier_id.encode()
