"""Synthetic link-years with known truth: the measurements of a link, one minute at a time.

Trouble follows a Weibull process of shape 0.7 (it clusters, as in field data of repairable systems) and is
repaired after a lognormal time, so most of it is short and some of it long. It hits all attempts, most or
some, or it is slow or flapping; besides, there are times without lookups, and times without an observer.
Attempts are a Poisson process of fixed rate with 3 % of noise. Facts are made as slots, not as events: each
attempt has its own request time and time of becoming known, and its slot holds both, as in `measure`.
Everything follows from the seed.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from math import log
from random import Random
from typing import Any, Final, NamedTuple

from msgspec import Struct

from lab.histories import BACKGROUND, OUTCOMES, START_MS, Trouble, What
from streams.model.events import NO_RESPONSE
from streams.model.intervals import Interval, Intervals, clip, difference, union
from streams.model.measurement import (
    EDGE_TIMES,
    Alive,
    Asked,
    LinkCells,
    LinkSlot,
    Measurement,
    RecordCounts,
    Source,
)
from streams.model.settings import SLOT_MS, MeasureSettings
from streams.model.sketch import BUCKET_LOWER_MS
from streams.model.topics import LOOKUPS

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
TIMEOUT_MS: Final = MeasureSettings().lookup_timeout_ms
OBSERVER: Final = "portal"

SHAPE: Final = 0.7
MEAN_DAYS_BETWEEN: Final = 5.0
"""The mean time from one trouble's end to the next one's start: some seventy troubles a year."""
WHAT: Final[dict[What, tuple[float, float, float]]] = {
    "down": (0.52, 8.0, 1.2),
    "half": (0.08, 12.0, 1.0),
    "degraded": (0.14, 15.0, 1.0),
    "late": (0.08, 15.0, 1.0),
    "flapping": (0.06, 8.0, 0.6),
    "silence": (0.06, 20.0, 1.0),
    "blind": (0.06, 10.0, 1.2),
}
"""The frequency of each, its median length in minutes, and the log standard deviation."""
FLAP_MS: Final = 100_000
FLAP_BAD_MS: Final = 60_000
CODES: Final = ("ok", "timeout", "unreachable", "reset", "provider_error", NO_RESPONSE)
NOISE: Final = (1, 1, 2, 4, 5)
"""How attempts fail by chance, as indexes into `CODES`."""


class Fate(Struct):
    """The attempts during one trouble: all, those hit by it, and those reported by an observer."""

    attempts: int = 0
    hit: int = 0
    seen: int = 0
    first_hit_ms: int | None = None
    known_ms: int | None = None
    """When the first hit of all that were reported became known."""


def draw_troubles(rng: Random, link: str, rate_per_s: float, days: float) -> list[Trouble]:
    """Return the troubles of a link, in order, far enough apart for it to be seen to recover."""
    scale_ms = MEAN_DAYS_BETWEEN * DAY_MS / 1.2658  # the mean of a Weibull of shape 0.7 and scale 1
    least_gap_ms = 600_000 + round(20_000 / rate_per_s)
    kinds = list(WHAT)
    troubles: list[Trouble] = []
    at_ms, end_ms = START_MS + 3_600_000, START_MS + round(days * DAY_MS)
    while True:
        at_ms += least_gap_ms + round(rng.weibullvariate(scale_ms, SHAPE))
        what = rng.choices(kinds, [WHAT[kind][0] for kind in kinds])[0]
        _, minutes, sigma = WHAT[what]
        until_ms = at_ms + round(MINUTE_MS * rng.lognormvariate(log(minutes), sigma))
        if until_ms + 3_600_000 > end_ms:
            return troubles
        parts: tuple[Interval, ...] = ((at_ms, until_ms),)
        if what == "flapping":
            parts = tuple((t, min(t + FLAP_BAD_MS, until_ms)) for t in range(at_ms, until_ms, FLAP_MS))
            until_ms = parts[-1][1]
        share = {"half": 0.6 + 0.35 * rng.random(), "degraded": 0.18 + 0.22 * rng.random()}.get(what, 1.0)
        troubles.append(Trouble(link, what, at_ms, until_ms, share, rng.choice(OUTCOMES), parts))
        at_ms = until_ms


class Conduct(NamedTuple):
    """How a link behaves outside trouble, by ascending times, of which the first is the beginning.

    From ``at_ms[n]`` on a share of ``shares[n]`` of the attempts fails, and answers take ``slower[n]`` times
    as long as usual; a share of ``heavy[n]`` of them takes `HEAVY_MS` more.
    """

    at_ms: Sequence[int] = (0,)
    shares: Sequence[float] = (BACKGROUND,)
    slower: Sequence[float] = (1.0,)
    heavy: Sequence[float] = (0.0,)


USUAL: Final = Conduct()
HEAVY_MS: Final = 40_000
"""As if the lookup timeout were longer than that: a request waits for its answer."""


class LinkYear:
    """One link over some days: its troubles, and its measurements, which are made once.

    ``fates`` says of each trouble what became of its attempts; it is complete when all measurements are made.
    By default troubles are drawn by `draw_troubles`.
    """

    def __init__(
        self,
        seed: int,
        link: str,
        rate_per_s: float,
        days: float,
        conduct: Conduct = USUAL,
        troubles: Sequence[Trouble] | None = None,
    ) -> None:
        import numpy as np  # noqa: PLC0415 - wanted for trials alone

        rng = Random(f"{seed}/{link}")  # noqa: S311 - a history, no secret
        self._np: Any = np
        self._rng: Any = np.random.default_rng(rng.getrandbits(64))
        self.link, self.rate_per_s, self.days = link, rate_per_s, days
        self.start_ms, self.end_ms = START_MS, START_MS + round(days * DAY_MS)
        self.troubles = list(troubles or ())
        if troubles is None:
            self.troubles = draw_troubles(rng, link, rate_per_s, days)
        self._from = np.array(conduct.at_ms, dtype=np.int64)
        self._conduct = [np.array(part, dtype=float) for part in conduct[1:]]
        self.fates = [Fate() for _ in self.troubles]
        self.attempts = 0
        self.blind: Intervals = union((t.start_ms, t.end_ms) for t in self.troubles if t.what == "blind")
        parts = [(*part, at) for at, t in enumerate(self.troubles) for part in t.parts]
        self._starts = np.array([start for start, _, _ in parts], dtype=np.int64)
        self._ends = np.array([end for _, end, _ in parts], dtype=np.int64)
        self._of = np.array([at for _, _, at in parts], dtype=np.int64)
        self._shares = np.array([trouble.share for trouble in self.troubles])
        self._usual = log(80 + 250 * rng.random())
        self._bounds = np.array(BUCKET_LOWER_MS)
        self._requested: Any = None

    def measurements(self) -> Iterator[Measurement]:
        """Yield what `measure` would say, a cut a minute: where a cut falls changes no result."""
        carried: Any = None
        offset = 0
        for day_ms in range(self.start_ms, self.end_ms, DAY_MS):
            until_ms = min(day_ms + DAY_MS, self.end_ms)
            (asked, known, code, latency), carried = self.lookups(day_ms, until_ms, carried)
            ready = deque(self._slots(asked, known, code, latency))
            for minute_ms in range(day_ms, until_ms, MINUTE_MS):
                end_ms = min(minute_ms + MINUTE_MS, until_ms)
                slots = []
                while ready and ready[0].start_ms < end_ms:
                    slots.append(ready.popleft())
                alive = difference([(minute_ms, end_ms)], clip(self.blind, minute_ms, end_ms))
                told = offset + 1 + sum(slot.requested for slot in slots)
                yield Measurement(
                    source=Source(LOOKUPS, 0, offset, told, f"{offset:064x}"),
                    watermark_ms=end_ms,
                    records=RecordCounts(applied=told - offset),
                    links=[LinkCells(self.link, slots)],
                    alive=[Alive(OBSERVER, *span, (self.link,)) for span in alive],
                )
                offset = told

    def lookups(self, from_ms: int, to_ms: int, carried: Any) -> tuple[tuple[Any, ...], Any]:
        """Draw the requests of a day; return the lookups that become known in it, and those that do later.

        Both as four arrays: request time, time of becoming known, outcome, latency.
        """
        np, rng = self._np, self._rng
        number = int(rng.poisson(self.rate_per_s * (to_ms - from_ms) / 1000))
        asked = np.sort(rng.integers(from_ms, to_ms, number))
        step = np.maximum(np.searchsorted(self._from, asked, side="right") - 1, 0)
        shares, slower, heavy = (part[step] for part in self._conduct)
        latency = (rng.lognormal(self._usual, 0.5, number) * slower).astype(np.int64)
        latency += np.where(rng.random(number) < heavy, HEAVY_MS, 0)
        code = np.where(rng.random(number) < shares, rng.choice(NOISE, number), 0)
        at = np.searchsorted(self._starts, asked, side="right") - 1
        inside = (at >= 0) & (asked < self._ends[at]) if len(self._ends) else np.zeros(number, dtype=bool)
        trouble = np.where(inside, self._of[at] if len(self._of) else 0, -1)
        hit = inside & (rng.random(number) < self._shares[trouble]) if len(self._shares) else inside
        kept = np.ones(number, dtype=bool)
        touched = sorted(set(trouble[inside].tolist()))
        for which in touched:
            mine = hit & (trouble == which)
            what, outcome = self.troubles[which].what, self.troubles[which].outcome
            if what == "silence":
                kept &= ~mine
            elif what == "late":
                latency[mine] = np.minimum(15 * latency[mine], TIMEOUT_MS - 1)
            elif what != "blind":
                drawn = rng.integers(1, len(CODES), number)
                code[mine] = drawn[mine] if outcome == "any" else CODES.index(outcome or NO_RESPONSE)
        latency[code == 1] = 10_000
        quick = (code == 2) | (code == 3)
        latency[quick] = 20 + latency[quick] // 4
        unheard = self._in(self.blind, asked + latency)
        code[unheard] = len(CODES) - 1
        latency[code == len(CODES) - 1] = TIMEOUT_MS
        seen = kept & ~self._in(self.blind, asked)
        self._note(touched, trouble, hit & kept, kept, seen, asked, asked + latency)
        self.attempts += int(kept.sum())
        self._requested = np.unique(asked[seen] // SLOT_MS, return_counts=True)
        rows = tuple(column[seen] for column in (asked, asked + latency, code, latency))
        if carried is not None:
            rows = tuple(np.concatenate(both) for both in zip(carried, rows, strict=True))
        now = rows[1] < to_ms
        return tuple(column[now] for column in rows), tuple(column[~now] for column in rows)

    def _in(self, spans: Intervals, times: Any) -> Any:
        np = self._np
        inside = np.zeros(len(times), dtype=bool)
        for start_ms, end_ms in spans:
            inside |= (times >= start_ms) & (times < end_ms)
        return inside

    def _note(
        self, touched: list[int], trouble: Any, hit: Any, kept: Any, seen: Any, asked: Any, known: Any
    ) -> None:
        for which in touched:
            mine, fate = trouble == which, self.fates[which]
            fate.attempts += int((mine & kept).sum())
            struck = mine & hit
            fate.hit += int(struck.sum())
            fate.seen += int((struck & seen).sum())
            if fate.first_hit_ms is None and struck.any():
                fate.first_hit_ms = int(asked[struck].min())
            if (struck & seen).any():
                known_ms = int(known[struck & seen].min())
                fate.known_ms = known_ms if fate.known_ms is None else min(fate.known_ms, known_ms)

    def _slots(self, asked: Any, known: Any, code: Any, latency: Any) -> list[LinkSlot]:
        """Return the slots of a day, ascending."""
        np = self._np
        slots: dict[int, LinkSlot] = {}
        order = np.lexsort((asked, known // SLOT_MS))
        asked, slot, code = asked[order], known[order] // SLOT_MS, code[order]
        bucket = np.searchsorted(self._bounds, latency[order], side="right") - 1
        second = asked // 1000
        new = np.ones(len(asked), dtype=bool)
        new[1:] = (second[1:] != second[:-1]) | (slot[1:] != slot[:-1])
        first = np.flatnonzero(new)
        last = np.append(first[1:], len(asked)) if len(first) else first
        for number, begin, end in zip(slot[first].tolist(), first.tolist(), last.tolist(), strict=True):
            into = slots.get(number)
            if into is None:
                into = slots[number] = LinkSlot(number * SLOT_MS)
            rows = (column[begin:end].tolist() for column in (asked, code, bucket))
            _add_second(into, *rows)
        for number, count in zip(*self._requested, strict=True):
            at = int(number)
            slots.setdefault(at, LinkSlot(at * SLOT_MS)).requested += int(count)
        return [slots[number] for number in sorted(slots)]


def _add_second(into: LinkSlot, asked_ms: list[int], codes: list[int], buckets: list[int]) -> None:
    """Add to a slot what became known in it of one second's requests, in the order of asking."""
    second = asked_ms[0] // 1000
    entry = Asked(second)
    for at_ms, code, bucket in zip(asked_ms, codes, buckets, strict=True):
        name = CODES[code]
        into.outcomes[name] = into.outcomes.get(name, 0) + 1
        if code == 0:
            entry.ok += 1
            entry.first_ok = at_ms - second * 1000 if entry.first_ok < 0 else entry.first_ok
            into.latency[bucket] = into.latency.get(bucket, 0) + 1
        else:
            entry.failed += 1
            if len(entry.first_failed) < EDGE_TIMES:
                entry.first_failed.append(at_ms - second * 1000)
    into.asked.append(entry)
