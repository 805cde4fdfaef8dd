"""The rule: thresholds as derived, verdicts by table, one rule for every volume."""

from math import exp, log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.slot_trials import delays, false_outages, normal_of
from streams.detect.rule.cusum import (
    IDLE,
    QUIET,
    TRANSITIONS,
    Counts,
    Normal,
    RuleState,
    evidence,
    step,
    threshold,
)
from streams.detect.rule.definition import Rule
from streams.replay.rulefile import RuleFileError, read_rule
from tools.rule_diagram import MARKS, mermaid, with_diagram

RULE = Rule()
NORMAL = Normal(0.03, 120_960.0, 600)
SLOT_MS = 5_000
DOCS = Path(__file__).parents[2] / "docs"


def judge(slots, rule=RULE, normal=NORMAL, state=QUIET):
    """Run the rule over slots of counts; return the verdicts and the state after."""
    verdicts = []
    for number, counts in enumerate(slots):
        at_ms = number * SLOT_MS
        state, verdict = step(state, at_ms, at_ms + SLOT_MS, Counts(*counts), rule, normal)
        verdicts += [verdict] if verdict else []
    return verdicts, state


def test_a_full_outage_is_down_from_its_first_bad_slot_on():
    """Nothing but failures lead to DOWN, backdated to the slot in which they began."""
    verdicts, _ = judge([(5, 0, 0)] * 10 + [(0, 5, 0)] * 4)
    assert [(v.test, v.condition, v.since_ms) for v in verdicts] == [("total", "DOWN", 10 * SLOT_MS)]


@pytest.mark.parametrize(("ok", "failed", "condition"), [(2, 4, "DOWN"), (16, 4, "DEGRADED")])
def test_down_is_told_from_degraded_by_the_share_that_fails(ok, failed, condition):
    """Most attempts failing is down; a fifth of them, beyond normal, is degraded."""
    verdicts, _ = judge([(20, 0, 0)] * 10 + [(ok, failed, 0)] * 40)
    assert verdicts
    assert {v.condition for v in verdicts} == {condition}


def test_slow_answers_are_degraded_though_none_fails():
    """A third and more of the answers beyond the link's slow mark is a degraded link."""
    verdicts, _ = judge([(10, 0, 0)] * 10 + [(10, 0, 6)] * 20)
    assert [(v.test, v.condition) for v in verdicts] == [("slow", "DEGRADED")]


def test_a_link_recovers_where_answers_come_again():
    """After an outage the end lies in the first slot of answers, decided within ten seconds or two slots."""
    verdicts, state = judge([(5, 0, 0)] * 5 + [(0, 5, 0)] * 12 + [(5, 0, 0)] * 3)
    assert [(v.condition, v.since_ms) for v in verdicts] == [("DOWN", 5 * SLOT_MS), ("UP", 17 * SLOT_MS)]
    assert state == QUIET


def test_what_carries_no_evidence_changes_nothing():
    """Answers alone leave a quiet link quiet, so nothing is remembered of them."""
    assert judge([(1000, 0, 0)] * 50) == ([], QUIET)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.just(0)), max_size=60))
def test_conditions_follow_the_table(slots):
    """Every verdict is a transition of the table, and no test's sum is negative or above twice its mark."""
    state = QUIET
    for number, counts in enumerate(slots):
        before = state.condition
        state, verdict = step(state, number * SLOT_MS, (number + 1) * SLOT_MS, Counts(*counts), RULE, NORMAL)
        if verdict:
            assert TRANSITIONS[before][verdict.test] == verdict.condition == state.condition
        assert all(0 <= test.total <= 2 * threshold(RULE, NORMAL) for test in state.tests)
        assert len(state.tests) == len(TRANSITIONS[state.condition])


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 100))
def test_evidence_weighs_by_count(ok, failed, times):
    """Evidence adds up, so that slot length and volume do not matter, only what was seen."""
    whole = evidence(ok * times, failed * times, 0.5, 0.03)
    assert whole == pytest.approx(times * evidence(ok, failed, 0.5, 0.03))


