"""Rules as events: which one holds when, and that a change never rewrites what was judged before."""

from bisect import bisect_right
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from small_logs import START_MS, Fault, Result, Told, by_watermark, draw_log, measure, take

from streams.detect.detector import Detector
from streams.detect.link.snapshot import load, save
from streams.detect.rule.definition import Rule
from streams.detect.rule.normal import BLOCK_MS
from streams.detect.rule.rules import (
    GRID_MS,
    Rules,
    decode,
    grid_after_ms,
    matches,
    next_revision,
)
from streams.model.canonical import encode
from streams.model.events import Heartbeat, LookupCompleted
from streams.model.record import Record
from streams.model.settings import DetectSettings
from streams.model.topics import RULES
from streams.replay.analyze import analyze

LEAD_MS = DetectSettings().rule_lead_ms
CHANGE_MS = grid_after_ms(START_MS + 500_000)
DEAF = Rule(version="deaf", min_duration_ms=3_600_000, min_degraded_ms=3_600_000)
"""A rule that finds nothing within an hour."""
CHANGES = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


def said(rule_id, number, values, links, from_ms, *, withdrawn=False):
    """Return a revision of a rule."""
    before = [] if number == 1 else [said(rule_id, number - 1, values, links, from_ms)]
    return next_revision(
        before,
        rule_id,
        values,
        links,
        effective_from_ms=from_ms,
        author="office",
        reason="why",
        recorded_at_ms=from_ms - 3_600_000,
        withdrawn=withdrawn,
    )


def stricter(rule_id="deaf", from_ms=CHANGE_MS, links=("npd",), values=DEAF):
    """Return a first revision that changes what is found."""
    return said(rule_id, 1, values, list(links), from_ms)


revisions = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.sampled_from(["*", "n*", "np*", "*d", "npd", "tax"]), min_size=1, max_size=3),
        st.integers(0, 12).map(lambda blocks: blocks * GRID_MS),
        st.integers(-20, 12).map(lambda blocks: blocks * GRID_MS + 1),
        st.booleans(),
    ),
    max_size=8,
)


def numbered(drawn):
    """Return drawn revisions with their numbers, each with the time at which the broker took it."""
    counts, made = {}, []
    for rule_id, links, from_ms, logged_ms, withdrawn in drawn:
        counts[rule_id] = counts.get(rule_id, 0) + 1
        made.append((said(rule_id, counts[rule_id], Rule(), links, from_ms, withdrawn=withdrawn), logged_ms))
    return made


