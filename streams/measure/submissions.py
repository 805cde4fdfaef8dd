"""Sums over `portal.submissions`: how many dossiers of which kind, and how long until accepted."""

from collections.abc import Iterable
from typing import Final, get_args

from streams.measure.cells import counted, histogram
from streams.measure.lookups import Drained, Watching
from streams.measure.pairing import Remembered
from streams.model.events import Heartbeat, Submission, SubmissionEvent
from streams.model.measurement import PortalCells, PortalSlot
from streams.model.settings import MeasureSettings

_RECEIVED, _ACCEPTED = "received", "accepted"
_KIND_OF: Final[dict[type, str]] = {
    kind: str(kind.__struct_config__.tag).removeprefix("submission.") for kind in get_args(Submission)
}


class _Cell:
    """One slot of one portal since the last cut."""

    __slots__ = ("acceptance", "agencies", "blocked_by", "services", "types")

    def __init__(self) -> None:
        self.types: list[str] = []
        self.services: list[str] = []
        self.agencies: list[str] = []
        self.blocked_by: list[str] = []
        self.acceptance: list[int] = []


class SubmissionSums:
    """Sums submissions by portal and slot, and pairs received with accepted, for one partition."""

    known: None = None

    def __init__(self, settings: MeasureSettings) -> None:
        self._slot_ms = settings.slot_ms
        self._cells: dict[tuple[str, int], _Cell] = {}
        self._received: Remembered[int] = Remembered()
        self._watching = Watching(settings.slot_ms)
        self.max_links = settings.max_links
        """The bound on links; the meter updates it when settings change."""

    def admits(self, _link: str) -> bool:
        """Submissions name no link that needs admission."""
        return True

    def admits_all(self, listed: list[str]) -> bool:
        """Return whether a heartbeat lists no more links than are admitted, and the range has room."""
        return len(listed) <= self.max_links and self._watching.has_room

    def apply(self, accepted: Iterable[SubmissionEvent]) -> None:
        """Take in events, none a duplicate."""
        slot_ms, cells, received = self._slot_ms, self._cells, self._received
        for event in accepted:
            if isinstance(event, Heartbeat):
                self._watching.beat(event)
                continue
            at = event.portal, event.occurred_at_ms // slot_ms
            try:
                cell = cells[at]
            except KeyError:
                cell = cells[at] = _Cell()
            kind = _KIND_OF[type(event)]
            cell.types.append(kind)
            if kind == _RECEIVED:
                cell.services.append(event.service)
                cell.agencies.append(event.agency)
                received.add(event.dossier_id, event.occurred_at_ms)
            elif kind == _ACCEPTED:
                received_ms = received.pop(event.dossier_id)
                if received_ms is not None:
                    cell.acceptance.append(event.occurred_at_ms - received_ms)
            elif event.blocked_by is not None:
                cell.blocked_by.append(event.blocked_by)

    def mark_late(self, event: SubmissionEvent) -> None:
        """Lateness of submissions is counted with the records; no cell needs it."""

    def close(self, closed_ms: int) -> None:
        """Nothing becomes known about submissions by time alone."""

    def rotate(self) -> None:
        """Begin a new generation of what is remembered."""
        self._received.rotate()

    def drain(self, closed_before_ms: int) -> Drained:
        """Return and forget everything collected; late slots are treated like any other."""
        del closed_before_ms
        by_portal: dict[str, PortalCells] = {}
        for portal, slot in sorted(self._cells):
            cell = self._cells[portal, slot]
            summed = PortalSlot(
                slot * self._slot_ms,
                types=counted(cell.types),
                services=counted(cell.services),
                agencies=counted(cell.agencies),
                blocked_by=counted(cell.blocked_by),
                acceptance=histogram(cell.acceptance),
            )
            by_portal.setdefault(portal, PortalCells(portal)).slots.append(summed)
        self._cells = {}
        return [], list(by_portal.values()), self._watching.drain()


class Unsummed(SubmissionSums):
    """Replaces the sums where only records are counted."""

    def apply(self, accepted: Iterable[SubmissionEvent]) -> None:
        """Ignore the events."""
