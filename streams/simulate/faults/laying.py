"""Schedules faults: turns a scenario's faults into spells on links, each with a record of the truth.

A steady fault is one spell, or a staircase of spells while it grows and recovers. Flapping alternates bad and
good spells of fixed length. Bursts is the Gilbert-Elliott chain in continuous time, whose stays in the good
and the bad state are exponential (so the parameters p and r of ``tc netem gemodel`` are the inverse mean
lengths). Such a fault ends with its last bad spell.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from random import Random
from typing import Final

from msgspec import Struct

from streams.simulate.draw import exponential, pick
from streams.simulate.faults.causes import CAUSES, Kind, Symptom, shown_as
from streams.simulate.scenario import Fault, epoch_ms
from streams.simulate.truth import Kind as TrueKind
from streams.simulate.truth import TrueFault

_STEPS: Final = 6
"""The number of steps of a ramp and of a recovery."""

Laid = tuple[Fault, int, int]
"""A fault with the start and end of its window, ``[start_ms, end_ms)``."""


class Spell(Struct, gc=False):
    """An uninterrupted bad time of one link, ``[start_ms, end_ms)`` in request time.

    ``upto`` are the symptoms' cumulative weights; the last one is their sum.
    """

    start_ms: int
    end_ms: int
    kind: Kind
    share: float
    symptoms: tuple[Symptom, ...]
    upto: tuple[int, ...]
    services: frozenset[str] | None
    slow_times: float
    late_ms: int
    truth: TrueFault
    hit_services: set[str]
    hit_agencies: set[str]


class Window(Struct, frozen=True):
    """The time ``[start_ms, end_ms)`` of a silence or a blind observer."""

    start_ms: int
    end_ms: int


def planned(faults: Sequence[Fault]) -> Iterator[Laid]:
    """Yield the scenario's own faults with their windows."""
    for fault in faults:
        start = epoch_ms(fault.start)
        yield fault, start, start + round(fault.minutes * 60_000)


def on_paper(link: str) -> Fault:
    """Return the fault of a link that was never connected."""
    return Fault(
        id=f"on-paper-{link}",
        cause="never_connected",
        start="1970-01-01T07:00",
        minutes=1,
        links=[link],
        about="the link exists on paper only",
    )


def end_on(fault: Fault, link: str, end_ms: int) -> int:
    """Return when a fault ends on one of its links, which recover one after the other in the order listed."""
    if len(fault.links) < 2 or link not in fault.links:
        return end_ms
    behind = len(fault.links) - 1 - fault.links.index(link)
    return end_ms - round(fault.ends_apart_minutes * 60_000 * behind / (len(fault.links) - 1))


def true_fault(fault: Fault, link: str, start_ms: int, end_ms: int) -> TrueFault:
    """Return the record of the truth of a fault on one link, before any request."""
    cause = CAUSES[fault.cause]
    share = cause.share if fault.share is None else fault.share
    kind: TrueKind
    match cause.kind:
        case "silence" | "maintenance" | "blindness" | "data_quality":
            kind = cause.kind
        case "slow" | "late":
            kind = "degraded"
        case _:
            kind = "down" if share >= 0.5 else "degraded"
    return TrueFault(
        fault_id=fault.id,
        group=fault.id,
        link=link,
        kind=kind,
        outage=kind in ("down", "degraded"),
        cause=fault.cause,
        who=cause.who,
        about=fault.about,
        fault_domain=cause.domain,
        start_ms=start_ms,
        end_ms=end_ms,
        share=share,
        pattern=fault.pattern or cause.pattern,
    )


def spells_of(fault: Fault, truth: TrueFault, rng: Random) -> list[Spell]:
    """Return the bad spells of a fault on one link, ascending and disjoint; it ends with the last one."""
    cause = CAUSES[fault.cause]
    symptoms = shown_as(cause, frozenset(fault.outcomes))
    upto = tuple(accumulate(symptom.weight for symptom in symptoms))
    services = frozenset(fault.services) or None
    late_ms = round(fault.late_minutes * 60_000)
    hit_services: set[str] = set()
    hit_agencies: set[str] = set()
    spells = [
        Spell(
            start,
            end,
            cause.kind,
            share,
            symptoms,
            upto,
            services,
            fault.slow_times,
            late_ms,
            truth,
            hit_services,
            hit_agencies,
        )
        for start, end, share in _bad_times(fault, truth, rng)
        if start < end
    ]
    if spells:
        truth.end_ms = spells[-1].end_ms
    return spells


def _bad_times(fault: Fault, truth: TrueFault, rng: Random) -> Iterator[tuple[int, int, float]]:
    """Yield the start and end of each bad time, and the share of attempts hit in it."""
    if truth.pattern == "steady":
        yield from _stairs(fault, truth)
        return
    bad_ms, good_ms = fault.bad_seconds * 1000, fault.good_seconds * 1000
    lengths = (
        ((round(bad_ms),), (round(good_ms),))
        if truth.pattern == "flapping"
        else (exponential(bad_ms), exponential(good_ms))
    )
    at = truth.start_ms
    while at < truth.end_ms:
        until = at + pick(lengths[0], rng)
        yield at, min(until, truth.end_ms), truth.share
        at = until + pick(lengths[1], rng)


def _stairs(fault: Fault, truth: TrueFault) -> Iterator[tuple[int, int, float]]:
    """Yield the steps of a fault whose share grows to its full value and then falls again."""
    length = truth.end_ms - truth.start_ms
    up = min(round(fault.ramp_minutes * 60_000), length)
    down = min(round(fault.recovery_minutes * 60_000), length - up)
    edges: list[tuple[int, float]] = []
    if up:
        edges += [
            (truth.start_ms + up * n // _STEPS, truth.share * (n + 1) / (_STEPS + 1)) for n in range(_STEPS)
        ]
    edges.append((truth.start_ms + up, truth.share))
    if down:
        falls = truth.end_ms - down
        edges += [
            (falls + down * n // _STEPS, truth.share * (_STEPS - n) / (_STEPS + 1)) for n in range(_STEPS)
        ]
    edges.append((truth.end_ms, 0.0))
    for (start, share), (end, _) in pairwise(edges):
        yield start, end, share
