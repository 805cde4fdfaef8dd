"""Sums over `npd.lookups`: what became known about each link in each slot.

Between two cuts a cell only collects, mostly plain values in lists; the sums are made once, at the cut.
A cell belongs to the slot in which an outcome became known: the completion's, or the deadline's for
`no_response`. An entry with a negative sign takes back what a later record corrects.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from streams.measure.cells import LinkCell
from streams.measure.owed import Owed
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
from streams.model.measurement import Alive, LinkCells, LinkSlot, PortalCells
from streams.model.settings import MeasureSettings

_CARRIED: Final = ANSWERED | CLIENT_FAULTS
"""Outcomes that show the link carried the question and an answer."""
LINK_SETS: Final = 16
"""How many distinct sets of links from heartbeats are cached in sorted form; there are rarely more."""
MOST_NAME_BYTES: Final = 2 * 1024 * 1024
"""Bytes of link names that the heartbeats of one range may list: a measurement has to fit into a record."""

Drained = tuple[list[LinkCells], list[PortalCells], list[Alive]]
"""The links, portals and observers of a measurement."""


class LookupSums:
    """Pairs lookups and sums them by link and slot, for one partition."""

    def __init__(self, settings: MeasureSettings) -> None:
        self._slot_ms = settings.slot_ms
        self._settings = settings
        timeouts_ms = [
            settings.lookup_timeout_ms,
            *(later.lookup_timeout_ms for _, later in settings.changes),
        ]
        self._least_timeout_ms = min(timeouts_ms)
        self.max_links = settings.max_links
        """The bound on links; the meter updates it when settings change."""
        self._pairings = {
            observer: Pairing(settings.slot_ms) for observer in ("portal", "gateway", "provider")
        }
        self._portal, self._all = self._pairings["portal"], tuple(self._pairings.values())
        self._cells: dict[tuple[str, int], LinkCell] = {}
        self._links: Remembered[bool] = Remembered()
        self._listed: set[tuple[str, ...]] = set()
        """Sets of links admitted in this generation."""
        self._owed = Owed()
        self._watching = Watching(settings.slot_ms)

    @property
    def known(self) -> Mapping[str, bool]:
        """The links already admitted in this generation; their events need no further check."""
        return self._links.young

    def admits(self, link: str) -> bool:
        """Admit a link, or return False if that would exceed the bound on links."""
        links = self._links
        if link not in links.old and len(links.young.keys() | links.old.keys()) >= self.max_links:
            return False
        links.young[link] = True
        return True

    def admits_all(self, listed: list[str]) -> bool:
        """Admit the links that a heartbeat lists, or return False if that would exceed a bound."""
        named = tuple(listed)
        if named in self._listed:
            return self._watching.has_room
        young = self._links.young
        fresh = young.keys() | self._links.old.keys() | set(listed)
        if len(fresh) > self.max_links or not self._watching.has_room:
            return False
        young.update(dict.fromkeys(listed, True))
        if len(self._listed) >= LINK_SETS:
            self._listed.clear()
        self._listed.add(named)
        return True

    def apply(self, accepted: Iterable[LookupEvent]) -> None:
        """Apply events of admitted links, without duplicates. The second half of the hot path.

        The common cases are inlined: the portal's request and the portal's answer, in either order.
        """
        slot_ms, cells, portal = self._slot_ms, self._cells, self._portal
        opened, by_slot, waiting, unpaired = portal.open, portal.by_slot, portal.waiting, portal.unpaired
        carried, expired = _CARRIED, portal.expired
        for event in accepted:
            if type(event) is LookupCompleted:
                if event.observer == "portal" and event.outcome in carried and not event.synthetic:
                    key = event.lookup_id
                    request = opened.pop(key, None)
                    if request is None:
                        if key not in expired.young and key not in expired.old:
                            waiting[key] = event
                            continue
                    else:
                        known_ms, asked_ms = event.occurred_at_ms, request.occurred_at_ms
                        at = event.link, known_ms // slot_ms
                        cell = cells.get(at)
                        if cell is None:
                            cell = cells[at] = LinkCell()
                        cell.answers.append((event.outcome, asked_ms, known_ms - asked_ms, event))
                        continue
                self._complete(event)
            elif type(event) is LookupRequested:
                key, slot = event.lookup_id, event.occurred_at_ms // slot_ms
                if (
                    event.observer != "portal"
                    or key in waiting
                    or key in opened
                    or key in unpaired.young
                    or key in unpaired.old
                ):
                    self._request(event)
                    continue
                at = event.link, slot
                cell = cells.get(at)
                if cell is None:
                    cell = cells[at] = LinkCell()
                cell.requested += 1
                opened[key] = event
                if slot not in by_slot:
                    portal.begin_slot(slot)
                by_slot[slot].append(key)
            elif type(event) is Heartbeat:
                self._watching.beat(event)

    def mark_late(self, event: LookupEvent) -> None:
        """Count a late event on the cell it falls in."""
        if not isinstance(event, Heartbeat):
            self._cell(event.link, event.occurred_at_ms // self._slot_ms).late += 1

    def close(self, closed_ms: int) -> None:
        """Count the requests that have expired by ``closed_ms``, and the completions left unpaired."""
        before_slot = (closed_ms - self._least_timeout_ms) // self._slot_ms
        for pairing in self._all:
            if pairing.first_slot < before_slot:
                for request in pairing.take_expired(before_slot, lambda slot: self._is_over(slot, closed_ms)):
                    self._expire(request, 1)
            if pairing.waiting:
                for done in pairing.take_unpaired(closed_ms):
                    self._settle(done, None, 1)

    def _is_over(self, slot: int, closed_ms: int) -> bool:
        """Return whether requests sent in a slot have timed out, by the time-out in force in that slot."""
        asked_ms = slot * self._slot_ms
        timeout_ms = self._settings.at(asked_ms).lookup_timeout_ms
        return slot < (closed_ms - timeout_ms) // self._slot_ms

    def rotate(self) -> None:
        """Begin a new generation of remembered ids and requests."""
        for pairing in self._pairings.values():
            pairing.rotate()
        self._links.rotate()
        self._listed.clear()
        self._owed.rotate()

    def drain(self, closed_before_ms: int) -> Drained:
        """Return and forget everything collected; slots that ended by ``closed_before_ms`` are late."""
        slot_ms, cells = self._slot_ms, self._cells
        links: list[LinkCells] = []
        link = None
        for at in sorted(cells):
            if at[0] != link:
                link = at[0]
                of_link = LinkCells(link)
                links.append(of_link)
            start_ms = at[1] * slot_ms
            into = of_link.late_slots if start_ms + slot_ms <= closed_before_ms else of_link.slots
            into.append(self._summed(link, cells[at], start_ms))
        self._cells = {}
        return links, [], self._watching.drain()

    def _summed(self, link: str, cell: LinkCell, start_ms: int) -> LinkSlot:
        """Return a cell's sums, with the answers by service and agency that are still owed."""
        slot, owed = cell.summed(start_ms), self._owed
        if slot.services:
            owed.add_failures(link, slot)
        debts = owed.of(link)
        if debts is not None and cell.tell_answers(slot, *debts):
            owed.pay(link, slot)
        return slot

    def _cell(self, link: str, slot: int) -> LinkCell:
        cell = self._cells.get((link, slot))
        if cell is None:
            cell = self._cells[link, slot] = LinkCell()
        return cell

    def _request(self, request: LookupRequested) -> None:
        pairing = self._pairings[request.observer]
        slot = request.occurred_at_ms // self._slot_ms
        if pairing is self._portal:
            self._cell(request.link, slot).requested += 1
        done = pairing.waiting.pop(request.lookup_id, None)
        if done is not None:
            self._settle(done, request.occurred_at_ms, 1)
            return
        lone = pairing.unpaired.pop(request.lookup_id)
        if lone is not None:  # the request was only late: count the completion again, with its request
            self._settle(lone, None, -1)
            self._settle(lone, request.occurred_at_ms, 1)
            return
        pairing.add_request(request, slot)

    def _complete(self, done: LookupCompleted) -> None:
        pairing = self._pairings[done.observer]
        request = pairing.open.pop(done.lookup_id, None)
        if request is not None:
            self._settle(done, request.occurred_at_ms, 1)
            return
        expired = pairing.expired.pop(done.lookup_id)
        if expired is None:
            pairing.waiting[done.lookup_id] = done
        else:
            self._expire(expired, -1)
            self._settle(done, expired.occurred_at_ms, 1)

    def _expire(self, request: LookupRequested, sign: int) -> None:
        """Count (or, with ``sign`` -1, take back) a request without completion, at its deadline."""
        if request.observer == "gateway":
            return
        deadline_ms = request.occurred_at_ms + self._settings.at(request.occurred_at_ms).lookup_timeout_ms
        cell = self._cell(request.link, deadline_ms // self._slot_ms)
        if request.observer == "provider":
            cell.add_provider(sign, NO_RESPONSE, None)
        else:
            cell.add_signed((sign, NO_RESPONSE, request, request.occurred_at_ms, None))

    def _settle(self, done: LookupCompleted, asked_ms: int | None, sign: int) -> None:
        """Count (or take back) a completion in its slot; ``asked_ms`` is None for a lone one."""
        observer = done.observer
        if observer == "gateway":
            return  # the gateway's view is checked and paired, but affects neither states nor latency
        known_ms, outcome = done.occurred_at_ms, done.outcome
        cell = self._cell(done.link, known_ms // self._slot_ms)
        if observer == "provider":
            cell.add_provider(sign, outcome, None if asked_ms is None else known_ms - asked_ms)
        elif asked_ms is None:
            cell.add_signed((sign, outcome, done, known_ms, None))
        elif sign < 0 or done.synthetic or outcome not in _CARRIED:
            cell.add_signed((sign, outcome, done, asked_ms, known_ms - asked_ms))
        else:
            cell.answers.append((outcome, asked_ms, known_ms - asked_ms, done))


class Watching:
    """When which observer was alive and watched which links, one entry per observer, link set and slot."""

    def __init__(self, slot_ms: int) -> None:
        self._slot_ms = slot_ms
        self._spans: dict[tuple[str, tuple[str, ...], int], tuple[int, int]] = {}
        self._sorted: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {}
        self._room = MOST_NAME_BYTES

    @property
    def has_room(self) -> bool:
        """Whether this range can take more link names; their number bounds the size of a measurement."""
        return self._room > 0

    def beat(self, beat: Heartbeat) -> None:
        """Apply a heartbeat, which covers the time until the next one is due."""
        listed = tuple(beat.links)
        known = self._sorted.get(listed)
        if known is None:
            if len(self._sorted) >= LINK_SETS:
                self._sorted.clear()
            links = tuple(sorted(set(listed)))
            known = self._sorted[listed] = links, sum(len(link.encode()) for link in links)
        links, size = known
        start_ms, end_ms = beat.occurred_at_ms, beat.occurred_at_ms + beat.interval_ms
        key = (beat.observer, links, start_ms // self._slot_ms)
        span = self._spans.get(key)
        if span is None:
            self._room -= size
        self._spans[key] = (
            (start_ms, end_ms) if span is None else (min(span[0], start_ms), max(span[1], end_ms))
        )

    def drain(self) -> list[Alive]:
        """Return and forget what was seen since the last cut, in canonical order."""
        if not self._spans:
            return []
        self._room = MOST_NAME_BYTES
        if len(self._spans) == 1:
            (((observer, links, _), span),) = self._spans.items()
            self._spans = {}
            return [Alive(observer, *span, links)] if links else []
        spans: dict[tuple[str, int, int], set[str]] = {}
        for (observer, links, _), (start_ms, end_ms) in self._spans.items():
            spans.setdefault((observer, start_ms, end_ms), set()).update(links)
        self._spans = {}
        return [Alive(*span, tuple(sorted(spans[span]))) for span in sorted(spans) if spans[span]]