def test_the_threshold_bounds_false_alarms_by_walds_inequality():
    """At the threshold, e^-h times the slots in which trouble may begin is what is allowed a week."""
    h = threshold(RULE, NORMAL)
    assert exp(-h) * NORMAL.slots_per_week == pytest.approx(RULE.false_outages_per_week)
    assert h == pytest.approx(log(120_960 / 0.02))


@pytest.mark.parametrize("rate", [1 / 40, 0.3])
def test_noise_alone_is_no_outage(rate):
    """Link-weeks of 3 % failures by chance stay below 0.02 outages a week: none in thirteen weeks."""
    assert false_outages(RULE, rate, weeks=13, background=0.03, seed=5) == 0


def test_a_lax_threshold_does_find_noise():
    """The trial can fail: with 2000 false outages a week allowed, noise is found to be outages."""
    lax = Rule(version="lax", false_outages_per_week=2000)
    assert false_outages(lax, 0.3, weeks=1, background=0.03, seed=5) > 0


@pytest.mark.parametrize("rate", [1.0, 30.0])
def test_delay_stays_under_fifteen_seconds(rate):
    """A full outage of a minute at one lookup a second and more is always found, 95 % within 15 s."""
    found = delays(RULE, rate, 150, 0.03, 1.0, 60_000, seed=3)
    assert None not in found
    assert sorted(found)[len(found) * 95 // 100] < 15_000


@pytest.mark.parametrize(("rate", "needed"), [(1 / 40, 4), (1 / 10, 5), (1.0, 5), (1000.0, 5)])
def test_a_link_is_found_down_after_four_or_five_failures(rate, needed):
    """As many failures in a row decide as the document says: fewer cannot be told from chance."""
    normal = normal_of(rate, RULE)
    for failures in range(1, 8):
        verdicts, _ = judge([(1, 0, 0), *[(0, 1, 0), (0, 0, 0)] * failures], normal=normal)
        assert bool(verdicts) == (failures >= needed)


def test_the_states_in_the_docs_are_those_of_the_code():
    """The diagram in the documentation is drawn from the table of transitions."""
    document = (DOCS / "detection.md").read_text(encoding="utf-8")
    assert with_diagram(document) == document
    assert all(f"{condition} -->" in mermaid() for condition in TRANSITIONS)
    with pytest.raises(ValueError, match="no lines"):
        with_diagram("nothing")
    assert MARKS[0] in document


def test_every_field_of_the_rule_is_documented():
    """The table of the rule file names each field with its built-in value."""
    document = (DOCS / "detection.md").read_text(encoding="utf-8")
    for name in Rule.__struct_fields__:
        assert f"| `{name}` | {getattr(RULE, name)}" in document, name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "version: x\nhalf_share: 0.05\n",
            "rule.yaml:2: `partial_share` 0.12 must be less than `half_share`",
        ),
        ("version: x\n\nhalf_shre: 0.4\n", "rule.yaml:3: Object contains unknown field `half_shre`"),
        ("version: x\ntotal_share: 1.4\n", "rule.yaml:2: Expected `float` < 1.0 - at `$.total_share`"),
        ("min_duration_ms: soon\n", "rule.yaml:1: Expected `int`, got `str`"),
        ("half_share: 0.4\n", "needs its own `version`"),
        ("version: [1\n", "rule.yaml"),
    ],
)
def test_a_wrong_rule_is_refused_by_file_line_and_field(tmp_path, text, says):
    """Whoever edits a rule is told where it is wrong."""
    path = tmp_path / "rule.yaml"
    path.write_text(text)
    with pytest.raises(RuleFileError) as refused:
        read_rule(path)
    assert says in str(refused.value)


def test_a_state_of_tests_at_rest_is_the_quiet_one():
    """Equal states decide alike ever after, and rest has one form."""
    assert RuleState("UP", (IDLE, IDLE, IDLE, IDLE), None) == QUIET
