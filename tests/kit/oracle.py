"""A second, naive count of everything the ledger answers, written from docs/availability.md alone.

It cuts time at every instant at which anything changes, asks of each elementary segment what it is, and adds
up. It shares no arithmetic with the product but the calendars' hours.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from streams.ledger.read.question import Question
from streams.model.exclusion import Exclusion
from streams.model.hours.calendar import CALENDARS, service_time
from streams.model.incidents import ends_of
from streams.model.outage import Outage
from streams.model.retirement import Retirement

MINUTE = 60_000
FLAPPING, SHARED = 600_000, 30_000

Minute = tuple[int, int, int, tuple[int, int, int]]
"""What a window says: unknown ms, attempts, failures, and its short failures' number, ms and lookups."""

LENGTHS = ("service_ms", "excluded_ms", "unknown_ms", "down_ms", "degraded_ms")
COUNTED = ("attempts", "failures", "short_failures", "short_failure_ms", "short_failure_lookups")


@dataclass
class Facts:
    """Everything that was published: windows by link and start."""

    windows: dict[str, dict[int, Minute]]
    outages: list[Outage]
    exclusions: list[Exclusion]
    retirements: list[Retirement] = field(default_factory=list)

    @property
    def data_until(self) -> int:
        """End of the last window of any link."""
        return max(max(minutes) for minutes in self.windows.values()) + MINUTE


def last(revisions, key, at, as_of):
    """Return what stood: the greatest revision published by then, for each key."""
    stood = {}
    for one in sorted(revisions, key=lambda one: one.revision):
        if as_of is None or at(one) <= as_of:
            stood[key(one)] = one
    return stood


def stood_outages(facts: Facts, question: Question) -> list[Outage]:
    """Return the outages that stood and were not retracted."""
    stood = last(facts.outages, lambda o: o.outage_id, lambda o: o.detected_at_ms, question.as_of_ms)
    return [one for one in stood.values() if one.status != "retracted"]


def in_force(facts: Facts, question: Question) -> list[Exclusion]:
    """Return the exclusions that take time: not withdrawn, and announced or approved where that is asked."""
    found = []
    for name in {one.exclusion_id for one in facts.exclusions}:
        told = sorted(
            (
                one
                for one in facts.exclusions
                if one.exclusion_id == name
                and (question.as_of_ms is None or one.recorded_at_ms <= question.as_of_ms)
            ),
            key=lambda one: one.revision,
        )
        if not told or told[-1].withdrawn:
            continue
        # The proposal is the last revision that neither withdraws nor approves what stood before it.
        proposal, approved = None, False
        for one in told:
            if one.withdrawn:
                continue
            same = proposal is not None and (one.link, one.start_ms, one.end_ms) == (
                proposal.link,
                proposal.start_ms,
                proposal.end_ms,
            )
            if one.approved and same:
                approved = approved or one.author != proposal.author
            else:
                proposal, approved = one, False
        announced = proposal.recorded_at_ms <= proposal.start_ms
        if announced or approved or not question.second_person:
            found.append(told[-1])
    return found


def period(facts: Facts, question: Question, link: str) -> tuple[int, int]:
    """Return when a link's counted time begins and ends."""
    until = min(x for x in (question.end_ms, question.as_of_ms, facts.data_until) if x is not None)
    retired = last(facts.retirements, lambda r: r.link, lambda r: r.recorded_at_ms, question.as_of_ms)
    if link in retired and not retired[link].withdrawn:
        until = min(until, retired[link].from_ms)
    return max(question.start_ms, min(facts.windows[link])), until


def links_meant(facts: Facts, question: Question) -> list[str]:
    """Return the links a question is about: those in service within the period, or the one that is named."""
    found = []
    for link in sorted(facts.windows):
        if question.link not in (None, link) or question.portal not in (None, ends_of(link)[0]):
            continue
        ends = [x for x in (question.end_ms, question.as_of_ms) if x is not None]
        retired = last(facts.retirements, lambda r: r.link, lambda r: r.recorded_at_ms, question.as_of_ms)
        gone = link in retired and not retired[link].withdrawn and retired[link].from_ms <= question.start_ms
        if link == question.link or (min(facts.windows[link]) < min(ends) and not gone):
            found.append(link)
    return found


def unknown_edges(minutes: dict[int, Minute], start: int, end: int) -> list[tuple[int, int]]:
    """Return the known pieces of ``[start, end)``: of each window the first part, less what was unknown."""
    return [
        (minute, minute + MINUTE - unknown)
        for minute, (unknown, _, _, _) in minutes.items()
        if minute < end and minute + MINUTE > start and unknown < MINUTE
    ]


def inside(pieces, instant: int) -> bool:
    """Say whether an instant lies in any of some pieces."""
    return any(a <= instant < b for a, b in pieces)


