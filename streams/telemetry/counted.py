"""What `detect` has counted about links and outages so far, and the metrics that show it."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from msgspec import UnsetType

from streams.model.outage import LinkStateName, Outage, RaisedNormal, ShortFailures, Window
from streams.telemetry.contract import (
    LINK_DOSSIERS,
    LINK_DOWNTIME,
    LINK_NORMAL_FAILURE_SHARE,
    LINK_NORMAL_SINCE,
    LINK_NORMAL_SLOW,
    LINK_OUTAGE_ACTIVE,
    LINK_OUTAGE_START,
    LINK_STATE_CHANGES,
    LINK_STATE_SECONDS,
    OUTAGES,
    SHORT_FAILURE_LOOKUPS,
    SHORT_FAILURE_SECONDS,
    SHORT_FAILURES,
)
from streams.telemetry.labels import LINK_STATES
from streams.telemetry.store import Store

KINDS: Final = ("down", "degraded")
NORMAL_METRICS: Final = (LINK_NORMAL_SINCE, LINK_NORMAL_FAILURE_SHARE, LINK_NORMAL_SLOW)
KEPT_OUTAGES: Final = 2_000
"""How many outages' last revisions are remembered, so that a repeated one is not counted again."""
NO_FAILURES: Final = ShortFailures(0, 0, 0)
KEPT_WINDOWS: Final = 2_000
"""How many windows with short failures are remembered, for later revisions."""


class OutageLedger:
    """The counts of `detect` so far; one per process, see `Store.ledger`."""

    def __init__(self) -> None:
        self._short: OrderedDict[tuple[str, int], ShortFailures] = OrderedDict()
        self._latest: dict[str, int] = {}
        self.open: dict[str, Outage] = {}
        self.last_known: dict[str, LinkStateName] = {}
        self._revisions: OrderedDict[str, int] = OrderedDict()

    def is_news(self, outage: Outage) -> bool:
        """Return whether this revision of an outage is new; if so, remember it."""
        if outage.revision <= self._revisions.get(outage.outage_id, 0):
            return False
        self.remember(outage)
        return True

    def remember(self, outage: Outage) -> None:
        """Remember a revision as seen."""
        self._revisions[outage.outage_id] = outage.revision
        self._revisions.move_to_end(outage.outage_id)
        if len(self._revisions) > KEPT_OUTAGES:
            self._revisions.popitem(last=False)

    def recount_short(self, window: Window) -> ShortFailures | None:
        """Return what a window adds to the short failures already counted for it, None if nothing."""
        said, place = window.short_failures, (window.link, window.start_ms)
        if isinstance(said, UnsetType):
            return None
        known = self._short.get(place, NO_FAILURES)
        if said.lookups <= known.lookups:  # counters never decrease
            return None
        self._short[place] = said
        if len(self._short) > KEPT_WINDOWS:
            self._short.popitem(last=False)
        return ShortFailures(
            max(said.number - known.number, 0),
            max(said.duration_ms - known.duration_ms, 0),
            said.lookups - known.lookups,
        )

    def is_latest(self, window: Window) -> bool:
        """Return whether this is the link's latest window so far; if so, remember it."""
        if window.start_ms < self._latest.get(window.link, 0):
            return False
        self._latest[window.link] = window.start_ms
        return True


def begin_link(store: Store, link: str) -> None:
    """Start a link's series at zero, so that rate() and alerts see the first step."""
    if store.value(LINK_STATE_CHANGES, (link,)) is not None:
        return
    store.add(LINK_STATE_CHANGES, (link,), 0)
    for metric in (SHORT_FAILURES, SHORT_FAILURE_SECONDS, SHORT_FAILURE_LOOKUPS):
        store.add(metric, (link,), 0)
    store.set(LINK_DOSSIERS, (link,), 0)
    for kind in KINDS:
        store.add(OUTAGES, (link, kind), 0)
        store.set(LINK_OUTAGE_ACTIVE, (link, kind), 0)
    show_spent(store, link, dict.fromkeys(LINK_STATES, 0))


def show_spent(store: Store, link: str, spent_ms: Mapping[str, int]) -> None:
    """Set the total time that a link has been in each state.

    The totals are kept with the link's state in `detect`, so a restart neither loses nor repeats any time.
    """
    for state, milliseconds in spent_ms.items():
        store.set(LINK_STATE_SECONDS, (link, state), milliseconds / 1000)
    store.set(LINK_DOWNTIME, (link,), spent_ms["down"] / 1000)


def show_normal(store: Store, window: Window) -> None:
    """Show a link's raised normal from a window; without one there is no series."""
    normal = RaisedNormal() if isinstance(window.normal, UnsetType) else window.normal
    since_ms = [ms for ms in (normal.since_ms, normal.slower_since_ms) if ms is not None]
    values = (
        min(since_ms) / 1000 if since_ms else None,
        normal.failure_share,
        None if normal.slow_ms is None else normal.slow_ms / 1000,
    )
    for metric, value in zip(NORMAL_METRICS, values, strict=True):
        if value is None:
            store.forget(metric, (window.link,))
        else:
            store.set(metric, (window.link,), value)


def show_open(store: Store, link: str, outage: Outage | None) -> None:
    """Show a link's open outage, None if it has none."""
    for kind in KINDS:
        store.set(LINK_OUTAGE_ACTIVE, (link, kind), int(outage is not None and outage.kind == kind))
    store.set(LINK_DOSSIERS, (link,), outage.dossiers_affected if outage else 0)
    if outage is None:
        store.forget(LINK_OUTAGE_START, (link,))
    else:
        store.set(LINK_OUTAGE_START, (link,), outage.start_ms / 1000)
