"""What one slot collects between two cuts, and how it is summed at the cut."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from streams.model.events import FAILURES, LookupCompleted, LookupRequested
from streams.model.measurement import EDGE_TIMES, Asked, LinkSlot
from streams.model.sketch import bucket_of, dossier_hash, trim

Key = TypeVar("Key", str, int)

Signed = tuple[int, str, LookupRequested | LookupCompleted, int, int | None]
"""Sign, outcome, the event that says which service, agency and dossier, when asked, latency."""


class LinkCell:
    """One slot of one link since the last cut.

    Answers seen by the portal go to three parallel lists; everything rarer goes to ``signed``.
    """

    __slots__ = ("asked_ok", "late", "latency", "outcomes", "provider", "requested", "signed")

    def __init__(self) -> None:
        self.requested = 0
        self.late = 0
        self.outcomes: list[str] = []
        self.asked_ok: list[int] = []
        self.latency: list[int] = []
        self.signed: list[Signed] = []
        self.provider: list[tuple[int, str, int | None]] = []

    def summed(self, start_ms: int) -> LinkSlot:
        """Return the sums. Their order is canonical, so that equal facts give equal bytes."""
        outcomes, latency = Counter(self.outcomes), histogram(self.latency)
        seconds: dict[int, Asked] = {}
        for asked_ms in self.asked_ok:
            add_answered(seconds, asked_ms, 1)
        slot = LinkSlot(start_ms, requested=self.requested, late=self.late)
        for sign, outcome, event, asked_ms, latency_ms in self.signed:
            outcomes[outcome] += sign
            slot.synthetic += sign if event.synthetic else 0
            if outcome in FAILURES:
                add_failed(seconds, asked_ms, sign)
                if not event.synthetic:
                    _add(slot.failed_services, event.service, sign)
                    _add(slot.failed_agencies, event.agency, sign)
                    _add(slot.failed_dossiers, dossier_hash(event.dossier_id), sign)
            else:
                add_answered(seconds, asked_ms, sign)
                if latency_ms is not None:
                    _add(latency, bucket_of(latency_ms), sign)
        provider: Counter[str] = Counter()
        for sign, outcome, latency_ms in self.provider:
            provider[outcome] += sign
            if latency_ms is not None:
                _add(slot.provider_latency, bucket_of(latency_ms), sign)
        slot.outcomes, slot.provider_outcomes = tidy(outcomes), tidy(provider)
        slot.latency, slot.provider_latency = tidy(latency), tidy(slot.provider_latency)
        slot.failed_services, slot.failed_agencies = tidy(slot.failed_services), tidy(slot.failed_agencies)
        slot.failed_dossiers = trim(slot.failed_dossiers)
        slot.asked = [seconds[second] for second in sorted(seconds)]
        return slot


def histogram(latencies_ms: Iterable[int]) -> dict[int, int]:
    """Return the latency histogram of some latencies."""
    return Counter(map(bucket_of, latencies_ms))


def _add(counts: dict[Key, int], key: Key, sign: int) -> None:
    counts[key] = counts.get(key, 0) + sign


def tidy(counts: Mapping[Key, int]) -> dict[Key, int]:
    """Return the counts that are not zero, in key order."""
    return {key: counts[key] for key in sorted(counts) if counts[key]}


def add_answered(seconds: dict[int, Asked], asked_ms: int, sign: int) -> None:
    """Count an answered request in the second in which it was asked."""
    second, ms = divmod(asked_ms, 1000)
    asked = seconds.get(second)
    if asked is None:
        asked = seconds[second] = Asked(second)
    asked.ok += sign
    if sign > 0 and (asked.first_ok < 0 or ms < asked.first_ok):
        asked.first_ok = ms


def add_failed(seconds: dict[int, Asked], asked_ms: int, sign: int) -> None:
    """Count a failed request in the second in which it was asked, or take one back."""
    second, ms = divmod(asked_ms, 1000)
    asked = seconds.get(second)
    if asked is None:
        asked = seconds[second] = Asked(second)
    asked.failed += sign
    if sign < 0:
        asked.removed = sorted([*asked.removed, ms])
    else:
        asked.first_failed = sorted([*asked.first_failed, ms])[:EDGE_TIMES]
