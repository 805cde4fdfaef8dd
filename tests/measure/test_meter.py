"""What a partition's meter makes of single events: pairs, corrections, refusals, submissions, heartbeats."""

import json
from collections import Counter

import pytest
from partition_logs import (
    SMALL,
    T0,
    beat,
    beats,
    completed,
    encoded,
    entries_of,
    fed,
    lookups_meter,
    net,
    requested,
    submissions_fed,
    submitted,
)

from streams.measure.decode import REASONS
from streams.measure.meter import Meter
from streams.measure.owed import ANSWERS_A_FAILURE
from streams.model.measurement import Part
from streams.model.settings import MeasureSettings
from streams.model.sketch import bucket_of
from streams.model.topics import SUBMISSIONS

CLOCK = [event for _, event in beats(90_000, 1_000)]
"""Heartbeats that carry the watermark to 84 seconds, past every deadline below."""


def told(*events):
    """Return the net sums of lookups logged in this order, before the clock runs on."""
    later = max(event["occurred_at_ms"] for event in events) - T0
    rest = [event for event in CLOCK if event["occurred_at_ms"] - T0 > later]
    return net(fed(entries_of([*events, *rest])).measurements)


def slot(at_ms):
    """Return the start of the slot of an instant after the log's beginning."""
    return (T0 + at_ms) // SMALL.slot_ms * SMALL.slot_ms


def second(at_ms):
    """Return the second of an instant after the log's beginning."""
    return (T0 + at_ms) // 1_000


def outcomes(sums):
    """Return only how often which outcome became known in which slot."""
    counts = {
        at: {key: n for (name, key), n in of.items() if name == "outcomes"} for (_, at), of in sums.items()
    }
    return {at: of for at, of in counts.items() if of}


def test_pair_counts_where_it_became_known():
    """An answer counts in the completion's slot, with its latency and the second in which it was asked."""
    sums = told(requested("q", 4_900), completed("q", 5_150))
    assert sums["npd", slot(4_900)] == {("requested", ""): 1}
    assert sums["npd", slot(5_150)].pop(("answered", second(4_900))) == 1
    assert outcomes(sums) == {slot(5_150): {"ok": 1}}
    assert sum(n for (name, _), n in sums["npd", slot(5_150)].items() if name == "latency") == 1


def test_swapped_pair_is_the_same_pair():
    """A completion logged before its request gives the same sums as the two in order."""
    asked, done = requested("q", 900), completed("q", 1_150)
    assert told(done, asked) == told(asked, done)


def test_silence_counts_at_the_deadline():
    """A request without completion counts as no_response in the slot in which its time was over."""
    sums = told(requested("q", 1_000))
    assert outcomes(sums) == {slot(11_000): {"no_response": 1}}
    assert sums["npd", slot(11_000)]["failed", second(1_000)] == 1
    assert sums["npd", slot(11_000)]["failed_services", "birth"] == 1


@pytest.mark.parametrize("outcome", ["ok", "timeout"])
def test_late_completion_corrects_no_response(outcome):
    """A completion after the deadline takes the no_response back and counts where it became known."""
    clock = [beat(at_ms) for at_ms in range(0, 25_000, 1_000)]
    log = [requested("q", 1_000), *clock, completed("q", 21_000, outcome), *CLOCK[25:]]
    measurements = fed(entries_of(log)).measurements
    first = next(i for i, m in enumerate(measurements) if outcomes(net([m])))
    assert outcomes(net(measurements[: first + 1])) == {slot(11_000): {"no_response": 1}}
    assert outcomes(net(measurements)) == {slot(21_000): {outcome: 1}}


def test_completion_of_a_late_request_is_counted_again_with_it():
    """A lone completion counts without latency; its request, come late, gives it latency and edge."""
    clock = [beat(at_ms) for at_ms in range(3_000, 20_000, 1_000)]
    lone = [completed("q", 2_500), *clock]
    assert outcomes(told(*lone)) == {slot(2_500): {"ok": 1}}
    sums = told(*lone, requested("q", 1_500))
    assert outcomes(sums) == {slot(2_500): {"ok": 1}}
    assert sums["npd", slot(2_500)]["answered", second(1_500)] == 1
    assert ("answered", second(2_500)) not in sums["npd", slot(2_500)]


