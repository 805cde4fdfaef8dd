"""One attempt on one link: how it ends, and after how long.

Without a fault a link answers with a lognormal latency and a small background of failures. Its provider is
one queue: an attempt that finds work before it waits (Lindley's recursion, W' = max(0, W + S - A)), so a
batch, a retry storm or a backlog that drains after an outage slows and then fails the citizens' lookups by
itself. Where the wait outlasts the portal's timer attempts time out; beyond three timers the provider sheds
load. Such an overload is nobody's plan, so it is written into the truth as it happens.
"""

from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from msgspec import Struct

from streams.simulate.city import Fault, Link
from streams.simulate.draw import lognormal
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
OVERLOAD_GAP_MS: Final = 60_000


class Ending(NamedTuple):
    """How an attempt ends: ``outcome`` None where nothing ever comes back."""

    outcome: str | None
    latency_ms: int
    spell: Spell | None


class Overload(Struct):
    """An overload as it goes; ``pending`` attempts came after its last failure so far."""

    truth: TrueFault
    services: set[str]
    agencies: set[str]
    pending: int = 0


class LinkState:
    """A link under way: its faults as time passes, its provider's queue and its totals.

    Attempts must come in the order of their request times.
    """

    def __init__(self, link: Link, rng: Random) -> None:
        self.link = link
        self.id = link.id
        self.totals = LinkTotals(link.id)
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
        latency = self._latency[int(self._random() * 1024)] + wait
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
            return Ending("ok", latency, None)
        outcome = self._ends[bisect_right(self._chances, chance)]
        if outcome in ("not_found", "mismatch"):
            return Ending(outcome, latency, None)
        return self._failure(outcome, None)

    def _queue(self, at_ms: int, weight: float) -> int:
        waiting = max(0.0, self._wait_ms - (at_ms - self._last_ms))
        self._last_ms = at_ms
        self._wait_ms = waiting + self._service_ms * weight
        return int(waiting)

    def _hit(self, spell: Spell, at_ms: int, weight: float) -> Ending:
        if spell.effect == "data_quality":
            outcome = "not_found" if self._random() < 0.4 else "mismatch"
            return Ending(outcome, self._latency[int(self._random() * 1024)], spell)
        if spell.effect == "accepted_late":
            late = spell.late_ms // 4 + int(self._random() * spell.late_ms * 3 // 4)
            return Ending("ok", max(31_000, late), spell)
        if spell.effect == "slow":
            wait = self._queue(at_ms, weight) if self._service_ms else 0
            latency = round(self._latency[int(self._random() * 1024)] * spell.slow_times) + wait
            if latency > self.link.timeout_ms:
                return self._failure("timeout", spell)
            return Ending("ok", latency, spell)
        return self._failure(spell.effect, spell)

    def _failure(self, outcome: str, spell: Spell | None) -> Ending:
        if outcome == "half_open":
            return Ending(None, 30_000, spell)
        if outcome == "timeout":
            return Ending(outcome, self.link.timeout_ms + int(self._random() * 40), spell)
        table = _QUICK_FAILURES.get(outcome, self._latency)
        latency = min(table[int(self._random() * 1024)], self.link.timeout_ms)
        return Ending(outcome, latency, spell)

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
