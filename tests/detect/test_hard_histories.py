"""Trouble on the heels of other trouble, silence, and what is known late: told apart, and placed."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import START_MS, Fault, Told, draw_log, run

from streams.detect.link.minute import Decided
from streams.detect.link.outages import kind_of
from streams.detect.link.placing import settled_edge_ms
from streams.detect.link.spells import TroubleSpell, spells_of
from streams.detect.link.totals import Totals
from streams.detect.rule.cusum import Normal, Verdict
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import LinkRules
from streams.model.events import Heartbeat
from streams.model.measurement import Asked, LinkSlot


def told_of(result):
    """Return kind, start and end (in seconds of the log) of the outages that stand, in order."""
    return [
        (o.kind, (o.start_ms - START_MS) / 1000, None if o.end_ms is None else (o.end_ms - START_MS) / 1000)
        for o in result.final()
    ]


def first_told_s(result, kind):
    """Return when an outage of a kind was first published, in seconds of the log."""
    return min((o.detected_at_ms - START_MS) / 1000 for o in result.outages if o.kind == kind)


def close(found, *expected):
    """Say whether outages are those expected, edges within six seconds."""
    if [kind for kind, *_ in found] != [kind for kind, *_ in expected]:
        return False
    pairs = zip(found, expected, strict=True)
    return all(abs(one[n] - other[n]) < 6 for one, other in pairs for n in (1, 2))


def asked_s(event):
    """Return when a lookup of `draw_log` was asked or answered, in seconds of the log."""
    return (event.occurred_at_ms - START_MS) / 1000


@pytest.mark.parametrize("rate", [1.0, 5.0])
def test_a_full_outage_amid_slowness_is_an_outage_of_its_own(rate):
    """A minute in which all fails is down, though answers were slow before and are slow after it; it is told
    while it lasts.
    """
    slow = [Fault(1300, 200, outcome="ok", slower=20), Fault(1560, 200, outcome="ok", slower=20)]
    log = draw_log(4, seconds=2400, rate=rate, faults=[*slow, Fault(1500, 60)], background=0.0)
    result = run(log)
    assert close(told_of(result), ("degraded", 1300, 1500), ("down", 1500, 1560), ("degraded", 1560, 1760)), (
        told_of(result)
    )
    assert first_told_s(result, "down") < 1525


def test_slowness_just_before_an_outage_does_not_make_it_degraded():
    """Answers are slow for almost a minute, then all fail for three: down, from the first failure on."""
    faults = [Fault(1300, 54, outcome="ok", slower=20), Fault(1354, 180)]
    for seed in range(4):
        found = told_of(run(draw_log(seed, seconds=2000, rate=2.0, faults=faults)))
        down = [outage for outage in found if outage[0] == "down"]
        assert close(down, ("down", 1354, 1534)), found


def test_failing_in_part_after_an_outage_is_not_counted_as_down():
    """Where a quarter of the attempts still fails for minutes, the outage ends and a degradation begins."""
    faults = [Fault(600, 200, outcome="timeout"), Fault(800, 300, share=0.25, outcome="timeout")]
    found = told_of(run(draw_log(67, seconds=1800, rate=3.0, faults=faults)))
    assert close(found, ("down", 600, 800), ("degraded", 800, 1100)), found


def test_a_full_outage_within_a_degradation_is_told_at_once():
    """Nothing but failures after failing in part: down within twenty seconds, not after a minute."""
    faults = [Fault(600, 300, share=0.25), Fault(900, 120)]
    result = run(draw_log(1, seconds=1800, rate=3.0, faults=faults))
    assert close(told_of(result), ("degraded", 600, 900), ("down", 900, 1020)), told_of(result)
    opened = [o for o in result.outages if o.start_ms > START_MS + 890_000]
    assert opened[0].detected_at_ms < START_MS + 920_000


def test_an_outage_ends_with_the_first_success_after_a_long_silence():
    """Nobody asks for a quarter of an hour after all failed: the end is the first answer, though a later
    attempt fails by chance.
    """
    log = draw_log(65, seconds=2000, rate=2.0, faults=[Fault(600, 50, outcome=None)], background=0.0)
    asked = {}
    for told in log:
        if not isinstance(told.event, Heartbeat):
            asked.setdefault(told.event.lookup_id, asked_s(told.event))
    quiet = {name for name, at in asked.items() if 650 <= at < 1500}
    back = sorted(at for name, at in asked.items() if at >= 1500)
    fails = next(name for name, at in asked.items() if at == back[6])
    kept = [t for t in log if getattr(t.event, "lookup_id", None) not in quiet]
    kept = [t for t in kept if not (hasattr(t.event, "outcome") and t.event.lookup_id == fails)]
    ((kind, _, end_s),) = told_of(run(kept))
    assert (kind, end_s) == ("down", back[0])


@pytest.mark.parametrize("rate", [1.0, 20.0])
def test_an_outage_that_swallows_its_requests_is_known_to_be_down(rate):
    """Requests given up after half a minute vouch for when they were asked: none of the time is unknown."""
    log = draw_log(3, seconds=1200, rate=rate, faults=[Fault(600, 60, outcome=None)], background=0.0)
    result = run(log)
    ((kind, start_s, end_s),) = told_of(result)
    minutes = [
        w for (_, at), w in result.last_windows().items() if START_MS + 500_000 <= at < START_MS + 800_000
    ]
    spent = {state: sum(w.state_ms[state] for w in minutes) for state in ("DOWN", "UNKNOWN")}
    assert kind == "down"
    assert spent == {"DOWN": round(1000 * (end_s - start_s)), "UNKNOWN": 0}


def test_a_correction_takes_back_what_a_failure_vouched_for():
    """Of a silence broken by one lookup the same is unknown, whether its answer came late or on time."""
    log = draw_log(5, seconds=1500, rate=1.0)
    asked = {}
    for told in log:
        if not isinstance(told.event, Heartbeat):
            asked.setdefault(told.event.lookup_id, asked_s(told.event))
    lone = next(name for name, at in asked.items() if at >= 645)
    gone = {name for name, at in asked.items() if 600 <= at < 760} - {lone}
    on_time = [told for told in log if getattr(told.event, "lookup_id", None) not in gone]
    late = [
        Told(told.told_ms + 100_000, told.partition, told.event)
        if getattr(told.event, "lookup_id", None) == lone and hasattr(told.event, "outcome")
        else told
        for told in on_time
    ]
    assert run(late).last_windows() == run(on_time).last_windows()


@pytest.mark.parametrize(
    ("attempts", "failures", "ended", "kind"),
    [(4, 4, True, "down"), (10, 5, True, "degraded"), (12, 7, True, "down"), (10, 5, False, "degraded")],
)
def test_the_edges_of_a_spell_do_not_count_towards_its_kind(attempts, failures, ended, kind):
    """The failures by which a spell's edges were chosen say nothing about how many of its attempts fail."""
    spell = TroubleSpell(0, 10_000, slow=False, end_ms=60_000 if ended else None)
    assert kind_of(spell, Totals(attempts=attempts, failures=failures)) == kind


