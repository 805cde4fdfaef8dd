"""How one link fares for hours and days: quiet hours, chains of trouble, silence, and what is confined."""

from math import exp
from random import Random
from typing import Final, NamedTuple

START_MS: Final = 1_718_000_000_000 // 3_600_000 * 3_600_000
HOUR_MS: Final = 3_600_000


class Phase(NamedTuple):
    """How a link is in ``[start_ms, end_ms)``: what share of its attempts fails, and what share is slow.

    Where it is ``silent`` nobody asks; where ``blind``, nobody watches, and nothing is recorded.
    """

    start_ms: int
    end_ms: int
    fails: float
    slow: float = 0.0
    silent: bool = False
    blind: bool = False


class Confined(NamedTuple):
    """All lookups of one service or one agency fail in ``[start_ms, end_ms)``."""

    start_ms: int
    end_ms: int
    name: str


class Phases:
    """Draws how a link fares, one trouble after the other."""

    def __init__(self, rng: Random, end_ms: int, background: float) -> None:
        self.phases: list[Phase] = []
        self.at_ms, self._end_ms = START_MS, end_ms
        self._rng, self._background = rng, background

    def add(self, minutes: float, fails: float | None = None, slow: float = 0.0) -> None:
        """Add a phase; without a share only the usual number fail."""
        self._add(minutes, self._background if fails is None else fails, slow, silent=False, blind=False)

    def _add(self, minutes: float, fails: float, slow: float, *, silent: bool, blind: bool) -> None:
        until_ms = min(self.at_ms + max(round(minutes * 60_000), 1_000), self._end_ms)
        if self.at_ms < until_ms:
            self.phases.append(Phase(self.at_ms, until_ms, fails, slow, silent, blind))
        self.at_ms = until_ms

    def length(self, median: float, sigma: float = 1.0) -> float:
        """Return how many minutes a phase lasts, lognormal."""
        return median * exp(self._rng.gauss(0, sigma))

    def chain(self) -> None:
        """Degraded turns to down, and back, and to something in between."""
        rng = self._rng
        for _ in range(rng.randrange(2, 9)):
            share = rng.choice((1.0, 1.0, 0.2, 0.3, 0.4, 0.5, 0.6, self._background))
            self.add(self.length(8), share, rng.choice((0.0, 0.0, 0.0, 0.8)))

    def flap(self) -> None:
        """Trouble comes and goes, for minutes or for hours."""
        rng = self._rng
        until_ms = self.at_ms + round(self.length(60, 1.2) * 60_000)
        bad, good = self.length(1.2, 0.6), self.length(1.0, 0.7)
        share = rng.choice((1.0, 1.0, 0.6, 0.35))
        while self.at_ms < min(until_ms, self._end_ms):
            self.add(bad * rng.uniform(0.5, 1.5), share)
            self.add(good * rng.uniform(0.5, 1.5))

    def long(self) -> None:
        """Trouble lasts for an hour, or for a day and more."""
        share = self._rng.choice((1.0, 1.0, 0.7, 0.5, 0.3, 0.2))
        self.add(self.length(self._rng.choice((60, 300, 1400)), 0.4), share)

    def slow(self) -> None:
        """Answers are slow."""
        self.add(self.length(15), slow=self._rng.uniform(0.3, 1.0))

    def silence(self) -> None:
        """Nobody asks, for a while, perhaps in the midst of trouble."""
        if self._rng.random() < 0.5:
            self.add(self.length(2), 1.0)
        self._add(self.length(60, 1.2), 0.0, 0.0, silent=True, blind=self._rng.random() < 0.3)
        if self._rng.random() < 0.5:
            self.add(self.length(2), self._rng.choice((1.0, 0.3)))

    def blindness(self) -> None:
        """Nobody watches, perhaps in the midst of trouble."""
        share = self._rng.choice((self._background, 1.0))
        self.add(self.length(2), share)
        self._add(self.length(15, 1.2), share, 0.0, silent=False, blind=True)

    def bursts(self) -> None:
        """Trouble of seconds, some minutes apart."""
        for _ in range(self._rng.randrange(1, 6)):
            self.add(self.length(0.2, 0.7), 1.0)
            self.add(self.length(5))


def draw_phases(rng: Random, end_ms: int, background: float) -> list[Phase]:
    """Return how a link fares from its start until ``end_ms``: quiet hours, and chains of trouble."""
    drawn = Phases(rng, end_ms, background)
    kinds = (
        *(drawn.chain, drawn.flap) * 2,
        drawn.long,
        drawn.slow,
        drawn.silence,
        drawn.blindness,
        drawn.bursts,
    )
    drawn.add(drawn.length(60, 0.5))
    while drawn.at_ms < end_ms:
        rng.choice(kinds)()
        if rng.random() < 0.7:
            drawn.add(drawn.length(40, 1.2))
    return drawn.phases


def draw_confined(rng: Random, end_ms: int) -> list[Confined]:
    """Return failures of all lookups of some services and agencies, for minutes or hours, once or often."""
    drawn = Phases(rng, end_ms, 0.0)
    found: list[Confined] = []
    at_ms = START_MS
    while at_ms < end_ms:
        at_ms += round(drawn.length(45) * 60_000)
        at = rng.randrange(1 << 20)
        name = service_of(at) if rng.random() < 0.5 else agency_of(at)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            until_ms = at_ms + round(drawn.length(15) * 60_000)
            found.append(Confined(at_ms, until_ms, name))
            at_ms = until_ms + round(drawn.length(3) * 60_000)
        if rng.random() < 0.3:  # others fail at the same time
            at_ms = found[-1].start_ms
    return found


def service_of(asked_ms: int) -> str:
    """Return which service asks: one of five."""
    return f"s{asked_ms % 5}"


def agency_of(asked_ms: int) -> str:
    """Return which agency asks: of nine one asks for one lookup in thirty, the others alike."""
    return "a0" if asked_ms % 31 == 0 else f"a{1 + asked_ms // 5 % 8}"