def test_used_again_lookup_id_pairs_newest_first():
    """Of two open requests under one id the newer pairs, and the older one expires on its own."""
    again = requested("q", 3_000, event_id="again")
    sums = told(requested("q", 1_000), again, completed("q", 3_200))
    assert outcomes(sums) == {slot(3_200): {"ok": 1}, slot(11_000): {"no_response": 1}}
    assert sums["npd", slot(3_200)]["answered", second(3_000)] == 1
    assert sums["npd", slot(11_000)]["failed", second(1_000)] == 1


def test_observers_pair_for_themselves():
    """The provider's view of a lookup pairs with its own request, and decides nothing for the portal."""
    sums = told(
        requested("q", 1_000),
        requested("q", 1_050, event_id="p1", observer="provider"),
        completed("q", 1_150, event_id="p2", observer="provider"),
        completed("q", 1_300, event_id="g2", observer="gateway", outcome="timeout"),
    )
    assert outcomes(sums) == {slot(11_000): {"no_response": 1}}
    assert sums["npd", slot(1_150)]["provider_outcomes", "ok"] == 1


def test_citizens_answers_are_no_failures():
    """Not found and denied are answers over the link; a failed probe names no service."""
    sums = told(
        *(requested(name, 1_000) for name in "abc"),
        completed("a", 1_100, "not_found"),
        completed("b", 1_100, "denied"),
        completed("c", 1_100, "reset", synthetic=True),
    )
    of = sums["npd", slot(1_100)]
    assert of["answered", second(1_000)] == 2
    assert of["failed", second(1_000)] == 1
    assert of["synthetic", ""] == 1
    assert not [key for name, key in of if name in ("failed_services", "failed_dossiers")]


def test_late_record_is_applied_and_counted_late():
    """A record behind the watermark is counted as late, and its facts are in the measurement all the same."""
    meter = fed(entries_of([*CLOCK[:30], requested("q", 1_000), completed("q", 1_100), *CLOCK[30:]]))
    assert meter.totals().late == 2
    sums = [cells for m in meter.measurements for cells in m.links]
    assert [len(cells.late_slots) for cells in sums] == [1]
    assert sums[0].late_slots[0].late == 2
    assert sums[0].late_slots[0].outcomes == {"ok": 1}


def test_heartbeats_vouch_for_their_links():
    """Heartbeats alone move the watermark, and say who watched which links throughout."""
    meter = fed(entries_of([beat(at_ms, ("b", "a")) for at_ms in range(0, 30_000, 1_000)]))
    assert meter.watermark_ms == T0 + 24_000
    alive = [span for m in meter.measurements for span in m.alive]
    assert {span.links for span in alive} == {("a", "b")}
    assert alive[0].start_ms == T0
    assert all(span.end_ms > span.start_ms for span in alive)


def _spoilt(**changes):
    return encoded(requested("q", 0) | changes)


def _without(field):
    event = requested("q", 0)
    del event[field]
    return b"d-q", json.dumps(event).encode()


