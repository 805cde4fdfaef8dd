"""Requests and completions of one observer, paired by ``lookup_id``.

A request stays open until its completion comes, or until the watermark passes its deadline: then it
counts as ``no_response`` and is remembered, so that a completion that comes later can correct it. A
completion whose request has not been seen waits until the watermark has passed it, in case the two were
swapped on the way; then it counts alone, and is remembered in case the request was only late.

What is remembered is kept by generation of watermark progress, and the oldest generation is dropped
whole: memory is bounded, and a restart can rebuild the same state from a known offset.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from streams.model.events import LookupCompleted, LookupRequested

Value = TypeVar("Value")
NO_SLOT: Final = 1 << 62


class Remembered(Generic[Value]):
    """A mapping that forgets what was added two generations ago."""

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        self.young: dict[str, Value] = {}
        self.old: dict[str, Value] = {}

    def add(self, key: str, value: Value) -> None:
        """Remember ``value``."""
        self.young[key] = value

    def pop(self, key: str) -> Value | None:
        """Take out and return what is remembered under ``key``, or None."""
        return self.young.pop(key, None) or self.old.pop(key, None)

    def rotate(self) -> None:
        """Begin a new generation."""
        self.old, self.young = self.young, {}


class Pairing:
    """Open, expired and unpaired lookups of one observer in one partition."""

    __slots__ = ("by_slot", "expired", "first_slot", "open", "slot_ms", "unpaired", "waiting")

    def __init__(self, slot_ms: int) -> None:
        self.slot_ms = slot_ms
        self.open: dict[str, LookupRequested] = {}
        self.by_slot: dict[int, list[str]] = {}
        self.first_slot = NO_SLOT
        """The least slot of `by_slot`, so that a cut at which nothing expires need not search for it."""
        self.waiting: dict[str, LookupCompleted] = {}
        self.expired: Remembered[LookupRequested] = Remembered()
        self.unpaired: Remembered[LookupCompleted] = Remembered()

    def add_request(self, request: LookupRequested, slot: int) -> None:
        """Open a request asked in ``slot``. A second one under the same id leaves the first to expire."""
        key = request.lookup_id
        if key in self.open:
            earlier = self.open[key]
            again = f"{key}\0{earlier.event_id}"
            self.open[again] = earlier
            self.by_slot[earlier.occurred_at_ms // self.slot_ms].append(again)
        self.open[key] = request
        if slot not in self.by_slot:
            self.begin_slot(slot)
        self.by_slot[slot].append(key)

    def begin_slot(self, slot: int) -> None:
        """Make room for the first request of a slot."""
        self.by_slot[slot] = []
        self.first_slot = min(self.first_slot, slot)

    def take_expired(self, before_slot: int, over: Callable[[int], bool]) -> list[LookupRequested]:
        """Remove and remember the requests of slots before ``before_slot`` for which ``over`` is true."""
        taken = []
        for slot in sorted(slot for slot in self.by_slot if slot < before_slot and over(slot)):
            for key in self.by_slot.pop(slot):
                request = self.open.get(key)
                if request is not None and request.occurred_at_ms // self.slot_ms == slot:
                    del self.open[key]
                    taken.append(request)
        self.first_slot = min(self.by_slot, default=NO_SLOT)
        for request in taken:
            self.expired.add(request.lookup_id, request)
        return taken

    def take_unpaired(self, closed_ms: int) -> list[LookupCompleted]:
        """Remove and remember the completions before ``closed_ms`` whose request never came."""
        taken = [done for done in self.waiting.values() if done.occurred_at_ms < closed_ms]
        for done in taken:
            del self.waiting[done.lookup_id]
            self.unpaired.add(done.lookup_id, done)
        return taken

    def rotate(self) -> None:
        """Begin a new generation."""
        self.expired.rotate()
        self.unpaired.rotate()
