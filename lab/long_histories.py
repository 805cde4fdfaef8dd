"""Long made-up histories of one link, as measurements: one trouble after the other, for hours and days.

Where `histories` makes events for the whole pipeline and `link_years` makes troubles far apart, these are
chains: degraded turns to down and back, a link flaps for hours, an outage lasts a day, nobody asks, nobody
watches, and facts come late up to a bound. They are made to try what detection remembers: facts are drawn as
slots, so a day takes a second, and everything follows from the seed.
"""

from bisect import bisect_right
from collections.abc import Iterator
from math import exp, log
from random import Random
from typing import Final, NamedTuple

from msgspec import Struct

from lab.phases import HOUR_MS, START_MS, Confined, Phase, agency_of, draw_confined, draw_phases, service_of
from streams.model.events import NO_RESPONSE
from streams.model.intervals import Intervals, clip, difference
from streams.model.measurement import (
    EDGE_TIMES,
    Alive,
    Asked,
    LinkCells,
    LinkSlot,
    Measurement,
    Part,
    RecordCounts,
    Source,
)
from streams.model.settings import SLOT_MS, DetectSettings
from streams.model.sketch import bucket_of
from streams.model.topics import LOOKUPS

LINK: Final = "npd"
TIMEOUT_MS: Final = DetectSettings().lookup_timeout_ms
FAILURES: Final = ("timeout", "unreachable", "provider_error", NO_RESPONSE)
MOST_CUT_MS: Final = 60_000
FAR_MS: Final = START_MS + 1000 * HOUR_MS
MOST_ATTEMPTS: Final = 30_000
MOST_LATE: Final = 200
"""Late facts of a history, about: each has its minute, and an outage that lasts, looked at again."""


class LongHistory(NamedTuple):
    """One link's measurements in a reading order, and how the link was.

    No fact is later than ``latest_ms``, by the watermark of the cut that it comes with.
    """

    measurements: list[Measurement]
    phases: list[Phase]
    partitions: int
    rate_per_s: float
    latest_ms: int


class _Attempt(Struct):
    asked_ms: int
    known_ms: int
    outcome: str
    told_ms: int
    sign: int = 1
    agency: str = ""


def draw(
    seed: int | str, *, late: bool = True, hours: float | None = None, confined: bool = False
) -> LongHistory:
    """Return a history of ten to sixty hours (or ``hours``).

    With ``late`` facts some or many come late. Where some trouble is ``confined``, services and agencies fail
    wholly, beside what befalls the link.
    """
    rng = Random(f"long/{seed}")  # noqa: S311 - a history, no secret
    hours = rng.uniform(10, 60) if hours is None else hours
    rate = exp(rng.uniform(log(0.02), log(5.0)))
    if hours > 10:  # the longest histories are those of the quiet links, or a trial would take hours
        hours = max(min(hours, MOST_ATTEMPTS / rate / 3600), 10.0)
    partitions = rng.randrange(1, 5)
    end_ms = START_MS + round(hours * HOUR_MS)
    background = rng.choice((0.0, 0.01, 0.03, 0.03, 0.08))
    phases = draw_phases(rng, end_ms, background)
    names = draw_confined(rng, end_ms) if confined else []
    most_late_ms = rng.choice((60_000, 300_000, 1_200_000, 5 * HOUR_MS)) if late else 0
    late_share = rng.choice((0.002, 0.03, 0.2)) if late else 0.0
    late_share = min(late_share, MOST_LATE / (rate * hours * 3600))
    told: list[list[_Attempt]] = [[] for _ in range(partitions)]
    for attempt in _attempts(rng, phases, rate, names if confined else None):
        if rng.random() < late_share:
            attempt.told_ms += round(most_late_ms * rng.random())
        told[rng.randrange(partitions)].append(attempt)
        if (
            late and attempt.outcome == NO_RESPONSE and rng.random() < min(0.3, 10 * late_share)
        ):  # its answer still comes
            came_ms = attempt.asked_ms + TIMEOUT_MS + rng.randrange(1, min(most_late_ms, 1_200_000))
            mine = told[rng.randrange(partitions)] if rng.random() < 0.1 else told[0]
            back_ms = max(came_ms, attempt.told_ms)
            told[0] += [
                _Attempt(attempt.asked_ms, attempt.known_ms, NO_RESPONSE, back_ms, -1, attempt.agency)
            ]
            mine += [_Attempt(attempt.asked_ms, came_ms, "ok", back_ms, 1, attempt.agency)]
    measurements: list[Measurement] = []
    for partition, mine in enumerate(told):
        beats = difference([(START_MS, FAR_MS)], [(p.start_ms, p.end_ms) for p in phases if p.blind])
        measurements += _cuts(rng, partition, mine, beats, end_ms, most_late_ms if partition == 0 else 0)
    lag = rng.choice((0, 0, 30_000, 600_000))
    behind = [rng.uniform(0, lag) for _ in range(partitions)]
    measurements.sort(key=lambda m: (m.watermark_ms + behind[m.source.partition], m.source.partition))
    return LongHistory(measurements, phases, partitions, rate, most_late_ms + MOST_CUT_MS + 2 * SLOT_MS)


