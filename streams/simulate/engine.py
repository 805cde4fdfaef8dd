"""The simulation itself: moves every dossier along its path, in order of time.

A dossier arrives (over its access line, if it has one), is received, makes its lookups one after the other,
is accepted, and is settled hours or days later. A failed lookup is retried after exponential backoff with
full jitter; when the portal runs out of attempts the dossier is deferred and retried some minutes later, and
it fails after too many deferrals. Retry storms and backlogs are not modelled explicitly: they result from
these rules when a link fails or recovers.

Time is a heap of (when, sequence, dossier). Most dossiers continue within a second, before anything else
happens: these are processed at once and never enter the heap. Each step returns when its dossier continues;
what it then does follows from its plan: it uses the next link, or is completed if there is none. The ending
of an attempt is drawn at its request, so its record may be written ahead of the clock, but never behind it.

This is the hot path of the simulation, from `Engine.run` via `_ask` and `_lookup` to `BrokerOrder.add`. It
takes some microseconds per record, so what many dossiers share is made once (`Matter`), and records are
encoded by the thousand (`BrokerOrder.lines`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import chain
from math import floor
from random import Random
from typing import Final

from streams.model.events import ANSWERED
from streams.model.wire import Lookup, Submission
from streams.simulate.broker import BrokerOrder, Entry
from streams.simulate.dossier import Dossier
from streams.simulate.draw import TABLE_SIZE, exponential, lognormal, pick
from streams.simulate.faults.laying import Window
from streams.simulate.load.links import STATUS_CODES, Ending, LinkState, View
from streams.simulate.observers import Clock, Observers
from streams.simulate.scenario import Patience
from streams.simulate.timetable import next_working_time

_FLUSH_MS: Final = 60_000
_PIECE_RECORDS: Final = 1024
_NEVER: Final = 1 << 62
"""The continuation time of a finished dossier: after the end of any run."""
_DENIED: Final[View] = ("denied", -1)
_REQUESTED: Final = "lookup.requested"
_COMPLETED: Final = "lookup.completed"

Arrivals = Iterator[tuple[int, Callable[[int], Dossier] | None]]


class Engine:
    """One run over ``[start_ms, end_ms)``.

    ``clocks`` are those of observers by portal, and of providers by link. `run` takes ``arrivals``, which
    yields (time, function that makes the dossier) in order of time. ``silent`` are the windows in which
    nobody comes, by portal. ``counters`` are the counts needed for calibration.
    """

    def __init__(
        self,
        *,
        start_ms: int,
        end_ms: int,
        broker: BrokerOrder,
        patience: Patience,
        rng: Random,
        observers: Observers,
        silent: dict[str, list[Window]],
        counters: defaultdict[str, int],
        clocks: Mapping[str, Clock],
    ) -> None:
        self._clocks = clocks
        self.start_ms, self.end_ms = start_ms, end_ms
        self.counters = counters
        self._broker, self._add, self._lookups_from = broker, broker.add, broker.lookups_from
        self._patience = patience
        self._rng, self._random = rng, rng.random
        self._observers, self._silent = observers, silent
        self._blind, self._is_blind = observers.blind, observers.is_blind
        self._heap: list[tuple[int, int, Dossier]] = []
        self._thinking = lognormal(60, 0.6)
        self._waiting = exponential(60_000)
        self._backoff_ms = _growing(
            patience.backoff_seconds * 1000, patience.backoff_times, patience.attempts, float("inf")
        )
        self._deferral_minutes = _growing(
            patience.deferral_minutes, 1.5, patience.deferrals, patience.deferral_up_to_minutes
        )

    def run(self, arrivals: Arrivals) -> Iterator[list[Entry]]:
        """Yield the whole log in broker order, in non-empty pieces."""
        heap, broker, end_ms = self._heap, self._broker, self.end_ms
        ask, complete = self._ask, self._complete
        sequence = 0
        coming: Arrivals = chain(arrivals, [(end_ms - 1, None)])
        next_arrival, make = next(coming)
        flush_at = self.start_ms + _FLUSH_MS
        while True:
            if heap and heap[0][0] <= next_arrival:
                at, _, dossier = heappop(heap)
                then = ask(at, dossier) if dossier.plan else complete(at, dossier)
            elif make is None:
                break
            else:
                at, dossier = next_arrival, make(next_arrival)
                then = self._arrive(at, dossier)
                next_arrival, make = next(coming)
            # Ties: entries in the heap run before the current dossier.
            next_other = heap[0][0] - 1 if heap and heap[0][0] <= next_arrival else next_arrival
            while True:
                if at >= flush_at:
                    flush_at = at + _FLUSH_MS
                    self._beat_until(at)
                    if len(broker) >= _PIECE_RECORDS and (entries := broker.until(at)):
                        yield entries
                if then > next_other:
                    break
                at = then
                then = ask(at, dossier) if dossier.plan else complete(at, dossier)
            if then < end_ms:
                sequence += 1
                heappush(heap, (then, sequence, dossier))
        self._beat_until(end_ms)
        if entries := broker.until(None):
            yield entries

    def _beat_until(self, at_ms: int) -> None:
        for beat_ms, beat in self._observers.beats(at_ms):
            self._broker.add_heartbeat(beat_ms, beat)

    def _arrive(self, at_ms: int, dossier: Dossier) -> int:
        matter = dossier.matter
        for window in self._silent.get(matter.portal, ()):
            if window.start_ms <= at_ms < window.end_ms:
                self.counters[f"stayed_away/{matter.flow}"] += 1
                return _NEVER
        if dossier.aim == "access":
            return self._ask(at_ms, dossier)
        return self._receive(at_ms, dossier)

    def _receive(self, at_ms: int, dossier: Dossier) -> int:
        self.counters[f"received/{dossier.matter.flow}"] += 1
        self._submission(at_ms, dossier, "received")
        thought = at_ms + self._thinking[floor(self._random() * TABLE_SIZE)]
        return thought if dossier.plan else self._accept(thought, dossier)

    def _submission(self, at_ms: int, dossier: Dossier, what: str, blocked_by: str | None = None) -> None:
        matter = dossier.matter
        if not matter.submits or at_ms >= self.end_ms:
            return
        type_ = f"submission.{what}"
        self.counters[type_] += 1
        if self._blind and self._is_blind(matter.portal, at_ms):
            self.counters["unseen"] += 1
            return
        dossier.asked = asked = dossier.asked + 1
        id_ = dossier.id
        clock = self._clocks[matter.observer]
        off_ms = clock.fast_ms if at_ms < clock.read_again_ms else clock.read(at_ms)
        self._add(
            dossier.partition,
            id_,
            at_ms,
            Submission(
                f"{id_}-{asked}",
                type_,
                at_ms + off_ms,
                id_,
                matter.portal,
                matter.agency,
                matter.service,
                matter.channel,
                blocked_by,
            ),
        )

    def _ask(self, at_ms: int, dossier: Dossier) -> int:
        """Make one attempt and handle its outcome; return when the dossier continues."""
        link = dossier.plan[dossier.step]
        if link.holds and (until := link.held_until(at_ms)) is not None:
            return self._hold(at_ms, until, link, dossier)
        matter = dossier.matter
        if link.id in dossier.denied_links:
            ending: Ending = "denied", self._thinking[floor(self._random() * TABLE_SIZE)], None, _DENIED
        else:
            ending = link.attempt(at_ms, matter.service, matter.weight)
        outcome, latency, _, view = ending
        known = at_ms + latency
        seen = not (self._blind and self._is_blind(matter.observer, at_ms))
        link.outcomes[outcome or "no_response"] += 1
        if link.open_faults or link.overloads:
            link.enter(at_ms, ending, matter, seen=seen)
        if seen:
            self._lookup(at_ms, known, link, dossier, outcome, view)
        else:
            self.counters["unseen"] += 1
        if outcome == "ok" or (outcome in ANSWERED and self._is_set_right(dossier)):
            return self._next_step(known, dossier)
        if outcome in ANSWERED:
            self.counters[f"rejected/{matter.flow}"] += 1
            self._submission(known, dossier, "rejected")
            return _NEVER
        if outcome == "denied":
            self.counters[f"failed/{matter.flow}"] += 1
            self._submission(known, dossier, "failed")
            return _NEVER
        return self._try_again(known, link, dossier)

    def _is_set_right(self, dossier: Dossier) -> bool:
        """Return whether a mismatch is corrected by a clerk or the citizen; after acceptance it always is."""
        if dossier.aim == "settling" or not dossier.matter.submits:
            return True
        return self._random() >= self._patience.mismatch_rejected

    def _lookup(
        self,
        at_ms: int,
        known: int,
        link: LinkState,
        dossier: Dossier,
        outcome: str | None,
        view: View | None,
    ) -> None:
        """Write the records of an attempt as seen by the portal and, if it reports, by the provider."""
        dossier.asked = asked = dossier.asked + 1
        matter, key, attempt = dossier.matter, dossier.id, dossier.attempt
        place, add, end_ms = dossier.partition + self._lookups_from, self._add, self.end_ms
        lookup, name, agency, service = f"{key}-{asked}", link.id, matter.agency, matter.service
        probe, clock = matter.synthetic, self._clocks[matter.observer]
        off_ms = clock.fast_ms if at_ms < clock.read_again_ms else clock.read(at_ms)
        add(
            place,
            key,
            at_ms,
            Lookup(
                lookup + "q",
                _REQUESTED,
                at_ms + off_ms,
                lookup,
                key,
                name,
                agency,
                service,
                attempt,
                "portal",
                None,
                None,
                probe,
            ),
        )
        if (
            outcome is not None
            and known < end_ms
            and not (self._blind and self._is_blind(matter.observer, known))
        ):
            add(
                place,
                key,
                known,
                Lookup(
                    lookup + "a",
                    _COMPLETED,
                    known + off_ms,
                    lookup,
                    key,
                    name,
                    agency,
                    service,
                    attempt,
                    "portal",
                    outcome,
                    STATUS_CODES[outcome],
                    probe,
                ),
            )
        if view is None or not link.link.provider_view:
            return
        way = min(25, (known - at_ms) // 6)
        arrived, (says, took) = at_ms + way, view
        if arrived >= end_ms:
            return
        clock = self._clocks[name]
        off_ms = clock.fast_ms if arrived < clock.read_again_ms else clock.read(arrived)
        add(
            place,
            key,
            arrived,
            Lookup(
                lookup + "Q",
                _REQUESTED,
                arrived + off_ms,
                lookup,
                key,
                name,
                agency,
                service,
                attempt,
                "provider",
                None,
                None,
                probe,
            ),
        )
        answered = max(arrived, known - way) if took < 0 else arrived + took
        if says is not None and answered < end_ms:
            add(
                place,
                key,
                answered,
                Lookup(
                    lookup + "A",
                    _COMPLETED,
                    answered + off_ms,
                    lookup,
                    key,
                    name,
                    agency,
                    service,
                    attempt,
                    "provider",
                    says,
                    STATUS_CODES[says],
                    probe,
                ),
            )

    def _next_step(self, at_ms: int, dossier: Dossier) -> int:
        dossier.step = step = dossier.step + 1
        dossier.attempt, dossier.tries, dossier.deferrals = 1, 0, 0
        if dossier.aim == "access":
            dossier.aim, dossier.plan, dossier.step = "lookups", dossier.plan[1:], 0
            return self._receive(at_ms, dossier)
        if step < len(dossier.plan):
            return at_ms + self._thinking[floor(self._random() * TABLE_SIZE)]
        if dossier.aim == "settling":
            return self._complete(at_ms, dossier)
        matter = dossier.matter
        self.counters[f"looked_up/{matter.flow}"] += matter.records
        return self._accept(at_ms, dossier) if matter.submits else _NEVER

    def _accept(self, at_ms: int, dossier: Dossier) -> int:
        """Accept a dossier, make the settling lookups its plan, and return when it will be settled."""
        matter = dossier.matter
        self.counters[f"accepted/{matter.flow}"] += 1
        self._submission(at_ms, dossier, "accepted")
        settled = at_ms + pick(matter.settling_table, self._rng)
        dossier.aim, dossier.plan, dossier.step = "settling", matter.settling, 0
        return next_working_time(settled, self._random())

    def _complete(self, at_ms: int, dossier: Dossier) -> int:
        if at_ms < self.end_ms:
            self.counters[f"completed/{dossier.matter.flow}"] += 1
            self._submission(at_ms, dossier, "completed")
        return _NEVER

    def _try_again(self, known: int, link: LinkState, dossier: Dossier) -> int:
        """Back off, defer or fail; return when the dossier continues."""
        matter = dossier.matter
        if matter.synthetic:
            return _NEVER
        patience = self._patience
        dossier.attempt += 1
        dossier.tries += 1
        if dossier.tries < patience.attempts:
            longest_ms = self._backoff_ms[dossier.tries - 1]
            return known + 200 + floor(self._random() * longest_ms)
        dossier.tries = 0
        dossier.deferrals += 1
        if dossier.deferrals > patience.deferrals:
            self.counters[f"failed/{matter.flow}"] += 1
            self._submission(known, dossier, "failed", link.id)
            return _NEVER
        if dossier.deferrals == 1:
            self._defer(known, link, dossier)
        wait = int(pick(self._waiting, self._rng) * self._deferral_minutes[dossier.deferrals - 1])
        return known + 30_000 + wait

    def _hold(self, at_ms: int, until: int, link: LinkState, dossier: Dossier) -> int:
        """Defer until some time after the end of announced maintenance, so that not all return at once."""
        if dossier.matter.synthetic:
            return _NEVER
        self._defer(at_ms, link, dossier)
        return until + floor(self._random() * 600_000)

    def _defer(self, at_ms: int, link: LinkState, dossier: Dossier) -> None:
        if dossier.aim == "lookups":
            self.counters[f"deferred/{dossier.matter.flow}"] += 1
            self._submission(at_ms, dossier, "deferred", link.id)


def _growing(first: float, times: float, count: int, most: float) -> list[float]:
    """Return a geometric series with a maximum; by multiplication, as powers differ between machines."""
    series, value = [], float(first)
    for _ in range(count):
        series.append(min(value, most))
        value *= times
    return series