def joined(pieces):
    """Return the same pieces with those that touch made one, so that fewer must be asked."""
    made: list[list[int]] = []
    for a, b in sorted(pieces):
        if made and a <= made[-1][1]:
            made[-1][1] = max(made[-1][1], b)
        else:
            made.append([a, b])
    return made


def names_what_is_asked(outage: Outage, question: Question) -> bool:
    """Say whether an outage names the agency and the service asked for."""
    agency = question.agency is None or question.agency in outage.agencies
    return agency and (question.service is None or question.service in outage.services)


def count(facts: Facts, question: Question, link: str, *, excluding: bool = True):
    """Return a link's figures by name, and what each outage counts, by id."""
    sums = dict.fromkeys(LENGTHS + COUNTED, 0)
    shares: dict[str, int] = {}
    start, end = period(facts, question, link)
    if start >= end:
        return sums, shares
    service = service_time(CALENDARS[question.calendar], start, end)
    taken = (
        [(x.start_ms, x.end_ms) for x in in_force(facts, question) if x.link in ("*", link)]
        if excluding
        else []
    )
    known = joined(unknown_edges(facts.windows[link], start, end))
    outages = [
        one
        for one in stood_outages(facts, question)
        if one.link == link and names_what_is_asked(one, question)
    ]
    spans = [(one, one.start_ms, end if one.end_ms is None else one.end_ms) for one in outages]
    pieces = [*service, *taken, *known, *((a, b) for _, a, b in spans)]
    edges = sorted({start, end, *(x for piece in pieces for x in piece if start < x < end)})
    for low, high in pairwise(edges):
        if not inside(service, low):
            continue
        length = high - low
        sums["service_ms"] += length
        if inside(taken, low):
            sums["excluded_ms"] += length
        elif not inside(known, low):
            sums["unknown_ms"] += length
        else:
            met = [one for one, a, b in spans if a <= low < b]
            kind = "down" if any(one.kind == "down" for one in met) else "degraded" if met else None
            if kind is not None:
                sums[f"{kind}_ms"] += length
            for one in met:
                if one.kind == kind:
                    shares[one.outage_id] = shares.get(one.outage_id, 0) + length
    if question.agency is None and question.service is None:
        counted = [
            (attempts, failures, *short)
            for minute, (_, attempts, failures, short) in facts.windows[link].items()
            if (attempts or any(short))
            and start <= minute < end
            and inside(service, minute)
            and not inside(taken, minute)
        ]
        sums |= {name: sum(one[at] for one in counted) for at, name in enumerate(COUNTED)}
    return sums, shares


def told(facts: Facts, question: Question, shares: dict[str, int]) -> dict[str, int]:
    """Return what is said of the outages that count."""
    outages = [one for one in stood_outages(facts, question) if one.outage_id in shares]
    down = [one for one in outages if one.kind == "down"]
    return {
        "down_outages": len(down),
        "degraded_outages": len(outages) - len(down),
        "longest_down_ms": max((shares[one.outage_id] for one in down), default=0),
        "dossiers_affected": sum(one.dossiers_affected for one in outages),
    }


def listed(facts: Facts, question: Question) -> list[Outage]:
    """Return the outages that touch the period and are meant, by start and id."""
    until = min(x for x in (question.end_ms, question.as_of_ms, facts.data_until) if x is not None)
    found = [
        one
        for one in stood_outages(facts, question)
        if question.link in (None, one.link)
        and question.portal in (None, ends_of(one.link)[0])
        and names_what_is_asked(one, question)
        and question.start_ms < until
        and one.start_ms < until
        and (one.end_ms is None or one.end_ms > question.start_ms)
    ]
    return sorted(found, key=lambda one: (one.start_ms, one.outage_id))


def incidents(facts: Facts, question: Question) -> list[list[str]]:
    """Return the incidents as lists of outages, joined pair by pair until nothing joins."""
    outages = sorted(stood_outages(facts, question), key=lambda one: (one.start_ms, one.outage_id))
    groups = [{i} for i in range(len(outages))]

    def belong(first: Outage, second: Outage) -> bool:
        if first.link != second.link:
            return abs(second.start_ms - first.start_ms) <= SHARED
        between = [o for o in outages if o.link == first.link and o not in (first, second)]
        follows = not any(
            (first.start_ms, first.outage_id)
            < (o.start_ms, o.outage_id)
            < (second.start_ms, second.outage_id)
            for o in between
        )
        close = first.end_ms is None or second.start_ms - first.end_ms <= FLAPPING
        return (follows and close) or second.start_ms - first.start_ms <= SHARED

    for i, first in enumerate(outages):
        for j in range(i + 1, len(outages)):
            mine, other = (next(g for g in groups if n in g) for n in (i, j))
            if mine is not other and belong(first, outages[j]):
                groups.remove(other)
                mine |= other
    return [[outages[i].outage_id for i in sorted(group)] for group in groups]
