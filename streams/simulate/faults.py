"""Faults laid out in time: from what a scenario says to spells on links, each with its account of truth.

A steady fault is one spell. Flapping alternates bad and good spells of fixed mean; bursts is the
Gilbert-Elliott chain in continuous time, whose sojourns in the good and the bad state are exponential (so its
parameters p and r of ``tc netem gemodel`` are the inverse mean lengths). Random faults come from renewal
processes, see `FaultProcess`.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Literal, TypeVar

from msgspec import Struct

from streams.simulate.city import FAILING, PROVIDER_EFFECTS, Effect, Fault, FaultProcess, epoch_ms
from streams.simulate.draw import exponential, lognormal, pick, seeded, weibull, weibull_scale
from streams.simulate.truth import Kind, TrueFault

K = TypeVar("K", bound=str)

_HOUR_MS = 3_600_000
_SHARES = {"all": (100, 100), "most": (55, 90), "some": (15, 45)}


class Spell(Struct, gc=False):
    """An uninterrupted bad time of one link, ``[start_ms, end_ms)`` in request time."""

    start_ms: int
    end_ms: int
    effect: Effect
    share: float
    services: frozenset[str] | None
    slow_times: float
    late_ms: int
    truth: TrueFault
    hit_services: set[str]
    hit_agencies: set[str]


class Window(Struct, frozen=True):
    """A time ``[start_ms, end_ms)`` in which something general holds: a silence, a blind observer."""

    start_ms: int
    end_ms: int


def planned(faults: Sequence[Fault]) -> Iterator[tuple[Fault, int, int]]:
    """Yield the scenario's own faults with their windows."""
    for fault in faults:
        start = epoch_ms(fault.start)
        yield fault, start, start + round(fault.minutes * 60_000)


def by_chance(
    process: FaultProcess, start_ms: int, end_ms: int, seed: int
) -> Iterator[tuple[Fault, int, int]]:
    """Yield the faults of a renewal process in ``[start_ms, end_ms)``, one after the other.

    The first gap is drawn like the others, so a process is young at the start of a scenario.
    """
    rng = seeded(seed, f"faults/{process.id}")
    mean_ms = process.mean_gap_hours * _HOUR_MS
    gaps = weibull(weibull_scale(mean_ms, process.gap_shape), process.gap_shape)
    lengths = lognormal(process.median_minutes * 60_000, process.sigma)
    at, number = start_ms + pick(gaps, rng), 0
    while at < end_ms:
        number += 1
        length = max(30_000, pick(lengths, rng))
        effect: Effect = weighted(process.effects, rng)
        links = [process.links[int(rng.random() * len(process.links))]]
        if len(process.links) > 1 and rng.random() < process.shared:
            others = [link for link in process.links if link != links[0]]
            links += [link for link in others if rng.random() < 0.5] or [
                others[int(rng.random() * len(others))]
            ]
        low, high = _SHARES[weighted(process.shares, rng)]
        share = (low + int(rng.random() * (high - low + 1))) / 100
        pattern: Literal["steady", "flapping", "bursts"] = "steady"
        if effect in FAILING and rng.random() < 0.2:
            pattern = "flapping" if rng.random() < 0.5 else "bursts"
        fault = Fault(
            id=f"{process.id}-{number}",
            effect=effect,
            start="1970-01-01T07:00",
            minutes=length / 60_000,
            links=sorted(links),
            share=share,
            pattern=pattern,
            cause=f"by chance: {process.id}",
        )
        yield fault, at, min(at + length, end_ms)
        at += length + pick(gaps, rng)


def on_paper(link: str) -> Fault:
    """Return the fault of a link that was never connected."""
    return Fault(
        id=f"on-paper-{link}",
        effect="unreachable",
        start="1970-01-01T07:00",
        minutes=1,
        links=[link],
        cause="the link exists on paper only",
    )


def weighted(weights: Mapping[K, float], rng: Random) -> K:
    """Draw a key with probability proportional to its weight."""
    names = list(weights)
    at = rng.random() * sum(weights.values())
    for name in names:
        at -= weights[name]
        if at < 0:
            return name
    return names[-1]


def true_fault(fault: Fault, link: str, start_ms: int, end_ms: int) -> TrueFault:
    """Return the account of a fault on one link, before anyone has asked anything."""
    kind: Kind
    match fault.effect:
        case "silence" | "maintenance" | "blindness" | "data_quality":
            kind = fault.effect
        case "slow" | "accepted_late":
            kind = "degraded"
        case _:
            kind = "down" if fault.share >= 0.5 else "degraded"
    outage = kind in ("down", "degraded")
    domain: Literal["link", "provider", "none"] = "none"
    if outage:
        domain = "provider" if fault.effect in PROVIDER_EFFECTS else "link"
    return TrueFault(
        fault_id=fault.id,
        group=fault.id,
        link=link,
        kind=kind,
        outage=outage,
        effect=fault.effect,
        cause=fault.cause or fault.effect,
        fault_domain=domain,
        start_ms=start_ms,
        end_ms=end_ms,
        share=fault.share,
        pattern=fault.pattern,
    )


def spells_of(fault: Fault, truth: TrueFault, rng: Random) -> list[Spell]:
    """Return the bad spells of a fault on one link, ascending and disjoint."""
    services = frozenset(fault.services) or None
    hit_services: set[str] = set()
    hit_agencies: set[str] = set()

    def spell(start_ms: int, end_ms: int) -> Spell:
        late_ms = round(fault.late_minutes * 60_000)
        return Spell(
            start_ms,
            end_ms,
            fault.effect,
            fault.share,
            services,
            fault.slow_times,
            late_ms,
            truth,
            hit_services,
            hit_agencies,
        )

    if fault.pattern == "steady":
        return [spell(truth.start_ms, truth.end_ms)]
    bad_ms, good_ms = fault.bad_seconds * 1000, fault.good_seconds * 1000
    lengths = (
        ((round(bad_ms),), (round(good_ms),))
        if fault.pattern == "flapping"
        else (exponential(bad_ms), exponential(good_ms))
    )
    spells, at = [], truth.start_ms
    while at < truth.end_ms:
        until = at + pick(lengths[0], rng)
        spells.append(spell(at, min(until, truth.end_ms)))
        at = until + pick(lengths[1], rng)
    return spells