def holding(made, link, at_ms):
    """Return the version that holds for a link, from the definitions alone."""
    last = {}
    for revision, logged_ms in made:
        known_ms = -(-(logged_ms + LEAD_MS) // GRID_MS) * GRID_MS
        if max(revision.effective_from_ms, known_ms) <= at_ms:
            last[revision.rule_id] = revision, max(revision.effective_from_ms, known_ms)
    best, version = None, Rule().version
    for rule_id, (revision, since_ms) in last.items():
        for pattern in revision.links:
            if matches(pattern, link) and not revision.withdrawn:
                rank = pattern == link, len(pattern.replace("*", "")), since_ms, rule_id
                if best is None or rank > best:
                    best, version = rank, revision.values.version
    return version


@given(revisions, st.permutations(range(8)), st.lists(st.integers(-1, 13 * GRID_MS), min_size=1))
def test_the_rule_that_holds_is_the_closest_of_those_whose_time_has_come(drawn, order, times):
    """In whatever order revisions are taken, each link has at each time the rule that the definitions say."""
    made = numbered(drawn)
    rules = Rules(Rule(), LEAD_MS)
    followed = rules.of("npd")
    for at in (at for at in order if at < len(made)):
        assert rules.take(*made[at]) is not None
    for link in ("npd", "tax", "other"):
        for at_ms in times:
            assert rules.of(link).at(at_ms).version == holding(made, link, at_ms)
    assert followed is rules.of("npd")


@given(st.text("ab*[]?.> ", max_size=6), st.text("ab[]?.> ", max_size=6))
def test_only_the_star_is_special_in_a_pattern(pattern, link):
    """A pattern names a link where its parts stand in it in order, the first and the last at its ends."""
    first, *rest = pattern.split("*")
    if not rest:
        assert matches(pattern, link) == (pattern == link)
        return
    at = len(first) if link.startswith(first) else len(link) + 1
    for part in rest[:-1]:
        found = link.find(part, at)
        at = len(link) + 1 if found < 0 else found + len(part)
    assert matches(pattern, link) == (at + len(rest[-1]) <= len(link) and link.endswith(rest[-1]))


def test_a_rule_changes_with_a_block():
    """Within a block of what is normal there is one rule."""
    assert GRID_MS == BLOCK_MS


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"effective_from_ms": CHANGE_MS + 5_000}, "effective_from_ms"),
        ({"rule_id": "with space"}, "rule_id"),
        ({"links": []}, "links"),
        ({"reason": ""}, "reason"),
        ({"values": {"version": "deaf@2"}}, "values.version"),
        ({"values": {"version": "deaf@1", "slow_facter": 2.0}}, "slow_facter"),
        ({"values": {"version": "deaf@1", "half_share": 0.99}}, "half_share"),
    ],
)
def test_a_revision_that_says_something_wrong_is_refused(wrong, named):
    """Whatever is wrong with a revision, the error names the field."""
    fields = msgspec.to_builtins(stricter()) | wrong
    with pytest.raises(msgspec.ValidationError, match=named):
        decode(encode(fields))


def test_one_number_says_one_thing():
    """The same revision again is known; another one of its number is refused, and changes nothing."""
    rules = Rules(Rule(), LEAD_MS)
    assert rules.take(stricter(), 0) == CHANGE_MS
    assert rules.take(stricter(), 10) is None
    with pytest.raises(ValueError, match="deaf@1 was published before"):
        rules.take(replace(stricter(), reason="another"), 0)
    assert rules.of("npd").at(CHANGE_MS).version == "deaf@1"


def test_each_revision_has_a_key_of_its_own():
    """Compaction keeps the last record of a key, so no two revisions may share one."""
    made = [
        stricter(),
        replace(stricter(), reason="another"),
        stricter("other"),
        said("deaf", 2, DEAF, ["npd"], 0),
    ]
    assert len({one.key for one in made}) == len(made)
    assert stricter().key == stricter().key


def followed(order, partitions, revisions=(), *, learned_at=0, cut=None):
    """Return what comes of measurements under rules learned on the way, saved and loaded at a cut."""
    rules = Rules(Rule(), LEAD_MS)
    detector, result = Detector(rules, DetectSettings(), partitions), Result()
    for position, measurement in enumerate(order):
        if position == learned_at:
            for revision in revisions:
                rules.take(revision, 0)
        if position == cut:
            saved = save(detector, position)
            detector = Detector(rules, DetectSettings(), partitions)
            assert load(detector, saved) == position
        take(result, detector.apply(measurement, position).output)
    result.detector = detector
    return result


def said_by(result, until_ms):
    """Return the outage revisions decided by a time."""
    return [outage for outage in result.outages if outage.detected_at_ms <= until_ms]


