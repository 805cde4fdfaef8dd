"""The simulation proper: every dossier walked along its path, in the order of time.

A dossier arrives (over its access line, where it has one), is received, makes its lookups one after the
other, is accepted, and is settled hours or days later. A lookup that fails is tried again after exponential
backoff with full jitter; when the portal's patience ends the dossier is deferred and asks again some minutes
later, and is given up after many deferrals. Nothing here knows of retry storms or of backlogs: they are what
these rules do to a link that fails and to one that comes back.

Time is a heap of (when, sequence, dossier, what next). Endings of attempts are drawn when they are asked, so
their records may be written ahead of the clock, never behind it.
"""

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain
from random import Random

from streams.simulate.broker import LOOKUP, SUBMISSION, BrokerOrder, Entry
from streams.simulate.city import Patience
from streams.simulate.dossier import Dossier
from streams.simulate.draw import exponential, lognormal, pick
from streams.simulate.faults import Window
from streams.simulate.links import OVERLOAD_GAP_MS, STATUS_CODES, Ending, LinkState
from streams.simulate.timetable import next_working_time
from streams.simulate.truth import TrueFault

LOOKUP_TIMEOUT_MS = 30_000
_FLUSH_MS = 60_000
_REACHES_PROVIDER = frozenset({"ok", "not_found", "mismatch", "provider_error", "throttled"})
_ANSWERED = frozenset({"ok", "not_found", "mismatch"})

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
        counters: dict[str, int],
    ) -> None:
        self.start_ms, self.end_ms = start_ms, end_ms
        self.links = links
        self.counters = counters
        self._broker = broker
        self._patience = patience
        self._rng = rng
        self._blind, self._silent = blind, silent
        self._interval_ms = heartbeat_interval_ms
        self._next_beat = -(-start_ms // heartbeat_interval_ms) * heartbeat_interval_ms
        self._watched, self._watched_until = "", start_ms
        self._heap: list[tuple[int, int, Dossier, Callable[[int, Dossier], None]]] = []
        self._sequence = 0
        self._thinking = lognormal(60, 0.6)
        self._waiting = exponential(60_000)
        self._backoff_ms = _growing(
            patience.backoff_seconds * 1000, patience.backoff_times, patience.attempts, float("inf")
        )
        self._deferral_minutes = _growing(
            patience.deferral_minutes, 1.5, patience.deferrals, patience.deferral_up_to_minutes
        )

    def run(self, arrivals: Arrivals) -> Iterator[list[Entry]]:
        """Yield the whole log in broker order, in pieces."""
        heap, broker = self._heap, self._broker
        coming: Arrivals = chain(arrivals, [(self.end_ms, None)])
        next_arrival, make = next(coming)
        flush_at = self.start_ms + _FLUSH_MS
        while True:
            if heap and heap[0][0] <= next_arrival:
                at, _, dossier, what = heappop(heap)
                if at >= self.end_ms:
                    break
                what(at, dossier)
            else:
                if make is None:
                    break
                at = next_arrival
                self._arrive(at, make())
                next_arrival, make = next(coming)
            if at >= flush_at:
                flush_at = at + _FLUSH_MS
                self._beat_until(at)
                yield broker.until(at)
        self._beat_until(self.end_ms)
        yield broker.until(None)

    def later(self, at_ms: int, dossier: Dossier, what: Callable[[int, Dossier], None]) -> None:
        """Do something with a dossier at a later time."""
        if at_ms < self.end_ms:
            self._sequence += 1
            heappush(self._heap, (at_ms, self._sequence, dossier, what))

    def count(self, name: str, by: int = 1) -> None:
        """Move a counter of the calibration."""
        self.counters[name] = self.counters.get(name, 0) + by

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

    def _arrive(self, at_ms: int, dossier: Dossier) -> None:
        for window in self._silent.get(dossier.portal, ()):
            if window.start_ms <= at_ms < window.end_ms:
                self.count(f"stayed_away/{dossier.flow}")
                return
        if dossier.aim == "access":
            self._ask(at_ms, dossier)
        else:
            self._receive(at_ms, dossier)

    def _receive(self, at_ms: int, dossier: Dossier) -> None:
        self.count(f"received/{dossier.flow}")
        self._submission(at_ms, dossier, "received")
        if dossier.plan:
            self.later(at_ms + pick(self._thinking, self._rng), dossier, self._ask)
        else:
            self._accept(at_ms + pick(self._thinking, self._rng), dossier)

    def _submission(self, at_ms: int, dossier: Dossier, what: str, blocked_by: str | None = None) -> None:
        if not dossier.submits or at_ms >= self.end_ms:
            return
        self.count(f"submission.{what}")
        if self._blind and self._is_blind(dossier.portal, at_ms):
            self.count("unseen")
            return
        dossier.asked += 1
        blocked = f',"blocked_by":"{blocked_by}"' if blocked_by else ""
        self._broker.add(
            SUBMISSION,
            dossier.partition,
            dossier.id,
            at_ms,
            f'{{"event_id":"{dossier.id}-{dossier.asked}","type":"submission.{what}",'
            f'"occurred_at_ms":{at_ms},{dossier.head}{dossier.submission_tail}{blocked}}}',
        )

    def _ask(self, at_ms: int, dossier: Dossier) -> None:
        """Make one attempt, and see to what follows from its ending."""
        link = dossier.plan[dossier.step]
        if link.holds:
            until = link.held_until(at_ms)
            if until is not None:
                self._hold(at_ms, until, link, dossier)
                return
        if link.id in dossier.denied_links:
            ending = Ending("denied", pick(self._thinking, self._rng), None)
        else:
            ending = link.attempt(at_ms, dossier.who[1], dossier.weight)
        seen = not (self._blind and self._is_blind(link.id, at_ms))
        self._account(at_ms, link, dossier, ending, seen=seen)
        known = at_ms + ending.latency_ms
        if seen:
            self._lookup(at_ms, known, link, dossier, ending)
        else:
            self.count("unseen")
        outcome = ending.outcome
        if outcome == "ok" or (outcome in _ANSWERED and self._goes_on(dossier)):
            self._next_step(known, dossier)
        elif outcome in _ANSWERED:
            self.count(f"rejected/{dossier.flow}")
            self._submission(known, dossier, "rejected")
        elif outcome == "denied":
            self.count(f"failed/{dossier.flow}")
            self._submission(known, dossier, "failed")
        else:
            self._try_again(known, link, dossier)

    def _goes_on(self, dossier: Dossier) -> bool:
        """Say whether a clerk or the citizen sets an identity right that did not match."""
        return not dossier.submits or self._rng.random() >= self._patience.mismatch_rejected

    def _lookup(self, at_ms: int, known: int, link: LinkState, dossier: Dossier, ending: Ending) -> None:
        """Write the records of an attempt, as the portal and, where it reports, the provider saw it."""
        dossier.asked += 1
        agency, service = dossier.who
        key, partition, add = dossier.id, dossier.partition, self._broker.add
        lookup = f"{dossier.id}-{dossier.asked}"
        common = (
            f'"lookup_id":"{lookup}",{dossier.head}"link":"{link.id}","agency":"{agency}",'
            f'"service":"{service}","attempt":{dossier.attempt},"observer":"'
        )
        tail = ',"synthetic":true}' if dossier.synthetic else "}"
        add(
            LOOKUP,
            partition,
            key,
            at_ms,
            f'{{"event_id":"{lookup}q","type":"lookup.requested","occurred_at_ms":{at_ms},{common}portal"{tail}',
        )
        outcome = ending.outcome
        if outcome is None:
            return
        result = f'","outcome":"{outcome}","status_code":{STATUS_CODES[outcome]}{tail}'
        if known < self.end_ms and not (self._blind and self._is_blind(link.id, known)):
            add(
                LOOKUP,
                partition,
                key,
                known,
                f'{{"event_id":"{lookup}a","type":"lookup.completed","occurred_at_ms":{known},'
                f"{common}portal{result}",
            )
        if link.link.provider_view and outcome in _REACHES_PROVIDER and known < self.end_ms:
            way = min(25, ending.latency_ms // 6)
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
                f"{common}provider{result}",
            )

    def _account(self, at_ms: int, link: LinkState, dossier: Dossier, ending: Ending, *, seen: bool) -> None:
        """Enter an attempt into the truth."""
        totals = link.totals
        totals.attempts += 1
        outcome = ending.outcome or "no_response"
        totals.outcomes[outcome] = totals.outcomes.get(outcome, 0) + 1
        failed = outcome not in _ANSWERED and outcome != "denied"
        totals.failures += failed
        if link.overloads:
            _enter_overload(at_ms, link, dossier, ending if failed else None, seen=seen)
        if link.open_faults:
            _enter_faults(at_ms, link, dossier, ending, seen=seen)

    def _next_step(self, at_ms: int, dossier: Dossier) -> None:
        dossier.step += 1
        dossier.attempt, dossier.tries, dossier.deferrals = 1, 0, 0
        if dossier.aim == "access":
            dossier.aim, dossier.plan, dossier.step = "lookups", dossier.plan[1:], 0
            self._receive(at_ms, dossier)
        elif dossier.step < len(dossier.plan):
            self.later(at_ms + pick(self._thinking, self._rng), dossier, self._ask)
        elif dossier.aim == "lookups":
            self.count(f"looked_up/{dossier.flow}", dossier.records)
            if dossier.submits:
                self._accept(at_ms, dossier)
        else:
            self._complete(at_ms, dossier)

    def _accept(self, at_ms: int, dossier: Dossier) -> None:
        self.count(f"accepted/{dossier.flow}")
        self._submission(at_ms, dossier, "accepted")
        settled = at_ms + pick(dossier.settling_table, self._rng)
        settled = next_working_time(settled, self._rng.random())
        dossier.aim, dossier.plan, dossier.step = "settling", dossier.settling, 0
        self.later(settled, dossier, self._ask if dossier.plan else self._complete)

    def _complete(self, at_ms: int, dossier: Dossier) -> None:
        if at_ms < self.end_ms:
            self.count(f"completed/{dossier.flow}")
            self._submission(at_ms, dossier, "completed")

    def _try_again(self, known: int, link: LinkState, dossier: Dossier) -> None:
        """Back off, defer, or give up."""
        if dossier.synthetic:
            return
        patience, random = self._patience, self._rng.random
        dossier.attempt += 1
        dossier.tries += 1
        if dossier.tries < patience.attempts:
            longest_ms = self._backoff_ms[dossier.tries - 1]
            self.later(known + 200 + int(random() * longest_ms), dossier, self._ask)
            return
        dossier.tries = 0
        dossier.deferrals += 1
        if dossier.deferrals > patience.deferrals:
            self.count(f"failed/{dossier.flow}")
            self._submission(known, dossier, "failed", link.id)
            return
        if dossier.deferrals == 1:
            self._defer(known, link, dossier)
        wait = int(pick(self._waiting, self._rng) * self._deferral_minutes[dossier.deferrals - 1])
        self.later(known + 30_000 + wait, dossier, self._ask)

    def _hold(self, at_ms: int, until: int, link: LinkState, dossier: Dossier) -> None:
        """Wait for the end of announced maintenance, then some, so that not all come back at once."""
        if not dossier.synthetic:
            self._defer(at_ms, link, dossier)
            self.later(until + int(self._rng.random() * 600_000), dossier, self._ask)

    def _defer(self, at_ms: int, link: LinkState, dossier: Dossier) -> None:
        if dossier.aim == "lookups":
            self.count(f"deferred/{dossier.flow}")
            self._submission(at_ms, dossier, "deferred", link.id)


def _growing(first: float, times: float, count: int, most: float) -> list[float]:
    """Return a geometric series, capped; by multiplication, as powers are not exact on every machine."""
    series, value = [], first
    for _ in range(count):
        series.append(min(value, most))
        value *= times
    return series


def _enter_overload(
    at_ms: int, link: LinkState, dossier: Dossier, failed: Ending | None, *, seen: bool
) -> None:
    overload = link.overloads[-1]
    truth = overload.truth
    if at_ms >= truth.end_ms + OVERLOAD_GAP_MS:
        return
    overload.pending += 1
    if failed is not None and at_ms < truth.end_ms:
        truth.attempts += overload.pending
        truth.failures += 1
        truth.observed += seen
        overload.pending = 0
        _enter_hit(at_ms, at_ms + failed.latency_ms, truth)
        agency, service = dossier.who
        overload.services.add(service)
        overload.agencies.add(agency)


def _enter_hit(at_ms: int, known_ms: int, truth: TrueFault) -> None:
    if truth.first_failing_request_ms is None:
        truth.first_failing_request_ms = at_ms
    if truth.first_failure_known_ms is None or known_ms < truth.first_failure_known_ms:
        truth.first_failure_known_ms = known_ms
    truth.last_failing_request_ms = at_ms


def _enter_faults(at_ms: int, link: LinkState, dossier: Dossier, ending: Ending, *, seen: bool) -> None:
    spell = ending.spell
    for truth in link.open_faults:
        truth.attempts += 1
        if spell is not None and spell.truth is truth:
            truth.failures += 1
            truth.observed += seen
            if not dossier.synthetic:
                agency, service = dossier.who
                spell.hit_services.add(service)
                spell.hit_agencies.add(agency)
            late = ending.outcome is None or spell.effect == "accepted_late"
            known = at_ms + (LOOKUP_TIMEOUT_MS if late else ending.latency_ms)
            _enter_hit(at_ms, known, truth)