REFUSED = {
    "empty": (b"d-q", b""),
    "too_large": _spoilt(note="x" * 300_000),
    "too_large_and_broken": (b"d-q", b"x" * 300_000),
    "not_json": (b"d-q", b"<xml/>"),
    "not_utf8": (b"d-q", _spoilt()[1].replace(b"birth", b"\xff\xfe")),
    "wrong_shape": _without("link"),
    "wrong_shape_type": _spoilt(occurred_at_ms="now"),
    "wrong_shape_kind": _spoilt(type="lookup.guessed"),
    "wrong_shape_outcome": encoded(completed("q", 0, "great")),
    "wrong_shape_empty_name": _spoilt(link=""),
    "absurd_time": _spoilt(occurred_at_ms=12),
    "absurd_time_ahead": _spoilt(occurred_at_ms=T0 + 400 * 86_400_000),
    "clock_skew": _spoilt(occurred_at_ms=T0 + 120_000),
    "key_mismatch": (b"d-other", _spoilt()[1]),
    "not_json_but_depth": (
        b"d-q",
        _spoilt()[1].replace(b"{", b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b",", 1),
    ),
    "control_character_escaped": _spoilt(service="birth\x1b[31m"),
    "control_character_nul": _spoilt(link="np\0d"),
    "control_character_of_latin_1": (b"d-q", _spoilt()[1].replace(b"birth", "\x9b31m".encode())),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_record_is_refused_with_its_reason(case):
    """What cannot be used is dead-lettered with reason, offset and bytes, and changes nothing else."""
    key, value = REFUSED[case]
    log = entries_of(CLOCK)
    spoilt = (100, T0 + 50, key, value)
    meter = lookups_meter()
    meter.feed([*log[:10], spoilt, *log[10:]])
    (letter,) = meter.dead_letters
    assert case.startswith(letter.reason)
    assert (letter.offset, letter.key, letter.value) == (100, key, value)
    assert letter.detail
    assert letter.detail != value.decode("utf-8", "replace")
    assert net(meter.measurements) == {}
    assert meter.watermark_ms == fed(log).watermark_ms


def test_link_beyond_the_bound_is_refused():
    """New links are taken up to the bound; beyond it their records are refused, known links go on."""
    meter = lookups_meter(MeasureSettings(max_links=2, lookup_timeout_ms=10_000))
    names = ["a", "b", "c", "a"]
    meter.feed(entries_of([requested(f"q{n}", n, link=link) for n, link in enumerate(names)]))
    assert [(letter.reason, letter.offset) for letter in meter.dead_letters] == [("too_many_links", 2)]


def test_every_reason_is_shown():
    """Each reason of the closed set has an example above."""
    assert set(REASONS) == {letter for letter in REASONS if any(c.startswith(letter) for c in REFUSED)} | {
        "too_many_links"
    }


def test_submissions_are_summed_by_kind_service_and_agency():
    """Each step counts by its kind; receipts by service and agency; acceptance pairs by dossier."""
    steps = [
        submitted("d1", "received", 1_000),
        submitted("d2", "received", 1_200, service="death"),
        submitted("d1", "accepted", 3_000),
        submitted("d2", "deferred", 3_500, blocked_by="npd"),
        submitted("d3", "accepted", 3_600),
    ]
    slots = [s for m in submissions_fed([*steps, *CLOCK]).measurements for p in m.portals for s in p.slots]

    def total(name):
        counts = Counter()
        for one in slots:
            counts.update(getattr(one, name))
        return counts

    assert {one.start_ms for one in slots} == {slot(0)}
    assert total("types") == {"accepted": 2, "deferred": 1, "received": 2}
    assert total("services") == {"birth": 1, "death": 1}
    assert total("agencies") == {"justice": 2}
    assert total("blocked_by") == {"npd": 1}
    assert total("acceptance") == {bucket_of(2_000): 1}


def test_topics_and_settings_that_make_no_sense_are_refused():
    """A topic without events and a timeout that is no multiple of the slot are errors, not surprises."""
    with pytest.raises(KeyError):
        Meter("link.windows", 0, SMALL)
    with pytest.raises(ValueError, match="multiple"):
        Meter(SUBMISSIONS, 0, MeasureSettings(lookup_timeout_ms=7_000))


def parts_of(log, name):
    """Return what measurements of a log say of one service, in sum."""
    sums = Counter()
    for measurement in fed(entries_of(log)).measurements:
        for cells in measurement.links:
            for of in (*cells.slots, *cells.late_slots):
                part = of.services.get(name)
                if part is not None:
                    sums += Counter(failed=part.failed, ok=part.ok)
                    assert all(of.start_ms + ms >= T0 for ms in part.first_failed)
    return sums


def lookup(name, at_ms, outcome, service):
    """Return request and completion of a lookup of a service."""
    asked, done = requested(name, at_ms), completed(name, at_ms + 100, outcome)
    return [{**asked, "service": service}, {**done, "service": service}]


def test_answers_are_told_of_what_failed_before():
    """Of a service that never failed nothing is told; after a failure, enough answers to weigh it by."""
    log = []
    for number in range(30):
        log += lookup(f"a{number}", number * 1_000, "ok", "birth")
        log += lookup(f"b{number}", number * 1_000 + 10, "timeout" if number == 9 else "ok", "death")
    assert parts_of([*log, *CLOCK[40:]], "birth") == Counter()
    told_of = parts_of([*log, *CLOCK[40:]], "death")
    assert told_of["failed"] == 1
    assert ANSWERS_A_FAILURE <= told_of["ok"] < 20


def test_first_times_by_service_are_those_of_asking():
    """A slot says when the first failure and the first answer of a failing service were asked."""
    log = [*lookup("a", 7_100, "reset", "birth"), *lookup("b", 8_000, "ok", "birth")]
    measurements = fed(entries_of([*log, *CLOCK[20:]])).measurements
    slots = [of for m in measurements for cells in m.links for of in cells.slots]
    (told_slot,) = [of for of in slots if of.services]
    since_ms = T0 - told_slot.start_ms
    assert told_slot.services == {"birth": Part(1, 1, [since_ms + 7_100], since_ms + 8_000, [])}
    assert told_slot.agencies.keys() == {"justice"}
