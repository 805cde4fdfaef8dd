"""Incidents: outages that belong together, reported once.

Two outages belong to one incident if they are of one link and the later begins within ``flapping_gap_ms``
of the earlier's end (flapping), or of different links and begin within ``shared_start_ms`` of one another
(a shared fault). The relation is transitive. Markopoulou et al. (2004) find about 30 % of a backbone's
unplanned failures shared by several links; their causes show in which links fail together:

    all blame the provider, or all lead to one provider       provider
    all come from one consumer, and all of its links fail      access line
    otherwise                                                  exchange platform

`group` is a pure function of a set of outages; their order does not matter.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from streams.model.outage import FaultDomain, Kind

Pattern = Literal["single", "flapping", "shared"]
CommonCause = Literal["provider", "exchange platform", "access line"]

SEPARATOR: Final = " > "
"""Separates consumer and provider in a link's name."""


class IncidentSettings(Struct, frozen=True):
    """When outages belong together; both in milliseconds."""

    flapping_gap_ms: int = 600_000
    shared_start_ms: int = 30_000


class OutageEdge(Struct, frozen=True, gc=False):
    """What grouping needs to know of an outage; ``changes`` counts state changes inside it."""

    outage_id: str
    link: str
    kind: Kind
    fault_domain: FaultDomain
    start_ms: int
    end_ms: int | None
    changes: int = 0


class Incident(Struct, frozen=True):
    """Outages reported as one; ``incident_id`` derives from the first, ``changes`` counts state changes.

    ``common_cause`` is given where several links fail together, else None.
    """

    incident_id: str
    pattern: Pattern
    common_cause: CommonCause | None
    kind: Kind
    start_ms: int
    end_ms: int | None
    links: list[str]
    outage_ids: list[str]
    changes: int


def group(
    outages: Iterable[OutageEdge], known_links: Sequence[str] = (), settings: IncidentSettings | None = None
) -> list[Incident]:
    """Return the incidents that a set of outages makes up, by start.

    ``known_links`` are all links, needed to recognise that all links of one consumer failed.
    """
    settings = settings or IncidentSettings()
    ordered = sorted(outages, key=lambda outage: (outage.start_ms, outage.outage_id))
    groups = _Groups(len(ordered))
    last_of_link: dict[str, int] = {}
    for i, outage in enumerate(ordered):
        if i and outage.start_ms - ordered[i - 1].start_ms <= settings.shared_start_ms:
            groups.join(i - 1, i)
        earlier = last_of_link.get(outage.link)
        if earlier is not None and _gap_ms(ordered[earlier], outage) <= settings.flapping_gap_ms:
            groups.join(earlier, i)
        last_of_link[outage.link] = i
    return [_incident([ordered[i] for i in members], known_links) for members in groups.members()]


def ends_of(link: str) -> tuple[str, str]:
    """Return consumer (the portal) and provider from a link's name.

    Names are ``consumer > provider`` (imported from X-Road) or ``consumer-provider`` (the catalogue's); a
    name with only one part is taken as the provider.

    >>> ends_of("city/portal > ministry/population"), ends_of("binh-tan-npd"), ends_of("npd")
    (('city/portal', 'ministry/population'), ('binh-tan', 'npd'), ('', 'npd'))
    """
    consumer, _, provider = link.rpartition(SEPARATOR if SEPARATOR in link else "-")
    return consumer, provider


def _gap_ms(earlier: OutageEdge, later: OutageEdge) -> int:
    return 0 if earlier.end_ms is None else later.start_ms - earlier.end_ms


def _incident(outages: list[OutageEdge], known_links: Sequence[str]) -> Incident:
    links = sorted({outage.link for outage in outages})
    ends = [outage.end_ms for outage in outages]
    pattern: Pattern = "shared" if len(links) > 1 else "flapping" if len(outages) > 1 else "single"
    return Incident(
        incident_id=f"inc-{outages[0].outage_id}",
        pattern=pattern,
        common_cause=_common_cause(outages, links, known_links) if pattern == "shared" else None,
        kind="down" if any(outage.kind == "down" for outage in outages) else "degraded",
        start_ms=outages[0].start_ms,
        end_ms=None if None in ends else max(end for end in ends if end is not None),
        links=links,
        outage_ids=[outage.outage_id for outage in outages],
        changes=sum(outage.changes + (1 if outage.end_ms is None else 2) for outage in outages),
    )


def _common_cause(outages: list[OutageEdge], links: list[str], known_links: Sequence[str]) -> CommonCause:
    consumers, providers = (set(side) for side in zip(*map(ends_of, links), strict=True))
    if all(outage.fault_domain == "provider" for outage in outages) or len(providers) == 1:
        return "provider"
    siblings = {link for link in known_links if ends_of(link)[0] in consumers}
    others = set(known_links) - siblings
    if len(consumers) == 1 and others and siblings <= set(links):
        return "access line"
    return "exchange platform"


class _Groups:
    """Disjoint sets of positions; each set is named by its lowest member."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self._root(first), self._root(second)))
        self._parents[high] = low

    def members(self) -> list[list[int]]:
        sets: dict[int, list[int]] = defaultdict(list)
        for i in range(len(self._parents)):
            sets[self._root(i)].append(i)
        return [sets[root] for root in sorted(sets)]

    def _root(self, i: int) -> int:
        while self._parents[i] != i:
            self._parents[i] = self._parents[self._parents[i]]
            i = self._parents[i]
        return i
