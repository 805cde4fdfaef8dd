"""What a sender may bring in, and what it cannot hide."""

import msgspec
from partition_logs import SMALL, beat, completed, entries_of, fed, net, requested


def test_heartbeats_bring_in_no_more_links_than_events_may():
    """A heartbeat that lists more links than the bound is refused whole, and one within it is taken in."""
    settings = msgspec.structs.replace(SMALL, max_links=10)
    few, many = [f"l{n}" for n in range(10)], [f"m{n}" for n in range(300)]
    meter = fed(entries_of([beat(0, few), beat(1_000, many), beat(2_000, few)]), settings)
    assert [(one.offset, one.reason) for one in meter.dead_letters] == [(1, "too_many_links")]
    assert set(meter._sums.known) == set(few)


def test_an_early_answer_under_a_stolen_id_hides_no_failure():
    """A failure counts, and is told, where its event id came before with another outcome; a copy does not."""
    stolen = completed("q1", 500, "ok", event_id="x")
    failed = completed("q1", 900, "timeout", event_id="x")
    ends = [beat(30_000), beat(60_000)]
    meter = fed(entries_of([requested("q1", 0), stolen, failed, failed, *ends]))
    honest = fed(entries_of([requested("q1", 0), stolen, stolen, *ends]))
    (slots,) = [of for of in net(meter.measurements).values() if of]
    assert slots[("outcomes", "timeout")] == 1
    assert meter.conflicts == 1
    assert honest.conflicts == 0
    assert ("outcomes", "timeout") not in next(iter(net(honest.measurements).values()))