@CHANGES
@given(st.integers(0, 10**6), st.data())
def test_a_change_never_rewrites_the_past(seed, data):
    """All decided before a rule's time stays, in windows and outages, also where late facts come after it."""
    rng = Random(seed)
    log = draw_log(seed, seconds=1_300, faults=[Fault(200, 120), Fault(1_000, 200)], rate=2.0)
    log = [Told(t.told_ms + (900_000 if rng.random() < 0.02 else 0), t.partition, t.event) for t in log]
    order = by_watermark(measure(log))
    plain, changed = (followed(order, [0, 1], some) for some in ((), [stricter()]))
    assert said_by(changed, CHANGE_MS) == said_by(plain, CHANGE_MS)
    before = [w for w in plain.windows if w.end_ms <= CHANGE_MS]
    assert [w for w in changed.windows if w.end_ms <= CHANGE_MS] == before
    found = [(o.rule_version, o.start_ms < CHANGE_MS) for o in changed.final()]
    assert found == [("cusum-1", True)]
    assert len(plain.final()) == 2
    learned_at = bisect_right(
        [m.watermark_ms for m in order], CHANGE_MS - data.draw(st.integers(30_000, 400_000))
    )
    cut = data.draw(st.integers(1, len(order) - 1))
    again = followed(order, [0, 1], [stricter()], learned_at=learned_at, cut=cut)
    assert [encode(one) for one in again.outages] == [encode(one) for one in changed.outages]
    assert [encode(one) for one in again.windows] == [encode(one) for one in changed.windows]


def test_late_facts_are_judged_by_the_rule_that_held_then():
    """An outage whose failures all come after the rule changed is found as if they had been in time."""
    log = draw_log(3, seconds=1_300, faults=[Fault(100, 120)], rate=2.0)
    failed = {
        t.event.lookup_id
        for t in log
        if isinstance(t.event, LookupCompleted) and t.event.outcome == "unreachable"
    }
    late = [
        Told(CHANGE_MS + 60_000, t.partition, t.event)
        if not isinstance(t.event, Heartbeat) and t.event.lookup_id in failed
        else t
        for t in log
    ]
    result = followed(by_watermark(measure(late)), [0, 1], [stricter()])
    outage = result.final()[0]
    assert (outage.rule_version, outage.reason) == ("cusum-1", "late")
    assert abs(outage.start_ms - START_MS - 100_000) < 5_000


def test_an_outage_names_the_rule_and_revision_that_judged_it():
    """Trouble found under a revision of a rule carries it; on links it does not name, the built-in one."""
    rule = said("quick", 2, Rule(), ["n*"], CHANGE_MS)
    order = by_watermark(measure(draw_log(1, seconds=1_300, faults=[Fault(200, 120), Fault(1_000, 120)])))
    found = followed(order, [0, 1], [rule]).final()
    assert [outage.rule_version for outage in found] == ["cusum-1", "quick@2"]
    elsewhere = followed(order, [0, 1], [replace(rule, links=["x*"])]).final()
    assert [outage.rule_version for outage in elsewhere] == ["cusum-1", "cusum-1"]


def test_a_log_that_holds_rules_is_judged_by_them_wherever_they_stand():
    """`analyze` follows the rules in a log wherever they stand; a rule given by hand is the only one."""
    log = draw_log(1, seconds=1_300, faults=[Fault(200, 120), Fault(1_000, 120)])
    records, offsets = [], {}
    for told in sorted(log, key=lambda told: told.told_ms):
        offset = offsets[told.partition] = offsets.get(told.partition, -1) + 1
        key = None if isinstance(told.event, Heartbeat) else told.event.dossier_id.encode()
        records.append(Record("npd.lookups", told.partition, offset, told.told_ms, key, encode(told.event)))
    revision = stricter()
    rules = [
        Record(RULES, 0, 0, START_MS, revision.key, encode(revision)),
        Record(RULES, 0, 1, START_MS, revision.key, encode(revision)),
        Record(RULES, 0, 2, START_MS, b"", b"{}"),
    ]
    first, last, alone = analyze([*rules, *records]), analyze([*records, *rules]), analyze(records)
    assert first.outages == last.outages
    assert list(first.windows) == list(last.windows)
    assert len(alone.final()) == 2
    assert [outage.rule_version for outage in first.final()] == ["cusum-1"]
    counted = first.records
    assert (counted.applied - alone.records.applied, counted.dead_letter) == (1, 1)
    assert counted.duplicate - alone.records.duplicate == 1
    assert analyze([*rules, *records], Rule()).outages == alone.outages
