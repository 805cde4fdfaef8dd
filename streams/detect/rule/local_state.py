"""What is remembered of the names of a link, and what became known of them in a minute.

`streams.detect.rule.local` has the theory.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from streams.model.measurement import Part

STRAY: Final = 4.0
"""A gap this many times the mean has a probability of e^-4 = 2 %."""

Parts = Mapping[str, Part]


class Suspect(NamedTuple):
    """A name that failed recently: its running test, and the evidence about the others.

    ``since_ms`` and ``then_ms`` are the request times of the first and the second failure, ``told_ms`` is the
    last minute with facts about the name. ``apart`` counts the failures that no trouble of the other kind
    explains; ``around`` is evidence that the others are well.
    """

    agency: bool
    name: str
    since_ms: int
    told_ms: int
    total: float
    failures: int
    apart: float
    around: float
    then_ms: int | None = None

    def start_ms(self, end_ms: int) -> int:
        """Return when the trouble seen by ``end_ms`` began: at the first failure, or at the second.

        A single earlier failure must not move the start forward to it. While every request fails, failures
        come as often as requests, so if the first gap is longer than `STRAY` times the mean, the first
        failure is hardly part of the trouble.
        """
        if self.then_ms is None or self.failures < 3:
            return self.since_ms
        mean_ms = (end_ms - self.then_ms) / (self.failures - 1)
        return self.then_ms if self.then_ms - self.since_ms > STRAY * mean_ms else self.since_ms


class Struck(NamedTuple):
    """A name in open trouble: every request for it fails.

    ``failed_ms`` is the request time of the last known failure. ``back`` is the evidence that the name has
    recovered, and ``ok_ms`` the first answer that counts towards that, or the first in its last minute.
    """

    agency: bool
    name: str
    start_ms: int
    opened_ms: int
    told_ms: int
    failed_ms: int
    back: float = 0.0
    ok_ms: int | None = None


class LocalSpell(NamedTuple):
    """A name that failed completely over ``[start_ms, end_ms)`` by request time; when that was decided."""

    agency: bool
    name: str
    start_ms: int
    end_ms: int
    opened_ms: int
    closed_ms: int


class LocalState(NamedTuple):
    """Everything remembered of a link's names; equal states lead to equal decisions."""

    suspects: tuple[Suspect, ...] = ()
    struck: tuple[Struck, ...] = ()
    spread: float = 0.0
    """Evidence that the rest of the link fails beyond normal."""


QUIET: Final = LocalState()


class Facts(NamedTuple):
    """What became known of a link in the minute ``[start_ms, start_ms + 60 s)``.

    Times in the parts are milliseconds after the start. ``down``: the link was down in the minute.
    """

    start_ms: int
    attempts: int
    failures: int
    services: Parts
    agencies: Parts
    down: bool

    def part(self, name: "Suspect | Struck") -> Part:
        """Return the minute's facts about a name."""
        return (self.agencies if name.agency else self.services).get(name.name, _NOTHING)


_NOTHING: Final = Part()
