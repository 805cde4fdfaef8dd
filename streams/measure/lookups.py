"""Sums over `npd.lookups`: what became known about each link in each slot.

Between two cuts a cell only collects, mostly plain values in lists; the sums are made once, at the cut.
A cell belongs to the slot in which an outcome became known: the completion's, or the deadline's for
`no_response`. What turns out otherwise later is taken back by an entry with a negative sign.
"""

from typing import Final

from streams.measure.cells import LinkCell
from streams.measure.pairing import Pairing, Remembered
from streams.model.events import (
    ANSWERED,
    CLIENT_FAULTS,
    NO_RESPONSE,
    Heartbeat,
    LookupCompleted,
    LookupEvent,
    LookupRequested,
)
from streams.model.measurement import Alive, LinkCells, Measurement
from streams.model.settings import MeasureSettings

_CARRIED: Final = ANSWERED | CLIENT_FAULTS
"""Outcomes that show the link carried the question and an answer."""


class TooManyLinksError(Exception):
    """A record names a link beyond the bound on links."""


class LookupSums:
    """Pairs lookups and sums them by link and slot, for one partition."""

    def __init__(self, settings: MeasureSettings) -> None:
        self._slot_ms = settings.slot_ms
        self._timeout_ms = settings.lookup_timeout_ms
        self._max_links = settings.max_links
        self._pairings = {
            observer: Pairing(settings.slot_ms, settings.lookup_timeout_ms)
            for observer in ("portal", "gateway", "provider")
        }
        self._portal = self._pairings["portal"]
        self._slots: dict[int, dict[str, LinkCell]] = {}
        self._links: Remembered[bool] = Remembered()
        self._watching = Watching(settings.slot_ms)

    def apply(self, event: LookupEvent) -> None:
        """Take in one event that is no duplicate; raise `TooManyLinksError` before any effect."""
        kind = type(event)
        if kind is LookupCompleted:
            pairing = self._pairings[event.observer]
            request = pairing.open.pop(event.lookup_id, None)  # type: ignore[union-attr]  # as `kind` says
            if request is None:
                self._complete_unopened(pairing, event)  # type: ignore[arg-type]
            else:
                self._settle(event, request.occurred_at_ms, 1)  # type: ignore[arg-type]
        elif kind is LookupRequested:
            self._request(event)  # type: ignore[arg-type]
        else:
            self._watching.beat(event)  # type: ignore[arg-type]

    def mark_late(self, event: LookupEvent) -> None:
        """Count a late event, already applied, on the cell it falls in."""
        if not isinstance(event, Heartbeat):
            self._cell(event.link, event.occurred_at_ms // self._slot_ms).late += 1

    def close(self, closed_ms: int) -> None:
        """Count what the watermark's arrival at ``closed_ms`` makes known: expired and lone records."""
        for pairing in self._pairings.values():
            for request in pairing.take_expired(closed_ms):
                self._expire(request, 1)
            for done in pairing.take_unpaired(closed_ms):
                self._settle(done, None, 1)

    def rotate(self) -> None:
        """Begin a new generation of what is remembered."""
        for pairing in self._pairings.values():
            pairing.rotate()
        self._links.rotate()

    def drain(self, measurement: Measurement, closed_before_ms: int) -> None:
        """Move all that was collected into ``measurement``; slots ended by ``closed_before_ms`` are late."""
        by_link: dict[str, LinkCells] = {}
        for slot in sorted(self._slots):
            start_ms = slot * self._slot_ms
            late = start_ms + self._slot_ms <= closed_before_ms
            for link, cell in self._slots[slot].items():
                cells = by_link.get(link)
                if cells is None:
                    cells = by_link[link] = LinkCells(link)
                (cells.late_slots if late else cells.slots).append(cell.summed(start_ms))
        measurement.links = [by_link[link] for link in sorted(by_link)]
        measurement.alive = self._watching.drain()
        self._slots = {}

    def _cell(self, link: str, slot: int) -> LinkCell:
        try:
            return self._slots[slot][link]
        except KeyError:
            self._admit(link)
            cell = self._slots.setdefault(slot, {})[link] = LinkCell()
            return cell

    def _admit(self, link: str) -> None:
        links = self._links
        if link not in links.young:
            if link not in links.old and len(links.young.keys() | links.old.keys()) >= self._max_links:
                raise TooManyLinksError
            links.young[link] = True

    def _request(self, request: LookupRequested) -> None:
        pairing = self._pairings[request.observer]
        slot = request.occurred_at_ms // self._slot_ms
        if pairing is self._portal:
            self._cell(request.link, slot).requested += 1
        else:
            self._admit(request.link)
        if pairing.waiting:
            done = pairing.waiting.pop(request.lookup_id, None)
            if done is not None:
                self._settle(done, request.occurred_at_ms, 1)
                return
        if pairing.unpaired.young or pairing.unpaired.old:
            lone = pairing.unpaired.pop(request.lookup_id)
            if lone is not None:  # the request was only late: count the completion again, with its request
                self._settle(lone, None, -1)
                self._settle(lone, request.occurred_at_ms, 1)
                return
        pairing.add_request(request, slot)

    def _complete_unopened(self, pairing: Pairing, done: LookupCompleted) -> None:
        expired = pairing.expired.pop(done.lookup_id)
        if expired is not None:
            self._expire(expired, -1)
            self._settle(done, expired.occurred_at_ms, 1)
        else:
            self._admit(done.link)
            pairing.waiting[done.lookup_id] = done

    def _expire(self, request: LookupRequested, sign: int) -> None:
        """Count (or, with ``sign`` -1, take back) a request without completion, at its deadline."""
        if request.observer == "gateway":
            return
        cell = self._cell(request.link, (request.occurred_at_ms + self._timeout_ms) // self._slot_ms)
        if request.observer == "provider":
            cell.add_provider(sign, NO_RESPONSE, None)
        else:
            cell.add_signed((sign, NO_RESPONSE, request, request.occurred_at_ms, None))

    def _settle(self, done: LookupCompleted, asked_ms: int | None, sign: int) -> None:
        """Count (or take back) a completion in its slot; ``asked_ms`` is None for a lone one."""
        observer = done.observer
        if observer == "gateway":
            return  # the gateway's view is checked and paired, but neither decides nor splits
        known_ms, outcome = done.occurred_at_ms, done.outcome
        try:
            cell = self._slots[known_ms // self._slot_ms][done.link]
        except KeyError:
            cell = self._cell(done.link, known_ms // self._slot_ms)
        if observer == "provider":
            cell.add_provider(sign, outcome, None if asked_ms is None else known_ms - asked_ms)
        elif asked_ms is None:
            cell.add_signed((sign, outcome, done, known_ms, None))
        elif sign < 0 or done.synthetic or outcome not in _CARRIED:
            cell.add_signed((sign, outcome, done, asked_ms, known_ms - asked_ms))
        else:  # nearly always: the portal saw an answer
            outcomes = cell.outcomes
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            cell.asked_ok.append(asked_ms)
            cell.latency.append(known_ms - asked_ms)


class Watching:
    """When which observer was alive and watched which links, one entry an observer, link set and slot."""

    def __init__(self, slot_ms: int) -> None:
        self._slot_ms = slot_ms
        self._spans: dict[tuple[str, tuple[str, ...], int], tuple[int, int]] = {}
        self._sorted: dict[tuple[str, ...], tuple[str, ...]] = {}

    def beat(self, beat: Heartbeat) -> None:
        """Take in a heartbeat: it vouches for the time until the next one is due."""
        listed = tuple(beat.links)
        links = self._sorted.get(listed)
        if links is None:
            links = self._sorted[listed] = tuple(sorted(set(listed)))
        start_ms, end_ms = beat.occurred_at_ms, beat.occurred_at_ms + beat.interval_ms
        key = (beat.observer, links, start_ms // self._slot_ms)
        span = self._spans.get(key)
        self._spans[key] = (
            (start_ms, end_ms) if span is None else (min(span[0], start_ms), max(span[1], end_ms))
        )

    def drain(self) -> list[Alive]:
        """Return and forget what was seen since the last cut, in canonical order."""
        spans: dict[tuple[str, int, int], set[str]] = {}
        for (observer, links, _), (start_ms, end_ms) in self._spans.items():
            spans.setdefault((observer, start_ms, end_ms), set()).update(links)
        self._spans, self._sorted = {}, {}
        return [Alive(*span, tuple(sorted(spans[span]))) for span in sorted(spans) if spans[span]]
