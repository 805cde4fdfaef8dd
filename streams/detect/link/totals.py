"""The figures of a spell, summed over its minutes between its edges."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from streams.detect.link.facts import add_counts
from streams.detect.link.minute import MINUTE_MS, Minute, hash_limit
from streams.detect.link.named import Named
from streams.model.events import ANSWERED, CANCELLED, CLIENT_FAULTS, LINK_FAULTS, PROVIDER_FAULTS
from streams.model.measurement import Asked, Histogram, LinkSlot
from streams.model.sketch import distinct_of_union


class Totals(Struct, array_like=True):
    """Figures of a spell, summed over minutes. Counts are exact to the second of request."""

    attempts: int = 0
    failures: int = 0
    link_faults: int = 0
    provider_faults: int = 0
    refusals: int = 0
    provider_answers: int = 0
    provider_troubles: int = 0
    provider_refusals: int = 0
    provider_latency: Histogram = field(default_factory=dict)
    named: Named = field(default_factory=Named)
    dossiers: set[int] = field(default_factory=set)
    dossier_limit: int | None = None

    def add(self, minute_ms: int, minute: Minute, start_ms: int, end_ms: int) -> None:
        """Add a minute's requests made in ``[start_ms, end_ms)``."""
        slots = minute.read()
        asked_here = hit = False
        dossiers: set[int] = set()
        for slot in slots:
            failed_here = 0
            for asked in slot.asked:
                ok, failed = within(asked, start_ms, end_ms)
                asked_here = asked_here or ok != 0 or failed != 0
                self.attempts += ok + failed
                failed_here += failed
            if start_ms <= slot.start_ms < end_ms or failed_here:
                self._add_outcomes(slot)
            if failed_here > 0:
                hit = True
                self.failures += failed_here
                dossiers.update(key for key, count in slot.failed_dossiers.items() if count > 0)
        if hit:
            self._add_dossiers(dossiers, hash_limit(slots, minute.limit))
        services, agencies = minute.parts() if asked_here else ({}, {})
        if services or agencies:
            self.named.add(services, agencies, start_ms - minute_ms, end_ms - minute_ms)
        if start_ms < minute_ms + MINUTE_MS and minute_ms < end_ms:
            add_counts(self.provider_latency, minute.latencies()[1])

    def _add_outcomes(self, slot: LinkSlot) -> None:
        for outcome, count in slot.outcomes.items():
            if outcome in LINK_FAULTS:
                self.link_faults += count
            elif outcome in PROVIDER_FAULTS:
                self.provider_faults += count
            elif outcome in CLIENT_FAULTS:
                self.refusals += count
        for outcome, count in slot.provider_outcomes.items():
            if outcome in ANSWERED:
                self.provider_answers += count
            elif outcome in CLIENT_FAULTS:
                self.provider_refusals += count
            elif outcome not in CANCELLED:
                self.provider_troubles += count

    def _add_dossiers(self, dossiers: set[int], limit: int | None) -> None:
        self.dossiers |= dossiers
        if limit is not None and (self.dossier_limit is None or limit < self.dossier_limit):
            self.dossier_limit = limit
        if (
            len(self.dossiers) > 8 * SPELL_SKETCH
        ):  # the result does not depend on when: the lowest hashes stay
            self.trim()

    def join(self, other: "Totals") -> None:
        """Add the figures of other minutes."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        add_counts(self.provider_latency, other.provider_latency)
        self.named.join(other.named)
        self._add_dossiers(other.dossiers, other.dossier_limit)

    def trim(self) -> None:
        """Reduce the dossier hashes to the size of a sketch. Call it once all minutes are added."""
        limits = [] if self.dossier_limit is None else [self.dossier_limit]
        if len(self.dossiers) > SPELL_SKETCH:
            limits.append(sorted(self.dossiers)[SPELL_SKETCH - 1])
        self.dossier_limit = min(limits, default=None)
        if self.dossier_limit is not None:
            self.dossiers = {key for key in self.dossiers if key <= self.dossier_limit}


_COUNTS: Final = (
    *("attempts", "failures", "link_faults", "provider_faults", "refusals"),
    *("provider_answers", "provider_troubles", "provider_refusals"),
)
SPELL_SKETCH: Final = 1024
"""Dossier hashes kept for a spell: 3 % relative standard error."""


def within(asked: Asked, start_ms: int, end_ms: int) -> tuple[int, int]:
    """Return how many of a second's requests were made in ``[start_ms, end_ms)``: answered, and failed.

    In the second in which trouble began or ended, the earliest times kept for it show which were within;
    answers that may lie on either side count as outside.
    """
    second_ms = asked.second * 1000
    if start_ms <= second_ms and second_ms + 1000 <= end_ms:
        return asked.ok, asked.failed
    if second_ms >= end_ms or second_ms + 1000 <= start_ms:
        return 0, 0
    times = [second_ms + ms for ms in asked.first_failed]
    failed = asked.failed - sum(at < start_ms for at in times)
    if len(times) >= asked.failed:
        failed -= sum(at >= end_ms for at in times)
    elif times and times[0] >= end_ms:
        failed = 0
    answered = asked.first_ok >= 0 and start_ms <= second_ms + asked.first_ok < end_ms
    return asked.ok if answered else 0, max(failed, 0)


def totals_of(
    minutes: Iterable[tuple[int, Minute]], start_ms: int, end_ms: int, known: Totals | None = None
) -> Totals:
    """Return the figures of the requests made in ``[start_ms, end_ms)``, added to ``known`` in place."""
    totals = Totals() if known is None else known
    for minute_ms, minute in minutes:
        totals.add(minute_ms, minute, start_ms, end_ms)
    totals.trim()
    return totals


def distinct_dossiers(totals: Totals) -> tuple[int, float]:
    """Return the number of distinct dossiers with a failed attempt, and its relative error."""
    limits = () if totals.dossier_limit is None else (totals.dossier_limit,)
    return distinct_of_union(totals.dossiers, limits)


def copied(totals: Totals) -> Totals:
    """Return a copy that can be changed independently."""
    return replace(
        totals,
        provider_latency=dict(totals.provider_latency),
        named=totals.named.copy(),
        dossiers=set(totals.dossiers),
    )
