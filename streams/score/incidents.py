"""True faults as incidents, and the outages found that belong to each.

Overlapping true faults of one link form one *incident*. An incident counts as *seen* if an observer reported
at least one of its failed attempts; nobody could know of the others. An incident and the outages that overlap
it are matched; several incidents bridged by one outage (or outages by one incident) form one match, whose
edges are the outermost.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from streams.model.intervals import Interval, union
from streams.model.outage import Outage
from streams.score.truth import Fault

MINUTE_MS: Final = 60_000


class Incident(Struct, frozen=True):
    """Overlapping true faults of one link."""

    link: str
    start_ms: int
    end_ms: int
    attempts: int
    failures: int
    seen: bool
    known_ms: int | None
    asked_ms: int
    kinds: tuple[str, ...]
    domains: tuple[str, ...]
    causes: tuple[str, ...] = ()

    @property
    def minutes(self) -> float:
        """Its length in minutes."""
        return (self.end_ms - self.start_ms) / MINUTE_MS


class Match(Struct, frozen=True):
    """Incidents and outages of one link that overlap."""

    incidents: list[Incident]
    outages: list[Outage]


def incidents_of(faults: Iterable[Fault]) -> list[Incident]:
    """Return the incidents: faults that ought to be reported, merged where they overlap on a link."""
    by_link: dict[str, list[Fault]] = {}
    for fault in faults:
        if fault.outage and fault.start_ms < fault.end_ms:
            by_link.setdefault(fault.link, []).append(fault)
    incidents = []
    for link, mine in sorted(by_link.items()):
        for start, end in union((fault.start_ms, fault.end_ms) for fault in mine):
            within = [fault for fault in mine if start <= fault.start_ms < end]
            known = [f.first_failure_known_ms for f in within if f.first_failure_known_ms is not None]
            failing = [f.first_failing_request_ms for f in within if f.first_failing_request_ms is not None]
            incidents.append(
                Incident(
                    link=link,
                    start_ms=start,
                    end_ms=end,
                    attempts=sum(fault.attempts for fault in within),
                    failures=sum(fault.failures for fault in within),
                    seen=any(fault.observed for fault in within),
                    known_ms=min(known, default=None),
                    asked_ms=min(failing, default=start),
                    kinds=tuple(sorted({fault.kind for fault in within})),
                    domains=tuple(sorted({fault.fault_domain for fault in within})),
                    causes=tuple(sorted({fault.cause for fault in within} - {""})),
                )
            )
    return incidents


def range_of(outage: Outage, end_ms: int) -> Interval:
    """Return an outage's time; one still open lasts to the end of the log."""
    end = end_ms if outage.end_ms is None else outage.end_ms
    return outage.start_ms, max(end, outage.start_ms + 1)


def _touch(incident: Incident, found: Interval) -> bool:
    return found[0] < incident.end_ms and incident.start_ms < found[1]


def overlaps_any(outage: Outage, incidents: Iterable[Incident], end_ms: int) -> bool:
    """Return whether an outage overlaps any incident of its link."""
    found = range_of(outage, end_ms)
    return any(i.link == outage.link and _touch(i, found) for i in incidents)


def match_up(incidents: Sequence[Incident], outages: Sequence[Outage], end_ms: int) -> list[Match]:
    """Group the incidents and outages that overlap on each link, treated as one set of intervals."""
    matches = []
    links = sorted({i.link for i in incidents} | {o.link for o in outages})
    for link in links:
        mine = [i for i in incidents if i.link == link]
        found = [o for o in outages if o.link == link]
        bounds = [(i.start_ms, i.end_ms) for i in mine] + [range_of(o, end_ms) for o in found]
        for start, end in union(bounds):
            inside = [i for i in mine if start <= i.start_ms < end]
            reported = [o for o in found if start <= o.start_ms < end]
            if inside and reported:
                matches.append(Match(inside, sorted(reported, key=lambda o: o.start_ms)))
    return matches
