"""The portals' observers: the links they watch, their heartbeats, and when they are dead."""

from collections.abc import Iterator, Mapping, Sequence
from math import floor
from random import Random
from typing import Final

from streams.model.wire import Heartbeat
from streams.simulate.faults.laying import Window
from streams.simulate.load.links import LinkState
from streams.simulate.scenario import Clocks

_READ_FOR_MS: Final = 60_000
"""How long a clock's reading is reused; a drift of 1,000 ppm, the maximum, changes it by 60 ms."""


class Clock:
    """The clock of one machine, wrong by a constant and by a drift since it was last set.

    ``fast_ms`` is its error at the last `read`; from ``read_again_ms`` on it must be read again.
    """

    __slots__ = ("_drift_ppm", "_every_ms", "_offset_ms", "_set_at_ms", "fast_ms", "read_again_ms")

    def __init__(self, clocks: Clocks, rng: Random) -> None:
        self._offset_ms = floor((2 * rng.random() - 1) * clocks.offset_up_to_ms)
        self._drift_ppm = floor((2 * rng.random() - 1) * clocks.drift_ppm_up_to)
        self._every_ms = clocks.set_every_minutes * 60_000
        self._set_at_ms = floor(rng.random() * self._every_ms)
        self.fast_ms = self.read_again_ms = 0

    def off_ms(self, at_ms: int) -> int:
        """Return by how many ms the clock is fast at a time; negative if it is slow."""
        since_ms = (at_ms - self._set_at_ms) % self._every_ms
        return self._offset_ms + self._drift_ppm * since_ms // 1_000_000

    def read(self, at_ms: int) -> int:
        """Read the clock at a time; return by how many ms it is fast."""
        self.fast_ms = self.off_ms(at_ms)
        self.read_again_ms = at_ms + _READ_FOR_MS
        return self.fast_ms


class Observers:
    """The observers of one run over ``[start_ms, end_ms)``.

    ``blind`` are the windows in which an observer is dead, by portal; ``users`` the portals that use each
    link.
    """

    def __init__(
        self,
        links: Sequence[LinkState],
        blind: Mapping[str, Sequence[Window]],
        users: Mapping[str, Sequence[str]],
        start_ms: int,
        end_ms: int,
        interval_ms: int,
    ) -> None:
        self.blind, self._users = blind, users
        self._links, self._end_ms, self._interval_ms = links, end_ms, interval_ms
        self._next_beat = -(-start_ms // interval_ms) * interval_ms
        self._watched: list[str] = []
        self._watched_until = start_ms

    def is_blind(self, name: str, at_ms: int) -> bool:
        """Return whether the observer of a portal is dead at a time."""
        windows = self.blind.get(name)
        return windows is not None and any(w.start_ms <= at_ms < w.end_ms for w in windows)

    def beats(self, until_ms: int) -> Iterator[tuple[int, Heartbeat]]:
        """Yield the next heartbeats due before ``until_ms``, each with its time."""
        interval_ms = None if self._interval_ms == 1000 else self._interval_ms
        while self._next_beat < until_ms:
            beat = self._next_beat
            self._next_beat += self._interval_ms
            if beat >= self._watched_until:
                self._watch(beat)
            if self._watched:
                yield beat, Heartbeat("observer.heartbeat", beat, "portal", self._watched, interval_ms)

    def _watch(self, at_ms: int) -> None:
        """Determine which links are watched from ``at_ms`` on, and until when.

        A link under announced maintenance is not watched, as its portal has taken it out of use. Nor is a
        link whose users' observers are all dead.
        """
        self._watched = [
            link.id
            for link in self._links
            if link.held_until(at_ms) is None
            and not all(self.is_blind(portal, at_ms) for portal in self._users[link.id])
        ]
        times = [t for link in self._links for hold in link.holds for t in hold]
        times += [t for windows in self.blind.values() for w in windows for t in (w.start_ms, w.end_ms)]
        self._watched_until = min((t for t in times if t > at_ms), default=self._end_ms)
