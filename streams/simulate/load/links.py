"""One attempt on one link: how it ends, after how long, and what the provider saw of it.

Without a fault a link answers after the time its provider takes (`Provider`): a lognormal service time plus
the wait for a worker; a small background share of requests fails. So a batch, a retry storm or a backlog
after an outage slows down and then fails the citizens' lookups by itself. Such an overload is not in the
scenario, so it is added to the truth when it happens.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from math import floor
from random import Random
from typing import Final, Protocol

from msgspec import Struct

from streams.model.events import ANSWERED
from streams.simulate.city import Link
from streams.simulate.draw import TABLE_SIZE, lognormal, lognormal_tail
from streams.simulate.faults.causes import BACKGROUND, Symptom
from streams.simulate.faults.laying import Spell, true_fault
from streams.simulate.load.provider import SHED, Provider
from streams.simulate.scenario import Fault
from streams.simulate.truth import LinkTotals, TrueFault

STATUS_CODES: Final = {
    "ok": 200,
    "not_found": 404,
    "mismatch": 409,
    "denied": 403,
    "throttled": 429,
    "provider_error": 500,
    "reset": 502,
    "protocol_error": 502,
    "unreachable": 503,
    "timeout": 504,
    "tls_error": 525,
}

_QUICK_FAILURES: Final = {
    "unreachable": lognormal(700, 0.8),
    "reset": lognormal(420, 0.8),
    "tls_error": lognormal(130, 0.4),
    "throttled": lognormal(45, 0.5),
}
LOOKUP_TIMEOUT_MS: Final = 30_000
OVERLOAD_GAP_MS: Final = 60_000
NOT_FAILED: Final = ANSWERED | {"denied"}
"""Outcomes that do not count against link or provider."""

_AS_LONG: Final = -1
View = tuple[str | None, int]
"""The provider's view of a request that reached it: its outcome, None if it never answered, and latency (ms).

The latency is `_AS_LONG` if it is the portal's, minus the way.
"""

Ending = tuple[str | None, int, Spell | None, View | None]
"""How an attempt ends: its outcome, None if no answer ever comes; its latency in ms; the spell that hit it.

