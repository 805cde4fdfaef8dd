"""Makes what is published about a spell: fault domain, kind, and the next revision."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from streams.detect.link.named import suffering
from streams.detect.link.spells import TroubleSpell
from streams.detect.link.totals import Totals, distinct_dossiers
from streams.detect.rule.cusum import IDLE, Cusum
from streams.detect.rule.definition import Rule
from streams.detect.rule.shares import fits, is_down
from streams.model.measurement import Source
from streams.model.outage import FaultDomain, Kind, Outage, Reason
from streams.model.sketch import quantiles_ms


def fault_domain(totals: Totals, slow: bool, slow_ms: int | None) -> FaultDomain:
    """Return whose fault a spell was.

    The portal's outcomes come first. If they blame the link, or show only slowness, the provider's own view
    may show that the time was lost, or the failure caused, on its side, or that it refused us. Requests that
    the provider answered well, or never saw, were lost on the link.
    """
    if slow:
        median = quantiles_ms(totals.provider_latency, (0.5,))
        return "provider" if median and slow_ms is not None and median[0] >= slow_ms / 2 else "link"
    if totals.refusals > totals.link_faults + totals.provider_faults:
        return "client"
    if totals.provider_faults > totals.link_faults:
        return "provider"
    seen = totals.provider_answers + totals.provider_troubles + totals.provider_refusals
    if seen < LEAST_SEEN:
        return "link"
    if totals.provider_refusals * 2 >= seen:
        return "client"
    return "provider" if totals.provider_troubles * 2 >= seen else "link"


LEAST_SEEN: Final = 10
"""The provider's view counts only if it saw this many lookups."""


def outage_id(link: str, start_ms: int) -> str:
    """Return the id of an outage first published with this start: the same on every machine.

    >>> outage_id("portal > npd", 1687132800000)
    'o-97e841d38d28e6a6'
    """
    return "o-" + blake2b(f"{link}\0{start_ms}".encode(), digest_size=8).hexdigest()


def kind_of(spell: TroubleSpell, totals: Totals, since: Cusum = IDLE, told: Kind | None = None) -> Kind:
    """Return whether a spell was down: at least half of its attempts failed.

    By definition a spell begins with a failure, and the last attempt before the success that ends it
    failed too. These two say nothing about how often attempts fail, and on a quiet link they would be
    half of all attempts, so they are left out.

    For an open spell the attempts ``since`` its possible end are left out as well. A spell already
    published (``told``) as down stays down while that is possible within two standard errors, so that the
    kind does not change back and forth at a share near one half.
    """
    if spell.slow or spell.confined:
        return "degraded"
    edges, attempts, failures = 2, totals.attempts, totals.failures
    if spell.end_ms is None:
        edges, attempts, failures = 1, attempts - since.attempts, failures - since.failures
    if 0 < failures == attempts:
        return "down"
    attempts, failures = attempts - edges, failures - edges
    if spell.end_ms is not None or told is None:
        return "down" if is_down(attempts, failures) else "degraded"
    is_so = fits(attempts, failures, down=True) if told == "down" else 0 < attempts <= 2 * failures
    return "down" if is_so else "degraded"


def draft(
    link: str,
    spell: TroubleSpell,
    totals: Totals,
    rule: Rule,
    slow_ms: int | None,
    decided_ms: int,
    unknown_since_ms: int | None = None,
    since: Cusum = IDLE,
    told: Kind | None = None,
) -> Outage:
    """Return a spell's outage as revision 1, without evidence; ``since`` and ``told`` as in `kind_of`."""
    kind, named = kind_of(spell, totals, since, told), totals.named
    dossiers, error = distinct_dossiers(totals)
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
        services=spell.services or suffering(named.services, down=kind == "down"),
        agencies=spell.agencies or suffering(named.agencies, down=kind == "down"),
        confined_to=named.confined(spell.services, spell.agencies) if spell.confined else None,
        first_published_at_ms=decided_ms,
        end_published_at_ms=None if spell.end_ms is None else decided_ms,
        unknown_since_ms=unknown_since_ms if spell.end_ms is None else None,
    )