def _attempts(
    rng: Random, phases: list[Phase], rate: float, confined: list[Confined] | None
) -> Iterator[_Attempt]:
    """Yield the attempts; they have agencies only if trouble may be confined to some of these."""
    usual = log(80 + 250 * rng.random())
    starts = [phase.start_ms for phase in phases]
    now_ms = float(START_MS)
    while (now_ms := now_ms + rng.expovariate(rate / 1000)) < phases[-1].end_ms:
        asked_ms = int(now_ms)
        phase = phases[bisect_right(starts, asked_ms) - 1]
        if phase.silent or phase.blind:
            continue
        latency_ms = max(int(rng.lognormvariate(usual, 0.5)), 1)
        outcome, agency = "ok", "" if confined is None else agency_of(asked_ms)
        names = {service_of(asked_ms), agency}
        hit = any(one.start_ms <= asked_ms < one.end_ms and one.name in names for one in confined or ())
        if rng.random() < phase.fails or hit:
            outcome = FAILURES[rng.randrange(len(FAILURES))]
            latency_ms = {"timeout": 10_000, NO_RESPONSE: TIMEOUT_MS}.get(outcome, latency_ms)
        elif rng.random() < phase.slow:
            latency_ms = min(latency_ms * 15, TIMEOUT_MS - 1)
        known_ms = asked_ms + latency_ms
        if phases[bisect_right(starts, known_ms) - 1].blind:  # nobody was there to see it answered
            known_ms, outcome = asked_ms + TIMEOUT_MS, NO_RESPONSE
        yield _Attempt(asked_ms, known_ms, outcome, known_ms, agency=agency)


def _cuts(
    rng: Random, partition: int, told: list[_Attempt], beats: Intervals, end_ms: int, late_beats_ms: int
) -> Iterator[Measurement]:
    """Yield one partition's cuts, some seconds to a minute of watermark apart."""
    told.sort(key=lambda attempt: attempt.told_ms)
    usual_ms = rng.choice((2 * SLOT_MS, 6 * SLOT_MS, MOST_CUT_MS))
    held: list[tuple[int, int, int]] = []
    at = offset = 0
    before_ms = START_MS
    last_ms = end_ms + late_beats_ms + 4 * HOUR_MS
    if told:
        last_ms = max(last_ms, told[-1].told_ms + HOUR_MS)
    while before_ms < last_ms:
        idle = before_ms > end_ms and at == len(told)
        step_ms = MOST_CUT_MS if idle else SLOT_MS * rng.randrange(1, usual_ms // SLOT_MS + 1)
        until_ms = before_ms + step_ms
        slots: dict[int, LinkSlot] = {}
        while at < len(told) and told[at].told_ms < until_ms:
            _add(slots, told[at])
            at += 1
        alive = []
        for start_ms, stop_ms in clip(beats, before_ms, until_ms):
            if late_beats_ms and rng.random() < 0.01:
                held.append((until_ms + round(rng.random() * late_beats_ms), start_ms, stop_ms))
            else:
                alive.append(Alive("portal", start_ms, stop_ms, (LINK,)))
        alive += [
            Alive("portal", start_ms, stop_ms, (LINK,)) for due, start_ms, stop_ms in held if due < until_ms
        ]
        held = [one for one in held if one[0] >= until_ms]
        fresh = [slots[start_ms] for start_ms in sorted(slots) if start_ms + SLOT_MS > before_ms]
        behind = [slots[start_ms] for start_ms in sorted(slots) if start_ms + SLOT_MS <= before_ms]
        count = 1 + sum(slot.requested for slot in slots.values())
        yield Measurement(
            Source(LOOKUPS, partition, offset, offset + count, f"{partition:032x}{offset:032x}"),
            until_ms,
            RecordCounts(applied=count),
            [LinkCells(LINK, fresh, behind)],
            alive=alive,
        )
        offset += count
        before_ms = until_ms


def _add(slots: dict[int, LinkSlot], attempt: _Attempt) -> None:
    """Add an attempt to the slot in which its outcome became known; a negative one is taken back."""
    start_ms, sign = attempt.known_ms // SLOT_MS * SLOT_MS, attempt.sign
    slot = slots.get(start_ms)
    if slot is None:
        slot = slots[start_ms] = LinkSlot(start_ms)
    slot.requested += max(sign, 0) if attempt.outcome != NO_RESPONSE else 0
    slot.outcomes[attempt.outcome] = slot.outcomes.get(attempt.outcome, 0) + sign
    second, ms = divmod(attempt.asked_ms, 1000)
    entry = next((asked for asked in slot.asked if asked.second == second), None)
    if entry is None:
        entry = Asked(second)
        slot.asked.append(entry)
        slot.asked.sort(key=lambda asked: asked.second)
    parts = [slot.services.setdefault(service_of(attempt.asked_ms), Part())]
    if attempt.agency:
        parts.append(slot.agencies.setdefault(attempt.agency, Part()))
    after_ms = attempt.asked_ms - start_ms
    if attempt.outcome == "ok":
        entry.ok += sign
        entry.first_ok = ms if entry.first_ok < 0 else min(entry.first_ok, ms)
        for part in parts:
            part.ok += sign
            part.first_ok = after_ms if part.first_ok is None else min(part.first_ok, after_ms)
        bucket = bucket_of(attempt.known_ms - attempt.asked_ms)
        slot.latency[bucket] = slot.latency.get(bucket, 0) + sign
        return
    entry.failed += sign
    _note_time(entry.first_failed, entry.removed, ms, sign)
    for part in parts:
        part.failed += sign
        _note_time(part.first_failed, part.removed, after_ms, sign)
    if sign > 0:
        slot.failed_dossiers[attempt.asked_ms % 4000 * 2_654_435_761 % (1 << 40)] = 1


def _note_time(times: list[int], removed: list[int], at_ms: int, sign: int) -> None:
    """Keep the earliest times of failures, and those that are taken back of others."""
    if sign > 0:
        times[:] = sorted([*times, at_ms])[:EDGE_TIMES]
    elif at_ms in times:
        times.remove(at_ms)
    else:
        removed[:] = sorted([*removed, at_ms])
