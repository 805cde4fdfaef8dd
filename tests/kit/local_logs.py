"""Logs of one link in which a service or an agency breaks, drawn by seed."""

from dataclasses import dataclass
from random import Random
from zlib import crc32

from small_logs import START_MS, Told

from streams.model.events import Heartbeat, LookupCompleted, LookupRequested


@dataclass(frozen=True)
class Broken:
    """For ``seconds`` from ``start`` a share of the lookups of `broken` (or of all) ends with ``outcome``."""

    start: int
    seconds: int
    kind: str
    outcome: str | None = "unreachable"
    share: float = 1.0


@dataclass(frozen=True)
class NamedLog:
    """A log, and its lookups as (asked_ms, outcome, service, agency)."""

    told: list[Told]
    lookups: list[tuple[int, str | None, str, str]]

    def asked_in(self, kind, start_ms, end_ms):
        """Return how many lookups of `broken` were asked in ``[start_ms, end_ms)``."""
        return sum(start_ms <= at < end_ms for at, _ in self._broken(kind))

    def edges(self, kind, start, end):
        """Return when `broken` first failed from a second on, and first succeeded from another on."""
        broken = self._broken(kind)
        failed = min(at for at, outcome in broken if at >= START_MS + start * 1000 and outcome != "ok")
        return failed, min(at for at, outcome in broken if at >= START_MS + end * 1000 and outcome == "ok")

    def _broken(self, kind):
        named = ((at, outcome, names[kind == "agency"]) for at, outcome, *names in self.lookups)
        return [(at, outcome) for at, outcome, name in named if name == "broken"]


def draw_named_log(seed, rate, seconds, faults, *, share=0.1, partitions=2, services=25, agencies=40):
    """Return a log: Poisson lookups, 3 % of which fail by themselves; `broken` has a share of them."""
    rng = Random(f"{seed}/named")
    told, lookups, at, number = [], [], 0.0, 0
    while (at := at + rng.expovariate(rate)) < seconds:
        number += 1
        named = {"service": f"s{rng.randrange(services)}", "agency": f"a{rng.randrange(agencies)}"}
        for kind in {fault.kind for fault in faults} - {"all"}:
            if rng.random() < share:
                named[kind] = "broken"
        outcome = "timeout" if rng.random() < 0.03 else "ok"
        for fault in faults:
            hit = fault.kind == "all" or named[fault.kind] == "broken"
            if fault.start <= at < fault.start + fault.seconds and hit and rng.random() < fault.share:
                outcome = fault.outcome
        asked_ms = START_MS + round(at * 1000)
        lookups.append((asked_ms, outcome, named["service"], named["agency"]))
        common = {
            "lookup_id": f"l{number}",
            "dossier_id": f"d{number}",
            "link": "npd",
            "attempt": 1,
            "observer": "portal",
        } | named
        partition = crc32(common["dossier_id"].encode()) % partitions
        told.append(Told(asked_ms, partition, LookupRequested(f"q{number}", asked_ms, **common)))
        if outcome is not None:
            known_ms = asked_ms + (10_000 if outcome == "timeout" else round(rng.lognormvariate(5, 0.5)))
            done = LookupCompleted(event_id=f"c{number}", occurred_at_ms=known_ms, outcome=outcome, **common)
            told.append(Told(known_ms, partition, done))
    for beat in range(0, seconds, 5):
        at_ms = START_MS + beat * 1000
        beats = [
            Told(at_ms, partition, Heartbeat(at_ms, "portal", ["npd"], interval_ms=5_000))
            for partition in range(partitions)
        ]
        told += beats
    return NamedLog(told, lookups)