Last comes the provider's view, None if it never saw the request.
"""

_WELL: Final[dict[str, View]] = {outcome: (outcome, _AS_LONG) for outcome in ANSWERED}
_SHED: Final[View] = ("throttled", _AS_LONG)
_LAST: Final = TABLE_SIZE - 1


class Asking(Protocol):
    """On whose behalf an attempt is made, such as a `Matter`."""

    agency: str
    service: str
    observer: str
    synthetic: bool


class Overload(Struct):
    """An overload in progress; ``pending`` is the number of attempts since its last failure."""

    truth: TrueFault
    services: set[str]
    agencies: set[str]
    pending: int = 0

    def enter(self, at_ms: int, latency_ms: int, *, failed: bool, seen: bool) -> bool:
        """Record an attempt; return whether it failed because of this overload."""
        truth = self.truth
        if at_ms >= truth.end_ms + OVERLOAD_GAP_MS:
            return False
        self.pending += 1
        if not failed or at_ms >= truth.end_ms:
            return False
        truth.attempts += self.pending
        truth.failures += 1
        truth.observed += seen
        self.pending = 0
        _enter_hit(at_ms, at_ms + latency_ms, truth)
        return True


class LinkState:
    """The state of a link during the run: its faults, its provider's queue and its totals.

    Attempts must be made in order of their request times.
    """

    def __init__(self, link: Link, rng: Random) -> None:
        self.link = link
        self.id = link.id
        self.outcomes: defaultdict[str, int] = defaultdict(int)
        self.spells: list[Spell] = []
        self.faults: list[TrueFault] = []
        self.holds: list[tuple[int, int]] = []
        self.open_faults: list[TrueFault] = []
        self.overloads: list[Overload] = []
        self._active: list[Spell] = []
        self._boundaries: list[int] = []
        self._next_change: float = float("inf")
        self._random = rng.random
        self._latency = lognormal(link.median_ms, link.sigma)
        self._tail = lognormal_tail(link.median_ms, link.sigma)
        mean_ms = sum(self._latency) / TABLE_SIZE
        self._take = Provider(link.capacity_per_second, mean_ms, link.timeout_ms // 4).take
        self._ends = [*link.background, "not_found", "mismatch"]
        self._chances = [*accumulate((*link.background.values(), link.not_found, link.mismatch))]
        self._any = self._chances[-1]
        self._background = {
            name: (ways, tuple(accumulate(way.weight for way in ways))) for name, ways in BACKGROUND.items()
        }

    def totals(self) -> LinkTotals:
        """Return the counts of all attempts so far, by outcome."""
        ends = dict(self.outcomes)
        failures = sum(count for outcome, count in ends.items() if outcome not in NOT_FAILED)
        return LinkTotals(self.id, sum(ends.values()), failures, ends)

    def lay(
        self, faults: Sequence[TrueFault], spells: Sequence[Spell], holds: Sequence[tuple[int, int]]
    ) -> None:
        """Set the faults of the whole run."""
        self.faults, self.spells, self.holds = list(faults), list(spells), sorted(holds)
        times = {t for spell in spells for t in (spell.start_ms, spell.end_ms)}
        times |= {t for fault in faults for t in (fault.start_ms, fault.end_ms)}
        self._boundaries = sorted(times)
        self._next_change = self._boundaries[0] if self._boundaries else float("inf")

    def held_until(self, at_ms: int) -> int | None:
        """Return when announced maintenance ends, None if there is none at ``at_ms``."""
        for start, end in self.holds:
            if start <= at_ms < end:
                return end
        return None

    def attempt(self, at_ms: int, service: str, weight: float = 1.0) -> Ending:
        """Return how an attempt made at ``at_ms`` ends."""
        if at_ms >= self._next_change:
            self._move_to(at_ms)
        if self._active:
            for spell in self._active:
                if (spell.services is None or service in spell.services) and self._random() < spell.share:
                    return self._hit(spell, at_ms, weight)
        ending = self._serve(at_ms, weight)
        if ending[0] != "ok":
            return ending
        chance = self._random()
        if chance >= self._any:
            return ending
        outcome = self._ends[bisect_right(self._chances, chance)]
        if outcome in _WELL:
            return (outcome, ending[1], None, _WELL[outcome])
        return self._fail(*self._background[outcome], None, ending[1])

    def enter(self, at_ms: int, ending: Ending, asking: Asking, *, seen: bool) -> None:
        """Record an attempt in the truth of the current overload and faults.

        ``seen`` says that the portal's observer was alive.
        """
        outcome, latency, spell, _ = ending
        if self.overloads:
            overload = self.overloads[-1]
            if overload.enter(at_ms, latency, failed=outcome not in NOT_FAILED, seen=seen):
                overload.services.add(asking.service)
                overload.agencies.add(asking.agency)
        for truth in self.open_faults:
            if truth.portal not in (None, asking.observer):
                continue
            truth.attempts += 1
            if spell is not None and spell.truth is truth:
                truth.failures += 1
                truth.observed += seen
                if not asking.synthetic:
                    spell.hit_services.add(asking.service)
                    spell.hit_agencies.add(asking.agency)
                late = outcome is None or spell.kind == "late"
                _enter_hit(at_ms, at_ms + (LOOKUP_TIMEOUT_MS if late else latency), truth)

    def _serve(self, at_ms: int, weight: float, spell: Spell | None = None, times: float = 1.0) -> Ending:
        """Let the provider serve an attempt, with ``times`` its normal service time."""
        drawn = floor(self._random() * TABLE_SIZE)
        service_ms = self._latency[drawn] if drawn < _LAST else self._tail[floor(self._random() * TABLE_SIZE)]
        took = self._take(at_ms, int(service_ms * times), weight)
        if took == SHED:
            if spell is None:
                self._overloaded(at_ms)
            return ("throttled", self._quickly("throttled"), spell, _SHED)
        timeout_ms = self.link.timeout_ms
        if took > timeout_ms:
            return ("timeout", timeout_ms + floor(self._random() * 40), spell, ("ok", took))
        return ("ok", took, spell, _WELL["ok"])

    def _hit(self, spell: Spell, at_ms: int, weight: float) -> Ending:
        match spell.kind:
            case "data_quality":
                outcome = "not_found" if self._random() < 0.4 else "mismatch"
                served = self._serve(at_ms, weight, spell)
                return served if served[0] != "ok" else (outcome, served[1], spell, _WELL[outcome])
            case "late":
                late = max(31_000, spell.late_ms // 4 + floor(self._random() * spell.late_ms * 3 // 4))
                return ("ok", late, spell, _WELL["ok"])
            case "slow":
                return self._serve(at_ms, weight, spell, spell.slow_times)
            case _:
                drawn = self._latency[floor(self._random() * TABLE_SIZE)]
                return self._fail(spell.symptoms, spell.upto, spell, drawn)

    def _fail(
        self, symptoms: Sequence[Symptom], upto: Sequence[int], spell: Spell | None, service_ms: int
    ) -> Ending:
        """Return the ending of a failed attempt; the provider would have answered after ``service_ms``."""
        which = 0 if len(symptoms) == 1 else bisect_right(upto, floor(self._random() * upto[-1]))
        _, outcome, died, says = symptoms[which]
        if outcome is None:
            latency = LOOKUP_TIMEOUT_MS
        elif outcome == "timeout":
            latency = self.link.timeout_ms + floor(self._random() * 40)
        else:
            latency = min(self._quickly(outcome, service_ms), self.link.timeout_ms)
        if died == "there":
            return (outcome, latency, spell, None)
        if died == "back":
            return (outcome, max(latency, service_ms), spell, (says, service_ms))
        if outcome == "timeout" and says is not None:
            return (outcome, latency, spell, (says, self.link.timeout_ms + service_ms))
        return (outcome, latency, spell, (says, _AS_LONG))

    def _quickly(self, outcome: str, otherwise_ms: int = 1) -> int:
        table = _QUICK_FAILURES.get(outcome)
        return otherwise_ms if table is None else table[floor(self._random() * TABLE_SIZE)]

    def _move_to(self, at_ms: int) -> None:
        self._active = [spell for spell in self.spells if spell.start_ms <= at_ms < spell.end_ms]
        self.open_faults = [fault for fault in self.faults if fault.start_ms <= at_ms < fault.end_ms]
        index = bisect_right(self._boundaries, at_ms)
        self._next_change = self._boundaries[index] if index < len(self._boundaries) else float("inf")

    def _overloaded(self, at_ms: int) -> None:
        """Extend the current overload, or begin a new one."""
        if self.overloads and at_ms - self.overloads[-1].truth.end_ms < OVERLOAD_GAP_MS:
            self.overloads[-1].truth.end_ms = at_ms + 1
            return
        fault = Fault(
            id=f"overload-{self.id}-{len(self.overloads) + 1}",
            cause="provider_overloaded",
            start="1970-01-01T07:00",
            minutes=1,
            links=[self.id],
            about="more asked than the provider serves",
        )
        self.overloads.append(Overload(true_fault(fault, self.id, at_ms, at_ms + 1), set(), set()))


def _enter_hit(at_ms: int, known_ms: int, truth: TrueFault) -> None:
    if truth.first_failing_request_ms is None:
        truth.first_failing_request_ms = at_ms
    if truth.first_failure_known_ms is None or known_ms < truth.first_failure_known_ms:
        truth.first_failure_known_ms = known_ms
    truth.last_failing_request_ms = at_ms