def says_the_same(one: Outage, other: Outage) -> bool:
    """Return whether two revisions differ only in id, revision, reason, publication times and evidence."""
    return (
        replace(
            other,
            outage_id=one.outage_id,
            revision=one.revision,
            supersedes=one.supersedes,
            reason=one.reason,
            detected_at_ms=one.detected_at_ms,
            evidence=one.evidence,
            first_published_at_ms=one.first_published_at_ms,
            end_published_at_ms=one.end_published_at_ms,
        )
        == one
    )


def alike(one: Outage, other: Outage) -> bool:
    """Return whether two open revisions agree in everything that must be published at once."""
    return _told(one) == _told(other)


def _told(outage: Outage) -> tuple[object, ...]:
    return outage.kind, outage.start_ms, outage.fault_domain, names_of(outage)


def names_of(outage: Outage) -> tuple[list[str], list[str]]:
    """Return the services and the agencies that an outage is confined to."""
    confined = outage.confined_to
    return ([], []) if confined is None else (confined.services, confined.agencies)


def differ_in_passing(one: Outage, other: Outage) -> bool:
    """Return whether two `alike` open revisions differ in what may wait for `PATIENCE_MS`."""
    return (one.changes, one.unknown_since_ms) != (other.changes, other.unknown_since_ms)


PATIENCE_MS: Final = 300_000
"""The least time between revisions of an open outage for minor changes: flapping, or lost sight.

At multiples of this time an open outage is always reviewed, as its kind or fault domain may have changed.
"""


def next_revision(published: Outage, drafted: Outage, reason: Reason, evidence: list[Source]) -> Outage:
    """Return the revision that replaces ``published``: same id, next number, a reason."""
    return replace(
        drafted,
        outage_id=published.outage_id,
        revision=published.revision + 1,
        supersedes=published.revision,
        reason=reason,
        evidence=evidence,
        first_published_at_ms=published.first_published_at_ms,
        end_published_at_ms=_end_published_at_ms(published, drafted),
    )


def _end_published_at_ms(published: Outage, drafted: Outage) -> int | None:
    """Return when the end of an outage was first published: with the revision ``drafted``, or before."""
    if drafted.end_ms is None:
        return None
    return drafted.detected_at_ms if published.end_ms is None else published.end_published_at_ms


def retraction(published: Outage, decided_ms: int, reason: Reason) -> Outage:
    """Return the revision that retracts an outage; its figures stay as last published."""
    return replace(
        published,
        revision=published.revision + 1,
        supersedes=published.revision,
        status="retracted",
        reason=reason,
        detected_at_ms=decided_ms,
    )


def matched(spells: Sequence[TroubleSpell], outages: Iterable[Outage], now_ms: int) -> list[Outage | None]:
    """Return for each spell (in order, disjoint) the outage published for it, None if none was.

    That is the outage with exactly the same edges; otherwise, of those that match no other spell, the one
    with the largest overlap, the earliest if several are equal.
    """
    left = {(outage.start_ms, outage.end_ms): outage for outage in sorted(outages, key=_start)}
    found = [left.pop((spell.start_ms, spell.end_ms), None) for spell in spells]
    for at, spell in enumerate(spells):
        if found[at] is None and left:
            best = max(left, key=lambda edges: _overlap_ms(spell, edges, now_ms))
            if _overlap_ms(spell, best, now_ms) > 0:
                found[at] = left.pop(best)
    return found


def _start(outage: Outage) -> int:
    return outage.start_ms


def _overlap_ms(spell: TroubleSpell, edges: tuple[int, int | None], now_ms: int) -> int:
    start_ms, end_ms = edges
    return min(spell.end_ms or now_ms, end_ms or now_ms) - max(spell.start_ms, start_ms)
