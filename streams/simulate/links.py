"""One attempt on one link: how it ends, and after how long.

Without a fault a link answers with a lognormal latency and a small background of failures. Its provider is
one queue: an attempt that finds work before it waits (Lindley's recursion, W' = max(0, W + S - A)), so a
batch, a retry storm or a backlog that drains after an outage slows and then fails the citizens' lookups by
itself. Where the wait outlasts the portal's timer attempts time out; beyond three timers the provider sheds
load. Such an overload is nobody's plan, so it is written into the truth as it happens.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from math import floor
from random import Random
from typing import Final

from msgspec import Struct

from streams.model.events import ANSWERED
from streams.simulate.city import Fault, Link
from streams.simulate.draw import TABLE_SIZE, lognormal
from streams.simulate.faults import Spell, true_fault
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
"""Outcomes that say nothing against link or provider."""

Ending = tuple[str | None, int, Spell | None]
"""How an attempt ends: the outcome, None where nothing ever comes back; its latency in ms; the bad spell."""


class Overload(Struct):
    """An overload as it goes; ``pending`` attempts came after its last failure so far."""

    truth: TrueFault
    services: set[str]
    agencies: set[str]
    pending: int = 0

    def enter(self, at_ms: int, latency_ms: int, *, failed: bool, seen: bool) -> bool:
        """Enter an attempt, and say whether it failed by this overload."""
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
    """A link under way: its faults as time passes, its provider's queue and its totals.

    Attempts must come in the order of their request times.
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
        self._service_ms = 1000 / link.capacity_per_second if link.capacity_per_second else 0.0
        self._wait_ms = 0.0
        self._last_ms = 0
        self._chances: list[float] = []
        self._ends: list[str] = []
        chance = 0.0
        for outcome, share in [
            *link.background.items(),
            ("not_found", link.not_found),
            ("mismatch", link.mismatch),
        ]:
            chance += share
            self._chances.append(chance)
            self._ends.append(outcome)
        self._any = chance

    def totals(self) -> LinkTotals:
        """Return all that was asked so far, and how it ended."""
        ends = dict(self.outcomes)
        failures = sum(count for outcome, count in ends.items() if outcome not in NOT_FAILED)
        return LinkTotals(self.id, sum(ends.values()), failures, ends)

    def lay(
        self, faults: Sequence[TrueFault], spells: Sequence[Spell], holds: Sequence[tuple[int, int]]
    ) -> None:
        """Take the faults of the whole run."""
        self.faults, self.spells, self.holds = list(faults), list(spells), sorted(holds)
        times = {t for spell in spells for t in (spell.start_ms, spell.end_ms)}
        times |= {t for fault in faults for t in (fault.start_ms, fault.end_ms)}
        self._boundaries = sorted(times)
        self._next_change = self._boundaries[0] if self._boundaries else float("inf")

    def held_until(self, at_ms: int) -> int | None:
        """Return when announced maintenance ends, None where there is none at ``at_ms``."""
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
        wait = self._queue(at_ms, weight) if self._service_ms else 0
        latency = self._latency[floor(self._random() * TABLE_SIZE)] + wait
        timeout = self.link.timeout_ms
        if latency > timeout:
            shed = wait > 3 * timeout
            if shed:
                self._wait_ms -= self._service_ms * weight
            if wait > timeout:
                self._overloaded(at_ms)
            return self._failure("throttled" if shed else "timeout", None)
        chance = self._random()
        if chance >= self._any:
            return ("ok", latency, None)
        outcome = self._ends[bisect_right(self._chances, chance)]
        if outcome in ("not_found", "mismatch"):
            return (outcome, latency, None)
        return self._failure(outcome, None)

    def enter(
        self, at_ms: int, ending: Ending, service: str, agency: str, *, probe: bool, seen: bool
    ) -> None:
        """Enter an attempt into the truth of the overload and of the faults that are under way.

        ``seen`` says that the portal's observer was well.
        """
        outcome, latency, spell = ending
        if self.overloads:
            overload = self.overloads[-1]
            if overload.enter(at_ms, latency, failed=outcome not in NOT_FAILED, seen=seen):
                overload.services.add(service)
                overload.agencies.add(agency)
        for truth in self.open_faults:
            truth.attempts += 1
            if spell is not None and spell.truth is truth:
                truth.failures += 1
                truth.observed += seen
                if not probe:
                    spell.hit_services.add(service)
                    spell.hit_agencies.add(agency)
                late = outcome is None or spell.effect == "accepted_late"
                _enter_hit(at_ms, at_ms + (LOOKUP_TIMEOUT_MS if late else latency), truth)

    def _queue(self, at_ms: int, weight: float) -> int:
        waiting = self._wait_ms - (at_ms - self._last_ms)
        if waiting < 0:
            waiting = 0.0
        self._last_ms = at_ms
        self._wait_ms = waiting + self._service_ms * weight
        return floor(waiting)

    def _hit(self, spell: Spell, at_ms: int, weight: float) -> Ending:
        if spell.effect == "data_quality":
            outcome = "not_found" if self._random() < 0.4 else "mismatch"
            return (outcome, self._latency[floor(self._random() * TABLE_SIZE)], spell)
        if spell.effect == "accepted_late":
            late = spell.late_ms // 4 + floor(self._random() * spell.late_ms * 3 // 4)
            return ("ok", max(31_000, late), spell)
        if spell.effect == "slow":
            wait = self._queue(at_ms, weight) if self._service_ms else 0
            latency = round(self._latency[floor(self._random() * TABLE_SIZE)] * spell.slow_times) + wait
            if latency > self.link.timeout_ms:
                return self._failure("timeout", spell)
            return ("ok", latency, spell)
        return self._failure(spell.effect, spell)

    def _failure(self, outcome: str, spell: Spell | None) -> Ending:
        if outcome == "half_open":
            return (None, 30_000, spell)
        if outcome == "timeout":
            return (outcome, self.link.timeout_ms + floor(self._random() * 40), spell)
        table = _QUICK_FAILURES.get(outcome, self._latency)
        latency = min(table[floor(self._random() * TABLE_SIZE)], self.link.timeout_ms)
        return (outcome, latency, spell)

    def _move_to(self, at_ms: int) -> None:
        self._active = [spell for spell in self.spells if spell.start_ms <= at_ms < spell.end_ms]
        self.open_faults = [fault for fault in self.faults if fault.start_ms <= at_ms < fault.end_ms]
        index = bisect_right(self._boundaries, at_ms)
        self._next_change = self._boundaries[index] if index < len(self._boundaries) else float("inf")

    def _overloaded(self, at_ms: int) -> None:
        """Extend the overload under way, or begin one."""
        if self.overloads and at_ms - self.overloads[-1].truth.end_ms < OVERLOAD_GAP_MS:
            self.overloads[-1].truth.end_ms = at_ms + 1
            return
        fault = Fault(
            id=f"overload-{self.id}-{len(self.overloads) + 1}",
            effect="timeout",
            start="1970-01-01T07:00",
            minutes=1,
            links=[self.id],
            cause="more asked than the provider serves",
        )
        truth = true_fault(fault, self.id, at_ms, at_ms + 1)
        truth.fault_domain = "provider"
        self.overloads.append(Overload(truth, set(), set()))


def _enter_hit(at_ms: int, known_ms: int, truth: TrueFault) -> None:
    if truth.first_failing_request_ms is None:
        truth.first_failing_request_ms = at_ms
    if truth.first_failure_known_ms is None or known_ms < truth.first_failure_known_ms:
        truth.first_failure_known_ms = known_ms
    truth.last_failing_request_ms = at_ms
