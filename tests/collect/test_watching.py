"""Whom heartbeats vouch for."""

from hypothesis import given
from hypothesis import strategies as st

from streams.collect.watching import HOLD_MS, MOST_SOURCES, Watching
from streams.ingest.otlp.export import Watched
from streams.ingest.otlp.found import Source

T0 = 1_750_032_000_000
ONE, TWO = Source("portal", "one"), Source("portal", "two")
NPD, BHXH = Watched("portal", "npd"), Watched("portal", "bhxh")


def links_at(watching, now_ms, behind_ms=None):
    """Return the links that the heartbeats of a moment name, by observer."""
    return {beat.observer: beat.links for beat in watching.beats(now_ms, behind_ms)}


def test_a_source_vouches_for_its_links_while_spans_come():
    """Links are named while spans of a source that sees them come, and not once it has fallen silent."""
    watching = Watching(quiet_ms=30_000)
    assert links_at(watching, T0) == {"portal": []}
    watching.saw({ONE: {NPD}, TWO: {BHXH, Watched("provider", "npd")}}, T0)
    assert links_at(watching, T0 + 1_000) == {"portal": ["bhxh", "npd"], "provider": ["npd"]}
    watching.saw({ONE: set()}, T0 + 20_000)
    assert links_at(watching, T0 + 31_000) == {"portal": ["npd"]}
    assert watching.alive == 1
    assert links_at(watching, T0 + 51_000) == {"portal": []}
    watching.saw({TWO: set()}, T0 + 60_000)
    assert links_at(watching, T0 + 61_000) == {"portal": ["bhxh"], "provider": ["npd"]}


def test_a_backlog_holds_heartbeats_back():
    """While a topic is behind, heartbeats stay behind what was read, and its sources are alive as of then."""
    watching = Watching(quiet_ms=30_000)
    watching.saw({ONE: {NPD}}, T0)
    (beat,) = watching.beats(T0 + 3_600_000, T0)
    assert (beat.occurred_at_ms, beat.links) == (T0 - HOLD_MS, ["npd"])
    assert watching.beats(T0 + 3_601_000, T0) == []
    assert watching.beats(T0 + 3_602_000, 0) == []
    (beat,) = watching.beats(T0 + 3_603_000)
    assert (beat.occurred_at_ms, beat.links) == (T0 + 3_603_000 - HOLD_MS, [])


@given(st.lists(st.tuples(st.integers(0, 100_000), st.none() | st.integers(0, 100_000)), max_size=20))
def test_the_time_of_heartbeats_never_runs_back(moments):
    """Whatever the clock and the backlog do, each heartbeat is later than the one before."""
    watching = Watching()
    times = [
        beat.occurred_at_ms
        for now_ms, behind_ms in moments
        for beat in watching.beats(T0 + now_ms, None if behind_ms is None else T0 + behind_ms)
    ]
    assert times == sorted(set(times))


def test_sources_and_links_are_bounded():
    """However many sources and links come, only so many are remembered and named, the newest first."""
    watching = Watching(most_links=3)
    for n in range(MOST_SOURCES + 10):
        watching.saw({Source("portal", str(n)): {Watched("portal", f"{n}-{k}") for k in range(5)}}, T0 + n)
    (beat,) = watching.beats(T0 + MOST_SOURCES + 10)
    assert len(beat.links) == 3
    assert watching.alive == MOST_SOURCES