@pytest.mark.parametrize(
    ("conditions", "spells"),
    [("DOWN DOWN DEGRADED", 1), ("DOWN DEGRADED", 2), ("DOWN DOWN", 1), ("DEGRADED DOWN DOWN DEGRADED", 2)],
)
def test_what_returns_otherwise_is_another_outage_unless_it_flaps(conditions, spells):
    """Trouble of another kind, half a minute after trouble, is its own; of a flapping link it is the same."""
    verdicts = []
    for number, condition in enumerate(conditions.split()):
        at_ms = 90_000 * number
        test = "total" if condition == "DOWN" else "partial"
        verdicts.append(Decided(at_ms + 10_000, Verdict(test, condition, at_ms), at_ms))
        verdicts.append(Decided(at_ms + 70_000, Verdict("recovery", "UP", at_ms + 60_000), at_ms + 60_000))
    assert len(spells_of(verdicts, LinkRules(Rule()))) == spells


def test_what_was_taken_for_a_return_does_not_change_what_had_ended():
    """A full outage that ended keeps kind and end where what followed looked down at first, and was not."""

    def verdict(at_s, decided_s, test, condition, *, whole=False):
        told = Verdict(test, condition, at_s * 1000, whole)
        return Decided(decided_s * 1000, told, at_s * 1000)

    ended = [verdict(0, 15, "total", "DOWN"), verdict(120, 140, "recovery", "UP")]
    back = [verdict(150, 190, "half", "DOWN"), verdict(150, 400, "better", "DEGRADED", whole=True)]
    rules = LinkRules(Rule())
    alone = spells_of(ended, rules)
    joined = spells_of([*ended, back[0]], rules)
    assert [(one.start_ms, one.end_ms, one.changes) for one in joined] == [(0, None, 2)]
    parted = spells_of([*ended, *back], rules)
    assert (parted[0].start_ms, parted[0].end_ms, parted[0].down) == (0, alone[0].end_ms, True)
    assert (parted[1].start_ms, parted[1].end_ms, parted[1].down) == (150_000, None, False)
    assert len(parted) == 2


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_flapping_is_few_outages(seed):
    """Ten minutes of half a minute bad and half a minute good are told as one outage with its changes."""
    faults = [Fault(600 + 60 * n, 30) for n in range(10)]
    found = run(draw_log(seed, seconds=1500, rate=2.0, faults=faults, background=0.0)).final()
    assert len(found) == 1
    assert found[0].changes >= 2
    assert found[0].end_ms - found[0].start_ms > Rule().settle_ms


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_how_long_evidence_holds_does_not_depend_on_when_volume_was_known(seed):
    """Of a silence the same is unknown in the end, though late answers before it hid for a while how often
    the link is asked.
    """
    rng = Random(seed)
    on_time = [
        told
        for told in draw_log(seed, seconds=2400, rate=3.0)
        if isinstance(told.event, Heartbeat) or not 640 <= asked_s(told.event) < 800
    ]
    late = [
        Told(told.told_ms + rng.randrange(5, 900) * 1000, told.partition, told.event)
        if hasattr(told.event, "outcome") and 120 <= asked_s(told.event) < 300 and rng.random() < 0.4
        else told
        for told in on_time
    ]
    assert run(late).last_windows() == run(on_time).last_windows()


def test_an_end_lies_before_the_decision_that_it_is_one():
    """What fails by chance after a recovery was decided does not draw the end to it: of that not all is known
    when the outage is closed.
    """
    seconds = [Asked(at, 2, 1, 1, [5]) for at in range(100)] + [Asked(at, 3, 0, 1) for at in range(100, 115)]
    seconds += [Asked(at, 2, 1, 1, [5]) for at in range(115, 150)]
    seconds += [Asked(at, 3, 0, 1) for at in range(150, 155)]
    slots = [
        LinkSlot(at * 1000, asked=[asked for asked in seconds if at <= asked.second < at + 5])
        for at in range(0, 155, 5)
    ]
    recovery = Decided(115_000, Verdict("recovery", "UP", 100_000), 100_001)
    normal = Normal(0.1, 120_960.0, None)
    found = settled_edge_ms(recovery, None, None, 155_000, lambda *_: slots, 40_000, Rule(), normal)
    assert found == 100_001
