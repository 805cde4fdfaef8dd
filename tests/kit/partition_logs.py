"""Logs of one source partition, written event by event or drawn by Hypothesis."""

import json
from itertools import pairwise

from hypothesis import strategies as st

from streams.measure.meter import Meter
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS

T0 = 1_686_529_800_000
SMALL = MeasureSettings(lookup_timeout_ms=10_000, generation_ms=40_000)
"""Settings under which a log of minutes passes several generations."""

PORTAL_OUTCOMES = ("ok", "not_found", "timeout", "provider_error", "denied", "cancelled")


def encoded(event):
    """Return the key and the value of an event's record."""
    dossier = event.get("dossier_id")
    return None if dossier is None else dossier.encode(), json.dumps(event).encode()


def requested(lookup_id, at_ms, **other):
    """Return a request put to link `npd`, `at_ms` after the log's beginning."""
    return {
        "event_id": f"{lookup_id}-asked",
        "type": "lookup.requested",
        "occurred_at_ms": T0 + at_ms,
        "lookup_id": lookup_id,
        "dossier_id": f"d-{lookup_id}",
        "link": "npd",
        "agency": "justice",
        "service": "birth",
        "attempt": 1,
        "observer": "portal",
    } | other


def completed(lookup_id, at_ms, outcome="ok", **other):
    """Return the completion of a lookup."""
    done = {"event_id": f"{lookup_id}-done", "type": "lookup.completed", "outcome": outcome}
    return requested(lookup_id, at_ms) | done | other


def submitted(dossier, kind, at_ms, **other):
    """Return a dossier's step at the portal."""
    return {
        "event_id": f"{dossier}-{kind}",
        "type": f"submission.{kind}",
        "occurred_at_ms": T0 + at_ms,
        "dossier_id": dossier,
        "portal": "city",
        "agency": "justice",
        "service": "birth",
        "channel": "online",
    } | other


def beat(at_ms, links=("npd",), observer="portal"):
    """Return a heartbeat."""
    return {
        "type": "observer.heartbeat",
        "occurred_at_ms": T0 + at_ms,
        "observer": observer,
        "links": list(links),
    }


def entries_of(events, first_offset=0):
    """Return the records of events, logged one after the other as they happened."""
    return [
        (first_offset + index, event["occurred_at_ms"] + 50, *encoded(event))
        for index, event in enumerate(events)
    ]


def lookups_meter(settings=SMALL, checkpoint=None):
    """Return a meter of a partition of lookups."""
    return Meter(LOOKUPS, 0, settings, checkpoint)


def fed(entries, settings=SMALL, topic=LOOKUPS):
    """Return a meter that has read some records at once."""
    meter = Meter(topic, 0, settings)
    meter.feed(entries)
    return meter


def submissions_fed(events):
    """Return a meter that has read submissions."""
    return fed(entries_of(events), topic=SUBMISSIONS)


def net(measurements):
    """Return what measurements say of each link and slot in sum, without what cancelled out."""
    sums = {}
    for measurement in measurements:
        for cells in measurement.links:
            for slot in (*cells.slots, *cells.late_slots):
                of = sums.setdefault((cells.link, slot.start_ms), {})
                _sum(of, "requested", {"": slot.requested})
                _sum(of, "synthetic", {"": slot.synthetic})
                for name in ("outcomes", "latency", "provider_outcomes", "provider_latency"):
                    _sum(of, name, getattr(slot, name))
                _sum(of, "failed_dossiers", slot.failed_dossiers)
                for name in ("services", "agencies"):
                    parts = getattr(slot, name)
                    _sum(of, f"failed_{name}", {at: part.failed for at, part in parts.items()})
                _sum(of, "answered", {asked.second: asked.ok for asked in slot.asked})
                _sum(of, "failed", {asked.second: asked.failed for asked in slot.asked})
    trimmed = {key: {name: value for name, value in of.items() if value} for key, of in sums.items()}
    return {key: of for key, of in trimmed.items() if of}


def _sum(sums, name, counts):
    for key, count in counts.items():
        sums[name, key] = sums.get((name, key), 0) + count


LOOKUP = st.fixed_dictionaries(
    {
        "at_ms": st.integers(0, 180_000),
        "latency_ms": st.none() | st.integers(-20, 25_000),
        "link": st.sampled_from(("npd", "bhyt", "vneid")),
        "outcome": st.sampled_from(PORTAL_OUTCOMES),
        "observer": st.sampled_from(("portal", "portal", "portal", "provider", "gateway")),
        "synthetic": st.booleans(),
        "lone": st.booleans(),
        "delays_ms": st.tuples(st.integers(0, 4_999), st.integers(0, 4_999)),
    }
)


def events_of(number, lookup):
    """Return one drawn lookup as `(delay, event)`: its request, its completion, or both."""
    same = {name: lookup[name] for name in ("link", "observer", "synthetic")}
    asked_delay, done_delay = lookup["delays_ms"]
    both = []
    if lookup["latency_ms"] is None or not lookup["lone"]:
        both.append((asked_delay, requested(f"q{number}", lookup["at_ms"], **same)))
    if lookup["latency_ms"] is not None:
        known_ms = lookup["at_ms"] + lookup["latency_ms"]
        both.append((done_delay, completed(f"q{number}", known_ms, lookup["outcome"], **same)))
    return both


def beats(until_ms=260_000, every_ms=2_000):
    """Return heartbeats that carry the watermark past every deadline of a drawn log."""
    return [(0, beat(at_ms)) for at_ms in range(0, until_ms, every_ms)]


@st.composite
def logs(draw, most_delay_ms=60_000, most_lookups=25):
    """Draw a log with everything in it: disorder, late records, duplicates, gaps, and what is no event."""
    delayed = []
    for number, lookup in enumerate(draw(st.lists(LOOKUP, max_size=most_lookups))):
        late_ms = draw(st.sampled_from((0, 0, 0, most_delay_ms)))
        delayed += [(delay + late_ms, event) for delay, event in events_of(number, lookup)]
    copied = draw(st.lists(st.integers(0, max(len(delayed) - 1, 0)), max_size=5)) if delayed else []
    delayed += [(delayed[index][0] + 3_000, delayed[index][1]) for index in copied]
    delayed += beats(every_ms=draw(st.sampled_from((2_000, 7_000))))
    arrivals = [(event["occurred_at_ms"] + delay, *encoded(event)) for delay, event in delayed]
    broken = st.tuples(st.integers(0, 200_000), st.sampled_from((b"", b"{", b"[]", b'{"type":"x"}', b"\xff")))
    arrivals += [(T0 + at_ms, b"k", value) for at_ms, value in draw(st.lists(broken, max_size=3))]
    arrivals.sort(key=lambda arrival: (arrival[0], arrival[1] or b"", arrival[2]))
    gaps = draw(st.sampled_from((1, 1, 3)))
    return [(7 + index * gaps, *arrival) for index, arrival in enumerate(arrivals)]


def chunks(entries, cuts):
    """Return the log in pieces that end at some of its indices."""
    bounds = sorted({0, len(entries), *(cut % (len(entries) + 1) for cut in cuts)})
    return [entries[start:end] for start, end in pairwise(bounds)]
