"""What is published about a spell: its figures, whose fault it was, and its next revision."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec
from msgspec import Struct, field

from streams.detect.rule import Rule, is_down
from streams.detect.spells import TroubleSpell
from streams.model.events import ANSWERED, LINK_FAULTS, PROVIDER_FAULTS
from streams.model.measurement import Histogram, LinkSlot, Source
from streams.model.outage import FaultDomain, Kind, Outage, Reason
from streams.model.sketch import SKETCH_SIZE, distinct_of_union, quantiles_ms


class Totals(Struct):
    """Figures of a spell, summed over slots. Failures after the spell's end are left out by second."""

    attempts: int = 0
    failures: int = 0
    link_faults: int = 0
    provider_faults: int = 0
    provider_answers: int = 0
    provider_troubles: int = 0
    provider_latency: Histogram = field(default_factory=dict)
    services: set[str] = field(default_factory=set)
    agencies: set[str] = field(default_factory=set)
    dossiers: list[int] = field(default_factory=list)
    dossier_limits: list[int] = field(default_factory=list)

    def add(self, slot: LinkSlot, start_ms: int, end_ms: int) -> None:
        """Add what a slot says of requests asked in ``[start_ms, end_ms)``; edges count whole seconds."""
        failed_here = 0
        for asked in slot.asked:
            if start_ms // 1000 <= asked.second and asked.second * 1000 < end_ms:
                self.attempts += asked.ok + asked.failed
                failed_here += asked.failed
        self.failures += failed_here
        if failed_here:
            self.services.update(name for name, count in slot.failed_services.items() if count > 0)
            self.agencies.update(name for name, count in slot.failed_agencies.items() if count > 0)
            hashes = [key for key, count in slot.failed_dossiers.items() if count > 0]
            self.dossiers.extend(hashes)
            if len(hashes) >= SKETCH_SIZE:
                self.dossier_limits.append(max(hashes))
            for outcome, count in slot.outcomes.items():
                self.link_faults += count if outcome in LINK_FAULTS else 0
                self.provider_faults += count if outcome in PROVIDER_FAULTS else 0
        for outcome, count in slot.provider_outcomes.items():
            self.provider_answers += count if outcome in ANSWERED else 0
            self.provider_troubles += count if outcome not in ANSWERED else 0
        for bucket, count in slot.provider_latency.items():
            self.provider_latency[bucket] = self.provider_latency.get(bucket, 0) + count

    def plus(self, other: "Totals") -> "Totals":
        """Return both together."""
        latency = dict(self.provider_latency)
        for bucket, count in other.provider_latency.items():
            latency[bucket] = latency.get(bucket, 0) + count
        return Totals(
            self.attempts + other.attempts,
            self.failures + other.failures,
            self.link_faults + other.link_faults,
            self.provider_faults + other.provider_faults,
            self.provider_answers + other.provider_answers,
            self.provider_troubles + other.provider_troubles,
            latency,
            self.services | other.services,
            self.agencies | other.agencies,
            self.dossiers + other.dossiers,
            self.dossier_limits + other.dossier_limits,
        )


def totals_of(slots: Iterable[LinkSlot], start_ms: int, end_ms: int) -> Totals:
    """Return the figures of the requests asked in ``[start_ms, end_ms)``."""
    totals = Totals()
    for slot in slots:
        totals.add(slot, start_ms, end_ms)
    return totals


def fault_domain(totals: Totals, slow: bool, slow_ms: int | None) -> FaultDomain:
    """Return whose fault a spell was.

    The portal's outcomes speak first; where they blame the link, or show only slowness, the provider's
    own view may tell that the time was lost, or the failure made, on its side.
    """
    seen = totals.provider_answers + totals.provider_troubles
    if slow:
        median = quantiles_ms(totals.provider_latency, (0.5,))
        return "provider" if median and slow_ms is not None and median[0] >= slow_ms / 2 else "link"
    if totals.provider_faults > totals.link_faults:
        return "provider"
    provider_fails = seen >= 10 and totals.provider_troubles * 2 >= seen
    return "provider" if provider_fails else "link"


def outage_id(link: str, start_ms: int) -> str:
    """Return the id of an outage first published with this start: the same on every machine.

    >>> outage_id("portal > npd", 1687132800000)
    'o-97e841d38d28e6a6'
    """
    return "o-" + blake2b(f"{link}\0{start_ms}".encode(), digest_size=8).hexdigest()


def draft(
    link: str, spell: TroubleSpell, totals: Totals, rule: Rule, slow_ms: int | None, decided_ms: int
) -> Outage:
    """Return what there is to say of a spell, as a first revision without evidence."""
    kind: Kind = "down" if not spell.slow and is_down(totals.attempts, totals.failures) else "degraded"
    dossiers, error = distinct_of_union(totals.dossiers, totals.dossier_limits)
    return Outage(
        outage_id=outage_id(link, spell.start_ms),
        revision=1,
        supersedes=None,
        status="open" if spell.end_ms is None else "closed",
        reason="opened",
        link=link,
        kind=kind,
        fault_domain=fault_domain(totals, spell.slow, slow_ms),
        start_ms=spell.start_ms,
        end_ms=spell.end_ms,
        detected_at_ms=decided_ms,
        rule_version=rule.version,
        attempts=totals.attempts,
        failures=totals.failures,
        dossiers_affected=dossiers,
        dossiers_error=error,
        changes=spell.changes,
        services=sorted(totals.services),
        agencies=sorted(totals.agencies),
    )


def says_the_same(one: Outage, other: Outage) -> bool:
    """Say whether two revisions tell the same story: all but who, when and on what evidence."""
    return (
        msgspec.structs.replace(
            other,
            outage_id=one.outage_id,
            revision=one.revision,
            supersedes=one.supersedes,
            reason=one.reason,
            detected_at_ms=one.detected_at_ms,
            evidence=one.evidence,
        )
        == one
    )


def next_revision(published: Outage, drafted: Outage, reason: Reason, evidence: list[Source]) -> Outage:
    """Return the revision that replaces ``published``: same id, next number, a reason."""
    return msgspec.structs.replace(
        drafted,
        outage_id=published.outage_id,
        revision=published.revision + 1,
        supersedes=published.revision,
        reason=reason,
        evidence=evidence,
    )


def retraction(published: Outage, decided_ms: int, reason: Reason) -> Outage:
    """Return the revision that takes an outage back; its figures stand as they were last said."""
    return msgspec.structs.replace(
        published,
        revision=published.revision + 1,
        supersedes=published.revision,
        status="retracted",
        reason=reason,
        detected_at_ms=decided_ms,
    )
