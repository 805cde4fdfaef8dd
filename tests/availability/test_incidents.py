"""Incidents: which outages are told as one."""

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.model.incidents import IncidentSettings, OutageEdge, group

MINUTE = 60_000


def edge(name: str, link: str, start: int, end: int | None, domain: str = "link") -> OutageEdge:
    """Return an outage of a link, its times in minutes."""
    return OutageEdge(name, link, "down", domain, start * MINUTE, None if end is None else end * MINUTE)


def test_flapping_is_one_incident() -> None:
    """Outages of a link with short gaps are one incident with every change counted; a long gap ends it."""
    flapping = [edge(f"o{i}", "a", i * 5, i * 5 + 2) for i in range(10)]
    later = edge("late", "a", 100, 105)
    first, second = group([*flapping, later])
    assert (first.pattern, first.changes, first.outage_ids) == ("flapping", 20, [f"o{i}" for i in range(10)])
    assert (second.pattern, second.changes, second.incident_id) == ("single", 2, "inc-late")


def test_causes_of_shared_faults() -> None:
    """What links that fail together have in common names the cause."""
    known = ["city > npd", "city > bhxh", "hanoi > npd", "hanoi > justice", "binh-tan > city"]

    def cause(*links: str, domain: str = "link") -> str | None:
        (incident,) = group([edge(link, link, 10, 20, domain) for link in links], known)
        assert incident.pattern == "shared"
        return incident.common_cause

    assert cause("city > npd", "hanoi > npd") == "provider"
    assert cause("city > npd", "hanoi > justice", domain="provider") == "provider"
    assert cause("city > npd", "city > bhxh") == "access line"
    assert cause("city > npd", "hanoi > justice") == "exchange platform"
    assert cause("city > npd", "city > bhxh", "hanoi > npd", "hanoi > justice") == "exchange platform"


def test_open_outage_leaves_the_incident_open() -> None:
    """An incident lasts while one of its outages does."""
    (incident,) = group([edge("x", "a", 10, 11), edge("y", "b", 10, None)])
    assert (incident.end_ms, incident.changes) == (None, 3)


edges = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 200), st.integers(1, 30)), max_size=25).map(
    lambda rows: [edge(f"o{i:02}", link, a, a + span) for i, (link, a, span) in enumerate(rows)]
)


@given(edges, st.randoms())
def test_order_does_not_matter(outages: list[OutageEdge], rng: random.Random) -> None:
    """Every outage is in one incident, and shuffling the outages changes nothing."""
    incidents = group(outages)
    assert sorted(i for incident in incidents for i in incident.outage_ids) == [o.outage_id for o in outages]
    shuffled = list(outages)
    rng.shuffle(shuffled)
    assert group(shuffled) == incidents


@given(edges)
def test_what_lies_far_apart_stays_apart(outages: list[OutageEdge]) -> None:
    """With no tolerance, only outages that begin together or follow without gap are joined."""
    strict = IncidentSettings(flapping_gap_ms=-1, shared_start_ms=-1)
    touching = {i for i, a in enumerate(outages) for b in outages if a is not b and a.link == b.link}
    singles = [incident for incident in group(outages, (), strict) if len(incident.outage_ids) == 1]
    assert len(singles) >= len(outages) - len(touching)
