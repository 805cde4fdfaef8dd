"""The simulation proper: every dossier walked along its path, in the order of time.

A dossier arrives (over its access line, where it has one), is received, makes its lookups one after the
other, is accepted, and is settled hours or days later. A lookup that fails is tried again after exponential
backoff with full jitter; when the portal's patience ends the dossier is deferred and asks again some minutes
later, and is given up after many deferrals. Nothing here knows of retry storms or of backlogs: they are what
these rules do to a link that fails and to one that comes back.

Time is a heap of (when, sequence, dossier, what next). Endings of attempts are drawn when they are asked, so
their records may be written ahead of the clock, never behind it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain
from random import Random
from typing import Final

from streams.model.events import ANSWERED
from streams.simulate.broker import LOOKUP, SUBMISSION, BrokerOrder, Entry
from streams.simulate.city import Patience
from streams.simulate.dossier import Dossier, Matter
from streams.simulate.draw import TABLE_SIZE, exponential, lognormal, pick
from streams.simulate.faults import Window
from streams.simulate.links import STATUS_CODES, Ending, LinkState
from streams.simulate.timetable import next_working_time

_FLUSH_MS: Final = 60_000
_PIECE_RECORDS: Final = 2048
_NEVER: Final = 1 << 62
"""When a dossier goes on that does not: after the end of any run."""
_REACHES_PROVIDER: Final = ANSWERED | {"provider_error", "throttled"}
_RESULTS: Final = {
    outcome: f'","outcome":"{outcome}","status_code":{code}' for outcome, code in STATUS_CODES.items()
}

Arrivals = Iterator[tuple[int, Callable[[], Dossier] | None]]


class Engine:
    """One run over ``[start_ms, end_ms)``.

    ``arrivals`` yields (when, maker of the dossier) in order of time. ``blind`` are the windows in which a
    portal's observer is dead, by link; ``silent`` those in which nobody comes, by portal. ``counters`` counts
    what the calibration asks for.
    """

    def __init__(
        self,
        *,
        start_ms: int,
        end_ms: int,
        broker: BrokerOrder,
        links: Sequence[LinkState],
        patience: Patience,
        rng: Random,
        blind: dict[str, list[Window]],
        silent: dict[str, list[Window]],
        heartbeat_interval_ms: int,
        counters: defaultdict[str, int],
    ) -> None:
        self.start_ms, self.end_ms = start_ms, end_ms
        self.links = links
        self.counters = counters
        self._broker, self._add = broker, broker.add
        self._patience = patience
        self._rng, self._random = rng, rng.random
        self._blind, self._silent = blind, silent
        self._interval_ms = heartbeat_interval_ms
        self._next_beat = -(-start_ms // heartbeat_interval_ms) * heartbeat_interval_ms
        self._watched, self._watched_until = "", start_ms
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
        """Yield the whole log in broker order, in pieces, none of them empty."""
        heap, broker, end_ms = self._heap, self._broker, self.end_ms
        sequence = 0
        coming: Arrivals = chain(arrivals, [(end_ms, None)])
        next_arrival, make = next(coming)
        flush_at = self.start_ms + _FLUSH_MS
        while True:
            if heap and heap[0][0] <= next_arrival:
                at, _, dossier = heappop(heap)
                then = self._go_on(at, dossier)
            elif make is None:
                break
            else:
                at, dossier = next_arrival, make()
                then = self._arrive(at, dossier)
                next_arrival, make = next(coming)
            while True:
                if at >= flush_at:
                    flush_at = at + _FLUSH_MS
                    self._beat_until(at)
                    if len(broker) >= _PIECE_RECORDS and (entries := broker.until(at)):
                        yield entries
                if then >= end_ms:
                    break
                if then > next_arrival or (heap and heap[0][0] <= then):
                    sequence += 1
                    heappush(heap, (then, sequence, dossier))
                    break
                at = then
                then = self._go_on(at, dossier)
        self._beat_until(end_ms)
        if entries := broker.until(None):
            yield entries

    def _go_on(self, at_ms: int, dossier: Dossier) -> int:
        """Do what is next with a dossier, and return when it goes on, `_NEVER` where it does not."""
        return self._ask(at_ms, dossier) if dossier.plan else self._complete(at_ms, dossier)

    def _beat_until(self, at_ms: int) -> None:
        """Write the heartbeats due before ``at_ms``: of the links that are watched then."""
        while self._next_beat < at_ms:
            beat = self._next_beat
            self._next_beat += self._interval_ms
            if beat >= self._watched_until:
                self._watch(beat)
            if self._watched:
                self._broker.add_heartbeat(
                    beat,
                    f'{{"type":"observer.heartbeat","occurred_at_ms":{beat},"observer":"portal",{self._watched}}}',
                )

    def _watch(self, at_ms: int) -> None:
        """Work out which links are watched from ``at_ms`` on, and until when that holds.

        A link under announced maintenance is not watched: its portal has taken it out of use. Nor is one
        whose observer is dead.
        """
        names = [
            link.id
            for link in self.links
            if link.held_until(at_ms) is None and not self._is_blind(link.id, at_ms)
        ]
        interval = "" if self._interval_ms == 1000 else f',"interval_ms":{self._interval_ms}'
        listed = '","'.join(names)
        self._watched = f'"links":["{listed}"]{interval}' if names else ""
        times = [t for link in self.links for hold in link.holds for t in hold]
        times += [t for windows in self._blind.values() for w in windows for t in (w.start_ms, w.end_ms)]
        self._watched_until = min((t for t in times if t > at_ms), default=self.end_ms)

    def _is_blind(self, name: str, at_ms: int) -> bool:
        windows = self._blind.get(name)
        return windows is not None and any(w.start_ms <= at_ms < w.end_ms for w in windows)

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
        thought = at_ms + self._thinking[int(self._random() * TABLE_SIZE)]
        return thought if dossier.plan else self._accept(thought, dossier)

    def _submission(self, at_ms: int, dossier: Dossier, what: str, blocked: str = "") -> None:
        matter = dossier.matter
        if not matter.submits or at_ms >= self.end_ms:
            return
        self.counters[f"submission.{what}"] += 1
        if self._blind and self._is_blind(matter.portal, at_ms):
            self.counters["unseen"] += 1
            return
        dossier.asked = asked = dossier.asked + 1
        self._add(
            SUBMISSION,
            dossier.partition,
            dossier.key,
            at_ms,
            f'{{"event_id":"{dossier.id}-{asked}","type":"submission.{what}",'
            f'"occurred_at_ms":{at_ms},{dossier.head}{matter.submission_text}{blocked}}}',
        )

    def _ask(self, at_ms: int, dossier: Dossier) -> int:
        """Make one attempt, and see to what follows from its ending."""
        link = dossier.plan[dossier.step]
        if link.holds and (until := link.held_until(at_ms)) is not None:
            return self._hold(at_ms, until, link, dossier)
        matter = dossier.matter
        if link.id in dossier.denied_links:
            ending: Ending = "denied", self._thinking[int(self._random() * TABLE_SIZE)], None
        else:
            ending = link.attempt(at_ms, matter.service, matter.weight)
        outcome, latency, _ = ending
        known = at_ms + latency
        seen = not (self._blind and self._is_blind(link.id, at_ms))
        link.outcomes[outcome or "no_response"] += 1
        if link.open_faults or link.overloads:
            link.enter(at_ms, ending, matter.service, matter.agency, probe=matter.synthetic, seen=seen)
        if seen:
            self._lookup(at_ms, known, link, dossier, outcome)
        else:
            self.counters["unseen"] += 1
        if outcome == "ok" or (outcome in ANSWERED and self._is_set_right(matter)):
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

    def _is_set_right(self, matter: Matter) -> bool:
        """Say whether a clerk or the citizen sets an identity right that did not match."""
        return not matter.submits or self._random() >= self._patience.mismatch_rejected

    def _lookup(self, at_ms: int, known: int, link: LinkState, dossier: Dossier, outcome: str | None) -> None:
        """Write the records of an attempt, as the portal and, where it reports, the provider saw it."""
        dossier.asked = asked = dossier.asked + 1
        matter, partition, key, add = dossier.matter, dossier.partition, dossier.key, self._add
        lookup = f"{dossier.id}-{asked}"
        common = (
            f'"lookup_id":"{lookup}",{dossier.head}{link.text}{matter.lookup_text}{dossier.attempt},'
            '"observer":"'
        )
        tail = matter.lookup_tail
        add(
            LOOKUP,
            partition,
            key,
            at_ms,
            f'{{"event_id":"{lookup}q","type":"lookup.requested","occurred_at_ms":{at_ms},{common}portal"{tail}',
        )
        if outcome is None:
            return
        result = _RESULTS[outcome]
        if known < self.end_ms and not (self._blind and self._is_blind(link.id, known)):
            add(
                LOOKUP,
                partition,
                key,
                known,
                f'{{"event_id":"{lookup}a","type":"lookup.completed","occurred_at_ms":{known},'
                f"{common}portal{result}{tail}",
            )
        if link.link.provider_view and outcome in _REACHES_PROVIDER and known < self.end_ms:
            way = min(25, (known - at_ms) // 6)
            asked, answered = at_ms + way, max(at_ms + way, known - way)
            add(
                LOOKUP,
                partition,
                key,
                asked,
                f'{{"event_id":"{lookup}Q","type":"lookup.requested","occurred_at_ms":{asked},'
                f'{common}provider"{tail}',
            )
            add(
                LOOKUP,
                partition,
                key,
                answered,
                f'{{"event_id":"{lookup}A","type":"lookup.completed","occurred_at_ms":{answered},'
                f"{common}provider{result}{tail}",
            )

    def _next_step(self, at_ms: int, dossier: Dossier) -> int:
        dossier.step = step = dossier.step + 1
        dossier.attempt, dossier.tries, dossier.deferrals = 1, 0, 0
        if dossier.aim == "access":
            dossier.aim, dossier.plan, dossier.step = "lookups", dossier.plan[1:], 0
            return self._receive(at_ms, dossier)
        if step < len(dossier.plan):
            return at_ms + self._thinking[int(self._random() * TABLE_SIZE)]
        if dossier.aim == "settling":
            return self._complete(at_ms, dossier)
        matter = dossier.matter
        self.counters[f"looked_up/{matter.flow}"] += matter.records
        return self._accept(at_ms, dossier) if matter.submits else _NEVER

    def _accept(self, at_ms: int, dossier: Dossier) -> int:
        """Accept a dossier, and return when it will be settled: its lookups of then are its plan now."""
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
        """Back off, defer, or give up."""
        matter = dossier.matter
        if matter.synthetic:
            return _NEVER
        patience = self._patience
        dossier.attempt += 1
        dossier.tries += 1
        if dossier.tries < patience.attempts:
            longest_ms = self._backoff_ms[dossier.tries - 1]
            return known + 200 + int(self._random() * longest_ms)
        dossier.tries = 0
        dossier.deferrals += 1
        if dossier.deferrals > patience.deferrals:
            self.counters[f"failed/{matter.flow}"] += 1
            self._submission(known, dossier, "failed", link.blocked_text)
            return _NEVER
        if dossier.deferrals == 1:
            self._defer(known, link, dossier)
        wait = int(pick(self._waiting, self._rng) * self._deferral_minutes[dossier.deferrals - 1])
        return known + 30_000 + wait

    def _hold(self, at_ms: int, until: int, link: LinkState, dossier: Dossier) -> int:
        """Wait for the end of announced maintenance, then some, so that not all come back at once."""
        if dossier.matter.synthetic:
            return _NEVER
        self._defer(at_ms, link, dossier)
        return until + int(self._random() * 600_000)

    def _defer(self, at_ms: int, link: LinkState, dossier: Dossier) -> None:
        if dossier.aim == "lookups":
            self.counters[f"deferred/{dossier.matter.flow}"] += 1
            self._submission(at_ms, dossier, "deferred", link.blocked_text)


def _growing(first: float, times: float, count: int, most: float) -> list[float]:
    """Return a geometric series, capped; by multiplication, as powers are not exact on every machine."""
    series, value = [], first
    for _ in range(count):
        series.append(min(value, most))
        value *= times
    return series
