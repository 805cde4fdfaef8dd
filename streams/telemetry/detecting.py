"""Occurrences of `detect`: measurements merged, slots finalised, windows and outages published.

Time by state arrives as totals that `detect` keeps with each link's state, so metrics are set, not added to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from msgspec import to_builtins

from streams.model import topics
from streams.model.outage import LinkStateName, Outage, Window
from streams.telemetry.contract import (
    DETECTION_DELAY,
    LINK_DOSSIERS,
    LINK_DOWNTIME,
    LINK_OBSERVED,
    LINK_OUTAGE_ACTIVE,
    LINK_OUTAGE_START,
    LINK_STATE,
    LINK_STATE_CHANGES,
    LINK_STATE_SECONDS,
    OUTAGE_REVISIONS,
    OUTAGES,
    RECORDS_SENT,
    SHORT_FAILURE_LOOKUPS,
    SHORT_FAILURE_SECONDS,
    SHORT_FAILURES,
    WINDOWS,
)
from streams.telemetry.counted import (
    KINDS,
    NORMAL_METRICS,
    OutageLedger,
    begin_link,
    show_normal,
    show_open,
    show_spent,
)
from streams.telemetry.hub import Level
from streams.telemetry.labels import LINK_STATE_CODES, LINK_STATES
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class SlotFinalised:
    """A slot ``[start_ms, end_ms)`` of a link was judged.

    ``observed`` is False while no observer of the link is alive. ``dossiers_affected`` is that of the open
    outage so far, None to keep the published value. ``spent_ms`` is the total time in each state, None if it
    has not changed.
    """

    name: ClassVar[str] = "slot_finalised"
    level: ClassVar[Level] = "debug"
    link: str
    start_ms: int
    end_ms: int
    state: LinkStateName
    observed: bool = True
    dossiers_affected: int | None = None
    spent_ms: Mapping[str, int] | None = None

    def fields(self) -> Mapping[str, object]:
        """Return the slot and its state."""
        return {
            "link": self.link,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "state": self.state,
            "observed": self.observed,
        }

    def move(self, store: Store, _stage: str, /) -> None:
        """Set the state, the time in each state, and the dossiers affected by an open outage."""
        ledger = store.ledger(OutageLedger)
        link = self.link
        begin_link(store, link)
        store.set(LINK_STATE, (link,), LINK_STATE_CODES[self.state])
        store.set(LINK_OBSERVED, (link,), int(self.observed))
        if self.state != "UNKNOWN":
            if ledger.last_known.get(link, self.state) != self.state:
                store.add(LINK_STATE_CHANGES, (link,))
            ledger.last_known[link] = self.state
        if self.spent_ms is not None:
            show_spent(store, link, self.spent_ms)
        if link in ledger.open and self.dossiers_affected is not None:
            store.set(LINK_DOSSIERS, (link,), self.dossiers_affected)


@dataclass(frozen=True, slots=True)
class OutagePublished:
    """A revision of an outage was published."""

    name: ClassVar[str] = "outage_published"
    outage: Outage

    @property
    def level(self) -> Level:
        """The first revision of an outage is a warning, later ones are information."""
        return "warning" if self.outage.revision == 1 else "info"

    def fields(self) -> Mapping[str, object]:
        """Return the outage without evidence, services and agencies, which are in the published record."""
        outage = self.outage
        return {
            "outage_id": outage.outage_id,
            "revision": outage.revision,
            "status": outage.status,
            "reason": outage.reason,
            "link": outage.link,
            "kind": outage.kind,
            "fault_domain": outage.fault_domain,
            "start_ms": outage.start_ms,
            "end_ms": outage.end_ms,
            "detected_at_ms": outage.detected_at_ms,
            "attempts": outage.attempts,
            "failures": outage.failures,
            "dossiers_affected": outage.dossiers_affected,
            "confined_to": to_builtins(outage.confined_to),
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the revision, and the outage if it is new; show the open outage."""
        outage, ledger = self.outage, store.ledger(OutageLedger)
        begin_link(store, outage.link)
        if not ledger.is_news(outage):
            return
        store.add(OUTAGE_REVISIONS, (outage.reason,))
        store.add(RECORDS_SENT, (stage, topics.OUTAGES))
        if outage.revision == 1:
            store.add(OUTAGES, (outage.link, outage.kind))
            delay_seconds = (outage.detected_at_ms - outage.start_ms) / 1000
            store.observe(DETECTION_DELAY, (outage.kind,), delay_seconds)
        current = ledger.open.get(outage.link)
        if outage.status == "open":
            ledger.open[outage.link] = outage
            show_open(store, outage.link, outage)
        elif current is not None and current.outage_id == outage.outage_id:
            del ledger.open[outage.link]
            show_open(store, outage.link, None)


