"""What a table may hold after crashes and rebalances is restored to the same results, or not at all."""

from functools import cache
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small_logs import Fault, Result, Told, by_watermark, draw_log, measure, take

from streams.detect.detector import Detector
from streams.detect.link.snapshot import load, save
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.model.canonical import encode
from streams.model.settings import DetectSettings

SAVED_AT = (0.15, 0.3, 0.45, 0.6, 0.75)
"""Shares of the measurements after which the state is saved."""


def revisions(result):
    """Return everything published, by what it is, as bytes."""
    windows = {(w.link, w.start_ms, w.revision): encode(w) for w in result.windows}
    return windows | {(o.outage_id, o.revision): encode(o) for o in result.outages}


def fresh(measurements):
    """Return a detector that has seen nothing."""
    return Detector(Rules(Rule()), DetectSettings(), sorted(measurements))


def busy_measurements():
    """Return the measurements of three links on three partitions, some late, in reading order."""
    rng = Random(4)
    log = []
    for seed, link in enumerate(("npd", "tax", "bhyt")):
        log += draw_log(seed, link=link, partitions=3, faults=[Fault(300, 120), Fault(600, 60, outcome=None)])
    log = [Told(t.told_ms + (200_000 if rng.random() < 0.02 else 0), t.partition, t.event) for t in log]
    measurements = measure(log)
    return measurements, by_watermark(measurements)


@cache
def followed():
    """Return the measurements, what comes of them, and the states saved on the way by position."""
    measurements, order = busy_measurements()
    detector, result, saved = fresh(measurements), Result(), {}
    due = {int(len(order) * share) for share in SAVED_AT}
    for position, measurement in enumerate(order):
        if position in due:
            saved[position] = save(detector, position)
        take(result, detector.apply(measurement, position).output)
    return measurements, order, revisions(result), saved


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(st.data())
def test_values_of_several_saves_side_by_side_lead_to_the_same_bytes(data):
    """Whichever save each value of the table is from, as when two workers write in turns, nothing is lost."""
    measurements, order, whole, every_save = followed()
    names = sorted({name for saved in every_save.values() for name in saved})
    newest = max(every_save)
    mixed = {}
    for name in names:
        value = every_save[data.draw(st.sampled_from(sorted(every_save)))].get(name)
        if value is not None:
            mixed[name] = value
    detector, result = fresh(measurements), Result()
    position = load(detector, mixed) or 0
    for at in range(position, len(order)):
        take(result, detector.apply(order[at], at).output)
    again = revisions(result)
    assert {name: whole[name] for name in again} == again
    late = {name for name in whole if name not in again}
    detector, before = fresh(measurements), Result()
    for at in range(newest):
        take(before, detector.apply(order[at], at).output)
    assert late <= revisions(before).keys(), "published after the newest save, and not again"


def test_cuts_that_are_older_than_the_links_are_not_gone_on_with():
    """Links of a later save beside cuts of an earlier one hold a gap: all is read again."""
    measurements, _, _, every_save = followed()
    first, last = every_save[min(every_save)], every_save[max(every_save)]
    stale = last | {name: value for name, value in first.items() if name.startswith("cuts:")}
    assert load(fresh(measurements), stale) is None
    assert load(fresh(measurements), last) == max(every_save)
