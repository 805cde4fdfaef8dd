"""Synthetic histories with known truth: all kinds of trouble on links of very different volume in one log.

Where `trials.py` feeds the rule slots, here whole logs go through the whole pure pipeline: requests and
completions of several links side by side, out of order, twice, up to twenty minutes late or stamped hours
ahead, under 3 % of noise; and now and then a link is down, degraded, slow, flapping, flooded by
citizens not found, silent, or unseen. Everything follows from the seed.
"""

from collections.abc import Iterator
from math import log
from random import Random
from typing import Final, Literal, NamedTuple

import msgspec

from streams.model.digest import Entry
from streams.model.events import Heartbeat, LookupCompleted, LookupEvent, LookupRequested

START_MS: Final = 1_718_000_000_000
PARTITIONS: Final = 3
RATES: Final = {"slow-40": 1 / 40, "slow-10": 0.1, "slow-3": 1 / 3, "one": 1.0, "five": 5.0, "twenty": 20.0}
"""Lookups a second of each link."""
BACKGROUND: Final = 0.03

What = Literal["down", "half", "degraded", "late", "flapping", "not_found", "denied", "silence", "blind"]
REPORTED: Final = frozenset({"down", "half", "degraded", "late", "flapping"})
"""The kinds that should be reported as an outage."""
WHAT: Final[tuple[What, ...]] = (
    *("down",) * 6,
    "half",
    *("degraded",) * 2,
    "late",
    "flapping",
    "not_found",
    "denied",
    "silence",
)
OUTCOMES: Final = ("unreachable", "timeout", "reset", "provider_error", None, "any")
"""How attempts end in trouble: None never completes; `any` is a random one of the others per attempt."""


class Trouble(NamedTuple):
    """What was wrong with a link in ``[start_ms, end_ms)`` of request time.

    ``share`` of the attempts are hit and end with ``outcome``. ``parts`` are the bad spells within.
    """

    link: str
    what: What
    start_ms: int
    end_ms: int
    share: float
    outcome: str | None
    parts: tuple[tuple[int, int], ...]


class Lookup(NamedTuple):
    """One lookup: its request time, outcome (None: it never ended), and duration."""

    link: str
    asked_ms: int
    outcome: str | None
    latency_ms: int
    hit: bool


class History(NamedTuple):
    """A log by partition, in the order of its offsets, and the truth about it."""

    entries: dict[int, list[Entry]]
    troubles: list[Trouble]
    blind: list[tuple[int, int]]
    lookups: list[Lookup]
    start_ms: int
    end_ms: int


def draw_troubles(rng: Random, link: str, rate_per_s: float, start_ms: int, end_ms: int) -> list[Trouble]:
    """Return the troubles of a link, with quiet times in between."""
    troubles: list[Trouble] = []
    least_ms = max(60_000, round(12_000 / rate_per_s))
    at_ms = start_ms + rng.randrange(60_000, 900_000)
    while True:
        what = rng.choice(WHAT)
        length_ms = least_ms + round(rng.expovariate(1 / least_ms))
        if what in ("degraded", "half", "late"):
            length_ms = max(length_ms, 240_000, round(60_000 / rate_per_s))
        elif what == "flapping":
            length_ms = max(length_ms, 300_000, round(60_000 / rate_per_s))
        if at_ms + length_ms + 300_000 > end_ms:
            return troubles
        until_ms = at_ms + length_ms
        share = {"half": 0.6 + 0.35 * rng.random(), "degraded": 0.18 + 0.22 * rng.random()}.get(what, 1.0)
        outcome = rng.choice(OUTCOMES)
        parts: tuple[tuple[int, int], ...] = ((at_ms, until_ms),)
        if what == "flapping":
            period_ms = max(60_000, round(16_000 / rate_per_s))
            bad_ms = period_ms * 6 // 10
            parts = tuple((t, min(t + bad_ms, until_ms)) for t in range(at_ms, until_ms, period_ms))
            until_ms = parts[-1][1]
        troubles.append(Trouble(link, what, at_ms, until_ms, share, outcome, parts))
        at_ms = until_ms + rng.randrange(300_000, 1_200_000) + round(20_000 / rate_per_s)


