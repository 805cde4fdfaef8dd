"""Random faults: renewal processes whose clock runs faster in office hours, and announced maintenance."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Final, TypeVar

from streams.model.hours.calendar import DAY_MS, UTC_OFFSET_MS, is_working_day, local_date
from streams.simulate.draw import exponential, lognormal, pick, seeded, weibull, weibull_scale
from streams.simulate.faults.causes import CAUSES, CauseName
from streams.simulate.faults.laying import Laid
from streams.simulate.scenario import Fault, FaultProcess

K = TypeVar("K", bound=str)

_HOUR_MS: Final = 3_600_000
_OPEN: Final = range(7, 18)
"""Local office hours of a working day, in which changes are made and people come."""
_OPEN_SHARE: Final = 5 * len(_OPEN) / (7 * 24)
_SHARES: Final = {"all": (100, 100), "most": (55, 90), "some": (15, 45)}
_WORKS_FROM: Final = 21
"""Maintenance starts within five hours from this local hour."""
_NOWHEN: Final = "1970-01-01T07:00"


def by_chance(process: FaultProcess, start_ms: int, end_ms: int, seed: int, city: str) -> Iterator[Laid]:
    """Yield the faults of a process in ``[start_ms, end_ms)``, first unplanned ones, then maintenance.

    ``city`` names the scenario: a process of the same name draws other numbers in another scenario. The first
    gap is drawn like the others, so each process has no history before the scenario.
    """
    yield from _unplanned(process, start_ms, end_ms, seeded(seed, f"{city}/faults/{process.id}"))
    yield from _works(process, start_ms, end_ms, seeded(seed, f"{city}/works/{process.id}"))


def _unplanned(process: FaultProcess, start_ms: int, end_ms: int, rng: Random) -> Iterator[Laid]:
    gaps = weibull(weibull_scale(process.mean_gap_hours * _HOUR_MS, process.gap_shape), process.gap_shape)
    lengths = lognormal(process.median_minutes * 60_000, process.sigma)
    chance = shared_events(process.shared, len(process.links))
    at, number = after(start_ms, pick(gaps, rng), process.office_times), 0
    while at < end_ms:
        number += 1
        length = max(30_000, pick(lengths, rng))
        cause = _cause(process.causes, at, rng)
        links = [process.links[int(rng.random() * len(process.links))]]
        if len(process.links) > 1 and rng.random() < chance:
            others = [link for link in process.links if link != links[0]]
            links += [link for link in others if rng.random() < 0.5] or [
                others[int(rng.random() * len(others))]
            ]
        low, high = _SHARES[weighted(process.shares, rng)]
        share = (low + int(rng.random() * (high - low + 1))) / 100
        grows, recovers, apart = (rng.random() for _ in range(3))
        minutes = length / 60_000
        fault = Fault(
            id=f"{process.id}-{number}",
            cause=cause,
            start=_NOWHEN,
            minutes=minutes,
            links=sorted(links),
            share=share,
            about=f"by chance: {process.id}",
            ramp_minutes=minutes / 8 if grows < 0.2 else 0,
            recovery_minutes=minutes / 5 if recovers < 0.3 else 0,
            ends_apart_minutes=minutes * apart / 3,
        )
        yield fault, at, min(at + length, end_ms)
        at = after(at + length, pick(gaps, rng), process.office_times)


def _works(process: FaultProcess, start_ms: int, end_ms: int, rng: Random) -> Iterator[Laid]:
    """Yield announced maintenance, each on one link and by night, with its share of all failures."""
    if not process.maintenance:
        return
    lengths = lognormal(process.median_minutes * 60_000, process.sigma)
    every_ms = process.mean_gap_hours * _HOUR_MS + sum(lengths) / len(lengths)
    per_event = links_per_event(process.shared, len(process.links))
    gaps = exponential(every_ms * (1 - process.maintenance) / (process.maintenance * per_event))
    windows = lognormal(75 * 60_000, 0.5)
    at, number = start_ms + pick(gaps, rng), 0
    while at < end_ms:
        night = at - (at + UTC_OFFSET_MS) % DAY_MS + _WORKS_FROM * _HOUR_MS + int(rng.random() * 5 * _HOUR_MS)
        link = process.links[int(rng.random() * len(process.links))]
        until = min(night + pick(windows, rng), end_ms)
        if night < end_ms:
            number += 1
            yield (
                Fault(
                    id=f"{process.id}-works-{number}",
                    cause="maintenance",
                    start=_NOWHEN,
                    minutes=(until - night) / 60_000 or 1,
                    links=[link],
                    about=f"announced works: {process.id}",
                ),
                night,
                until,
            )
        at += pick(gaps, rng)


def mean_links(links: int) -> float:
    """Return how many of the links a shared fault hits on average: one, and half of the others."""
    others = links - 1
    return 1 + others / 2 + 0.5**others if others else 1.0


def shared_events(share: float, links: int) -> float:
    """Return the share of events that must be shared so that ``share`` of the *link failures* are.

    >>> round(shared_events(0.3, 4), 3)
    0.14
    """
    struck = mean_links(links)
    return share / (struck - share * (struck - 1)) if links > 1 else 0.0


def links_per_event(share: float, links: int) -> float:
    """Return how many links an unplanned event hits on average."""
    chance = shared_events(share, links)
    return 1 - chance + chance * mean_links(links)


def after(at_ms: int, passed_ms: float, office_times: float) -> int:
    """Return when ``passed_ms`` have passed on a clock that is ``office_times`` as fast in office hours.

    Over an ordinary week the clock shows the same as any other.
    """
    slow = 1 / (_OPEN_SHARE * office_times + 1 - _OPEN_SHARE)
    at: float = at_ms
    while True:
        edge, fast = _next_edge(int(at))
        rate = slow * office_times if fast else slow
        if (edge - at) * rate >= passed_ms:
            return int(at + passed_ms / rate)
        passed_ms -= (edge - at) * rate
        at = edge


def _next_edge(at_ms: int) -> tuple[int, bool]:
    """Return when office hours next begin or end, and whether ``at_ms`` is within them."""
    into_day = (at_ms + UTC_OFFSET_MS) % DAY_MS
    midnight = at_ms - into_day
    if not is_working_day(local_date(at_ms)):
        return midnight + DAY_MS, False
    opens, closes = _OPEN.start * _HOUR_MS, _OPEN.stop * _HOUR_MS
    if into_day < opens:
        return midnight + opens, False
    if into_day < closes:
        return midnight + closes, True
    return midnight + DAY_MS, False


def _cause(causes: Mapping[CauseName, float], at_ms: int, rng: Random) -> CauseName:
    """Draw a cause by its weight and its likelihood at that hour."""
    _, office = _next_edge(at_ms)
    return weighted({name: w * (CAUSES[name].office if office else 1) for name, w in causes.items()}, rng)


def weighted(weights: Mapping[K, float], rng: Random) -> K:
    """Draw a key with probability proportional to its weight."""
    names = list(weights)
    at = rng.random() * sum(weights.values())
    for name in names:
        at -= weights[name]
        if at < 0:
            return name
    return names[-1]
