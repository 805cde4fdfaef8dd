"""Made-up link-years: their facts are what `measure` would say, and what became of them is counted right."""

from small_logs import encode

from lab.link_years import CODES, DAY_MS, LinkYear
from lab.year_trials import follow, is_full, judged, table
from streams.detect.link.facts import merged
from streams.detect.rule.definition import Rule
from streams.measure.meter import Meter
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.settings import SLOT_MS, MeasureSettings
from streams.model.topics import LOOKUPS

DAYS = 12


def metered(asked, known, code):
    """Return the slots that `measure` makes of lookups, by start."""
    told = []
    for number, (asked_ms, known_ms, outcome) in enumerate(zip(asked, known, code, strict=True)):
        common = {
            "lookup_id": f"l{number}",
            "dossier_id": f"d{number}",
            "link": "npd",
            "agency": "a",
            "service": "s",
            "attempt": 1,
            "observer": "portal",
        }
        told.append((asked_ms, LookupRequested(event_id=f"q{number}", occurred_at_ms=asked_ms, **common)))
        if CODES[outcome] != "no_response":
            done = LookupCompleted(
                event_id=f"c{number}", occurred_at_ms=known_ms, outcome=CODES[outcome], **common
            )
            told.append((known_ms, done))
    end_ms = max(known) + 120_000
    told.append((end_ms, Heartbeat(end_ms, "portal", ["npd"], interval_ms=1000)))
    meter = Meter(LOOKUPS, 0, MeasureSettings())
    meter.feed(
        [
            (n, at_ms, getattr(event, "dossier_id", "").encode() or None, encode(event))
            for n, (at_ms, event) in enumerate(sorted(told, key=lambda one: one[0]))
        ]
    )
    slots = {}
    for slot in (slot for m in meter.measurements for cells in m.links for slot in cells.slots):
        known = slots.get(slot.start_ms)
        slots[slot.start_ms] = slot if known is None else merged(known, slot)
    return slots


def said(slot):
    """Return what a slot says of the portal's view."""
    return slot.requested, slot.outcomes, slot.asked, slot.latency


def test_its_facts_are_what_measure_says_of_the_same_lookups():
    """The slots of a made-up day are those that `measure` makes of its lookups told as events."""
    year, again = (LinkYear(10, "npd", 0.1, 2) for _ in range(2))
    assert [trouble.what for trouble in year.troubles] == ["down", "down"]
    first_ms, last_ms = year.start_ms, year.start_ms + DAY_MS
    slots = {
        slot.start_ms: slot
        for measurement in again.measurements()
        for cells in measurement.links
        for slot in cells.slots
    }
    (asked, known, code, _), _ = year.lookups(first_ms, last_ms, None)
    expected = metered(asked.tolist(), known.tolist(), code.tolist())
    inner = [at for at in range(first_ms, last_ms - 60_000, SLOT_MS) if at in slots or at in expected]
    assert len(inner) > 5_000
    assert [said(slots[at]) for at in inner] == [said(expected[at]) for at in inner]


def test_full_outages_of_a_made_up_fortnight_are_found():
    """Each full outage on a link asked once in ten seconds is found with its edges, and nothing is false."""
    years = [LinkYear(seed, f"npd-{seed}", 0.1, DAYS) for seed in (3, 4)]
    found = [follow(year.measurements(), Rule()) for year in years]
    result = judged("1 in 10 s", years, found)
    full = [trouble for year in years for trouble in year.troubles if is_full(trouble, year)]
    assert result.full.all.incidents == len(full) >= 1
    assert result.full.all.recall == 1.0
    assert result.false == []
    assert [line for line in result.missed if line.full] == []
    assert max(map(abs, result.by_outages_pp)) < 0.01
    assert table([result]).row_count == 1
    for year in years:
        assert sum(w.attempts for one in found for w in one.windows.values() if w.link == year.link) > 0
        assert all(fate.hit <= fate.attempts and fate.seen <= fate.hit for fate in year.fates)