def draw_lookups(
    rng: Random, link: str, rate_per_s: float, troubles: list[Trouble], start_ms: int, end_ms: int
) -> Iterator[Lookup]:
    """Yield the lookups of a link in order of request: a Poisson process, with noise."""
    parts = sorted((begin, end, t) for t in troubles for begin, end in t.parts)
    at, now_ms, usual = 0, float(start_ms), log(80 + 250 * rng.random())
    while (now_ms := now_ms + rng.expovariate(rate_per_s / 1000)) < end_ms:
        asked_ms = int(now_ms)
        while at < len(parts) and parts[at][1] <= asked_ms:
            at += 1
        trouble = parts[at][2] if at < len(parts) and parts[at][0] <= asked_ms else None
        outcome: str | None = "ok" if rng.random() > 0.05 else "not_found"
        latency_ms = int(rng.lognormvariate(usual, 0.5))
        hit = False
        if trouble is not None and rng.random() < trouble.share:
            hit = trouble.what in REPORTED
            match trouble.what:
                case "silence":
                    continue
                case "not_found" | "denied":
                    outcome = trouble.what
                case "late":
                    latency_ms *= 15
                case _:
                    outcome = trouble.outcome
                    if outcome == "any":
                        outcome = rng.choice(OUTCOMES[:-1])
        elif rng.random() < BACKGROUND:
            outcome = rng.choice(("timeout", "timeout", "unreachable", "provider_error", None))
        if outcome == "timeout":
            latency_ms = 10_000
        elif outcome in ("unreachable", "reset"):
            latency_ms = 20 + latency_ms // 4
        yield Lookup(link, asked_ms, outcome, latency_ms, hit)


def draw(
    seed: int, hours: float, rates: dict[str, float] | None = None, *, disturbed: bool = True
) -> History:
    """Return a history; ``disturbed`` adds disorder, duplicates, late records and clocks that are ahead."""
    rng = Random(seed)  # noqa: S311 - a history, no secret
    rates = RATES if rates is None else rates
    start_ms = START_MS + rng.randrange(5_000)
    end_ms = start_ms + round(hours * 3_600_000)
    blind: list[tuple[int, int]] = []
    while rng.random() < 0.6 and len(blind) < 2:
        begin_ms = rng.randrange(start_ms + 300_000, end_ms - 900_000)
        blind.append((begin_ms, begin_ms + rng.randrange(30_000, 500_000)))
    troubles = [t for link, rate in rates.items() for t in draw_troubles(rng, link, rate, start_ms, end_ms)]
    lookups: list[Lookup] = []
    told: list[tuple[int, int, LookupEvent]] = []
    for link, rate in rates.items():
        mine = [t for t in troubles if t.link == link]
        for number, lookup in enumerate(draw_lookups(rng, link, rate, mine, start_ms, end_ms)):
            lookups.append(lookup)
            told += _events(rng, lookup, f"{link}-{number}")
    beat_ms = start_ms
    while beat_ms < end_ms:
        beat = Heartbeat(beat_ms, "portal", list(rates), interval_ms=1000)
        told += [(beat_ms, partition, beat) for partition in range(PARTITIONS)]
        beat_ms += 1000
    told = [one for one in told if not any(b <= one[0] < e for b, e in blind)]
    if disturbed:
        told = [again for one in told for again in _disturb(rng, *one)]
    told.sort(key=lambda one: one[0])
    entries: dict[int, list[Entry]] = {partition: [] for partition in range(PARTITIONS)}
    for told_ms, partition, event in told:
        key = None if isinstance(event, Heartbeat) else event.dossier_id.encode()
        mine_ = entries[partition]
        mine_.append((len(mine_), told_ms, key, msgspec.json.encode(event)))
    return History(entries, troubles, sorted(blind), lookups, start_ms, end_ms)


def _events(rng: Random, lookup: Lookup, name: str) -> list[tuple[int, int, LookupEvent]]:
    dossier = int(rng.random() * 1_000_000_000)
    request = LookupRequested(
        event_id=f"q{name}",
        occurred_at_ms=lookup.asked_ms,
        lookup_id=name,
        dossier_id=f"d{dossier}",
        link=lookup.link,
        agency=f"a{dossier % 7}",
        service=f"s{dossier % 5}",
        attempt=1,
        observer="portal",
    )
    partition = dossier % PARTITIONS
    if lookup.outcome is None:
        return [(lookup.asked_ms, partition, request)]
    done_ms = lookup.asked_ms + lookup.latency_ms
    done = LookupCompleted(
        event_id=f"c{name}",
        occurred_at_ms=done_ms,
        lookup_id=name,
        dossier_id=request.dossier_id,
        link=lookup.link,
        agency=request.agency,
        service=request.service,
        attempt=1,
        observer="portal",
        outcome=lookup.outcome,  # type: ignore[arg-type]  # drawn from OUTCOMES
    )
    return [(lookup.asked_ms, partition, request), (done_ms, partition, done)]


def _disturb(
    rng: Random, told_ms: int, partition: int, event: LookupEvent
) -> Iterator[tuple[int, int, LookupEvent]]:
    """Yield an event as it is reported: out of order, sometimes twice, late, or with a wrong clock."""
    chance = rng.random()
    late_ms = rng.randrange(4_900)
    if chance < 0.003 and not isinstance(event, Heartbeat):
        late_ms = rng.randrange(5_000, 1_200_000)
    elif chance < 0.0031:
        event = msgspec.structs.replace(
            event, occurred_at_ms=event.occurred_at_ms + rng.randrange(3_600_000, 20_000_000)
        )
    yield told_ms + late_ms, partition, event
    if rng.random() < 0.01:
        yield told_ms + late_ms + rng.randrange(60_000), partition, event