@dataclass(frozen=True, slots=True)
class LinkRestored:
    """After a start or an assignment this process continues with a link from its stored state.

    Otherwise an outage that is open across a restart would look closed until its next revision.
    """

    name: ClassVar[str] = "link_restored"
    level: ClassVar[Level] = "info"
    link: str
    state: LinkStateName
    finalised_ms: int
    open_outage: Outage | None
    spent_ms: Mapping[str, int] | None = None

    def fields(self) -> Mapping[str, object]:
        """Return the link, its state and the outage that is open."""
        return {
            "link": self.link,
            "state": self.state,
            "finalised_ms": self.finalised_ms,
            "open_outage_id": self.open_outage.outage_id if self.open_outage else None,
        }

    def move(self, store: Store, _stage: str, /) -> None:
        """Show the link's state without counting anything again."""
        ledger = store.ledger(OutageLedger)
        begin_link(store, self.link)
        store.set(LINK_STATE, (self.link,), LINK_STATE_CODES[self.state])
        if self.spent_ms is not None:
            show_spent(store, self.link, self.spent_ms)
        if self.state != "UNKNOWN":
            ledger.last_known[self.link] = self.state
        if self.open_outage is not None:
            ledger.open[self.link] = self.open_outage
            ledger.remember(self.open_outage)
        show_open(store, self.link, self.open_outage)


@dataclass(frozen=True, slots=True)
class LinkReleased:
    """Another process continues with this link; two processes must not both show its state."""

    name: ClassVar[str] = "link_released"
    level: ClassVar[Level] = "info"
    link: str

    def fields(self) -> Mapping[str, object]:
        """Return the link."""
        return {"link": self.link}

    def move(self, store: Store, _stage: str, /) -> None:
        """Drop the link's gauges and totals; its counters stay, because they are this process's own."""
        store.ledger(OutageLedger).open.pop(self.link, None)
        for metric in (
            LINK_STATE,
            LINK_OBSERVED,
            LINK_DOSSIERS,
            LINK_OUTAGE_START,
            LINK_DOWNTIME,
            *NORMAL_METRICS,
        ):
            store.forget(metric, (self.link,))
        for state in LINK_STATES:
            store.forget(LINK_STATE_SECONDS, (self.link, state))
        for kind in KINDS:
            store.forget(LINK_OUTAGE_ACTIVE, (self.link, kind))


@dataclass(frozen=True, slots=True)
class WindowPublished:
    """A one-minute window was published, or a revision of it."""

    name: ClassVar[str] = "window_published"
    level: ClassVar[Level] = "debug"
    window: Window

    def fields(self) -> Mapping[str, object]:
        """Return the window's link, start, state and revision."""
        window = self.window
        return {
            "link": window.link,
            "start_ms": window.start_ms,
            "state": window.state,
            "revision": window.revision,
        }

    def move(self, store: Store, stage: str, /) -> None:
        """Count the window and its short failures; show the link's raised normal from the latest window."""
        window = self.window
        begin_link(store, window.link)
        store.add(RECORDS_SENT, (stage, topics.WINDOWS))
        ledger = store.ledger(OutageLedger)
        more = ledger.recount_short(window)
        if more is not None:
            store.add(SHORT_FAILURES, (window.link,), more.number)
            store.add(SHORT_FAILURE_SECONDS, (window.link,), more.duration_ms / 1000)
            store.add(SHORT_FAILURE_LOOKUPS, (window.link,), more.lookups)
        if ledger.is_latest(window):
            show_normal(store, window)
        store.add(WINDOWS, ("first" if window.revision == 1 else "revision",))
