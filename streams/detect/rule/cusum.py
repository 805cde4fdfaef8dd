"""The rule: sequential tests that distinguish a link's trouble from its normal noise, in O(1) per slot.

Theory. In a slot with ``ok`` answered and ``failed`` failed attempts, the log-likelihood ratio of a
failure share p1 against another p0 is ``failed * ln(p1/p0) + ok * ln((1-p1)/(1-p0))``. CUSUM (Page,
Biometrika 1954; optimal in Lorden's sense, 1971) sums it up, never below 0, and decides at a threshold h.
The slot after the last zero is the change point, so a start can be *backdated*. As evidence is weighted by
counts, one rule serves one attempt in 40 s and thousands a second.

The threshold follows from the allowed rate of false alarms: in normal conditions an excursion that begins at
a given slot reaches h with a probability below e^-h, so h = ln(N / alpha) keeps false alarms below alpha per
link and week. N is the number of slots per week with any outcome, so at most the number of attempts.

Only `TRANSITIONS` defines which test runs in which condition, and where it leads. While UP: *total* (most
attempts fail), *half* (at least half), *partial* (beyond normal) and *slow* (answers far slower than normal).
While in trouble: *recovery* (back to normal), *worse* or *better* (degraded to down, down to degraded), and
*normal* (the trouble has stayed at one level for so long that it has become the link's normal).

What is normal is learned from the link's past (``normal.py``, ``level.py``). Until there is enough of it, the
rule relies on what it has *seen* since the history began. Full outages are tested against the mean failure
share seen, partial failure against its upper bound, so a link that has always failed a little does not count
as in trouble. ``docs/detection.md`` derives every number.
"""

from collections.abc import Callable
from math import log
from typing import Final, Literal, NamedTuple

from streams.detect.rule.definition import Rule
from streams.detect.rule.shares import NOTHING, Seen, evidence, fits, is_down, partial_share, spell_share

Condition = Literal["UP", "DEGRADED", "DOWN"]
TestName = Literal["total", "half", "partial", "slow", "recovery", "worse", "better", "normal"]

TRANSITIONS: Final[dict[Condition, dict[TestName, Condition]]] = {
    "UP": {"total": "DOWN", "half": "DOWN", "partial": "DEGRADED", "slow": "DEGRADED"},
    "DEGRADED": {"recovery": "UP", "worse": "DOWN", "normal": "UP"},
    "DOWN": {"recovery": "UP", "better": "DEGRADED"},
}
"""The tests that run in each condition, in order of precedence, and the condition each leads to."""


class Normal(NamedTuple):
    """A link's own normal, learned from its past by ``normal.py``.

    ``slots_per_week`` is an upper bound on the slots with an outcome; an excursion may begin with each.
    ``slow_ms`` is the latency from which an answer counts as slow, None while too little is known, and
    ``slow_share`` the normal share of slow answers. ``known`` says whether the past is long enough to
    determine the failure share; until it is, the rule relies on what its state has seen. ``stays`` says
    that trouble has stayed at one level for ``normal_after_ms``.
    """

    failure_share: float
    slots_per_week: float
    slow_ms: int | None
    known: bool = True
    stays: bool = False
    slow_share: float = 0.03


class Counts(NamedTuple):
    """The counts of one slot: attempts answered, attempts failed, and answers that were slow."""

    ok: int
    failed: int
    slow: int


class Cusum(NamedTuple):
    """A running test: its sum, and its start and counts since the last zero."""

    total: float = 0.0
    since_ms: int = 0
    attempts: int = 0
    failures: int = 0


IDLE: Final = Cusum()


class Spell(NamedTuple):
    """Trouble, from the slot in which it began; ``slow`` if it was found by latency alone."""

    since_ms: int
    slow: bool
    attempts: int
    failures: int


LONG_SPELL_MS: Final = 3_600_000
"""Longer trouble needs more evidence of recovery, as chance has more slots to begin in."""


class RuleState(NamedTuple):
    """Everything the rule remembers of a link; equal states lead to equal decisions."""

    condition: Condition = "UP"
    tests: tuple[Cusum, ...] = (IDLE, IDLE, IDLE, IDLE)
    """One for each entry of ``TRANSITIONS[condition]``, in its order."""
    spell: Spell | None = None
    seen: Seen = NOTHING
    """What the link has shown; `NOTHING` once its normal is known from the past."""
    heard_ms: int = 0
    """Until when something was known of the link; 0 if the state remembers nothing."""


QUIET: Final = RuleState()
"""Nothing suspected."""


def after_silence(state: RuleState) -> RuleState:
    """Return what is left of a state after an overlong silence: only the condition."""
    tests = (IDLE,) * len(state.tests)
    return state._replace(tests=tests, heard_ms=0) if state.spell else QUIET._replace(seen=state.seen)


def recovering(state: RuleState) -> Cusum:
    """Return the running test of recovery, idle if the link is up or has no evidence of recovery."""
    if state.condition == "UP":
        return IDLE
    test = state.tests[list(TRANSITIONS[state.condition]).index("recovery")]
    return test if test.total > 0 else IDLE


class Verdict(NamedTuple):
    """A change of condition, decided at a slot's end: the test, and the start of the slot where it began.

    ``whole`` says that the open spell is of the new kind from its start; ``normal_share`` is the failure
    share taken as normal.
    """

    test: TestName
    condition: Condition
    since_ms: int
    whole: bool = False
    normal_share: float = 0.03


def threshold(rule: Rule, normal: Normal) -> float:
    """Return h, the evidence (in nats) at which trouble is declared."""
    return log(normal.slots_per_week / rule.false_outages_per_week)


def step(
    state: RuleState,
    slot_ms: int,
    end_ms: int,
    counts: Counts,
    rule: Rule,
    normal: Normal,
    holds: Callable[[Verdict], bool] = lambda _verdict: True,
) -> tuple[RuleState, Verdict | None]:
    """Apply the slot ``[slot_ms, end_ms)``; return the next state, and a verdict if one was reached.

    A verdict is reached only if ``holds`` confirms it from facts beyond the slots' counts.
    """
    state = weigh(state, slot_ms, counts, rule, normal)
    for name, test in zip(TRANSITIONS[state.condition], state.tests, strict=True):
        if name == "normal":
            test = test._replace(since_ms=slot_ms)  # noqa: PLW2901 - it gathers no evidence
        elif test.total <= 0:
            continue
        if _decides(name, test, state, end_ms, rule, normal):
            after, verdict = _enter(state, name, test, rule, normal)
            if holds(verdict):
                return after, verdict
    return state, None


def weigh(state: RuleState, slot_ms: int, counts: Counts, rule: Rule, normal: Normal) -> RuleState:
    """Return the state with a slot's evidence added to its tests, before any of them decides."""
    spell, seen = state.spell, state.seen
    if spell is not None:
        spell = spell._replace(
            attempts=spell.attempts + counts.ok + counts.failed, failures=spell.failures + counts.failed
        )
    elif normal.known:
        seen = NOTHING
    else:
        seen = Seen(seen.attempts + counts.ok + counts.failed, seen.failures + counts.failed)
    ceiling = 2 * threshold(rule, normal)
    if spell is None and normal.known:
        gains = _gains_while_well(counts, rule, normal)
    else:
        named = zip(TRANSITIONS[state.condition], state.tests, strict=True)
        gains = [_gain(name, test, counts, state, rule, normal) for name, test in named]
    tests = tuple(
        [
            test if gain <= 0.0 and test is IDLE else _grow(test, gain, slot_ms, counts, ceiling)
            for test, gain in zip(state.tests, gains, strict=True)
        ]
    )
    if state.condition == "UP" and tests == QUIET.tests and seen == NOTHING:
        return QUIET  # the same object: a link keeps the states of hundreds of minutes
    return RuleState(state.condition, tests, spell, seen)


def decisive_evidence(name: TestName, rule: Rule, normal: Normal, lasted_ms: int = 0) -> float:
    """Return the evidence, in nats, at which a test decides once it has also lasted long enough.

    ``lasted_ms`` is how long the trouble has lasted. A recovery by chance may begin with each of its
    slots, so by Wald's bound the evidence needed grows with the logarithm of their number.
    """
    if name == "recovery":
        return rule.recovery_evidence + log(max(1.0, lasted_ms / LONG_SPELL_MS))
    return rule.shift_evidence if name in {"worse", "better"} else threshold(rule, normal)


def normal_share(name: TestName, test: Cusum, state: RuleState, rule: Rule, normal: Normal) -> float:
    """Return the failure share that a test takes as normal.

    While it is not known from the past, it comes from the attempts before the test's evidence began: their
    mean share, or for a partial failure the upper bound. So what a link has always done is never trouble, and
    five failures in a row are trouble from the first minute on.
    """
    if normal.known:
        return normal.failure_share
    if state.condition != "UP":
        return state.seen.mean_share(rule)
    seen = state.seen.without(test.attempts, test.failures)
    return seen.most_share(rule) if name == "partial" else seen.mean_share(rule)


def _gains_while_well(counts: Counts, rule: Rule, normal: Normal) -> list[float]:
    """Return what a slot adds to each test while the link is well and its normal is known.

    That holds for nearly every slot, and then all tests use the same normal share.
    """
    ok, failed, slow = counts
    share0 = normal.failure_share
    return [
        evidence(ok, failed, rule.total_share, share0),
        evidence(ok, failed, rule.half_share, share0),
        evidence(ok, failed, partial_share(rule, share0), share0),
        evidence(ok - slow, slow, rule.slow_share, normal.slow_share),
    ]


def _grow(test: Cusum, gain: float, slot_ms: int, counts: Counts, ceiling: float) -> Cusum:
    """Add a slot's evidence, up to a ceiling that keeps old evidence from outweighing new."""
    total = test.total + gain
    if total <= 0.0:
        return IDLE
    since_ms = test.since_ms if test.total > 0 else slot_ms
    attempts = test.attempts + counts.ok + counts.failed
    return Cusum(min(total, ceiling), since_ms, attempts, test.failures + counts.failed)


def _gain(name: TestName, test: Cusum, counts: Counts, state: RuleState, rule: Rule, normal: Normal) -> float:
    """Return what a slot adds to one test."""
    ok, failed, slow = counts
    if name == "slow":
        return evidence(ok - slow, slow, rule.slow_share, normal.slow_share)
    if name == "worse":
        return evidence(ok, failed, rule.worse_share, rule.better_share)
    if name == "better":
        return evidence(ok, failed, rule.better_share, rule.worse_share)
    if name == "normal":
        return 0.0
    p0 = normal_share(name, test, state, rule, normal)
    if name == "total":
        return evidence(ok, failed, rule.total_share, p0)
    if name == "half":
        return evidence(ok, failed, rule.half_share, p0)
    if name == "partial":
        return evidence(ok, failed, partial_share(rule, p0), p0)
    spell = state.spell
    assert spell is not None
    # Attempts counted by the recovery test are left out, so that its answers do not dilute the failure share.
    share = spell_share(spell.attempts - test.attempts, spell.failures - test.failures, p0)
    gain = -evidence(ok, failed, share, p0)
    if spell.slow:
        gain = min(gain, 0.0) - evidence(ok - slow, slow, rule.slow_share, normal.slow_share)
    return gain


def _decides(name: TestName, test: Cusum, state: RuleState, end_ms: int, rule: Rule, normal: Normal) -> bool:
    """Return whether a test has both enough evidence and enough duration."""
    if name == "normal":
        return normal.stays
    lasted_ms, spell = end_ms - test.since_ms, state.spell
    enough = test.total >= decisive_evidence(name, rule, normal, end_ms - spell.since_ms if spell else 0)
    if name == "recovery":
        return enough and lasted_ms >= rule.min_recovery_ms
    if name == "worse" and spell is not None and enough and lasted_ms >= rule.min_duration_ms:
        return lasted_ms >= rule.settle_ms or _is_total(test, state, rule, normal)
    if name == "better":
        return enough and lasted_ms >= rule.settle_ms
    if name in {"total", "half"} and is_down(test.attempts, test.failures):
        return enough and lasted_ms >= rule.min_duration_ms
    return enough and name in {"partial", "slow"} and lasted_ms >= rule.min_degraded_ms


def _is_total(test: Cusum, state: RuleState, rule: Rule, normal: Normal) -> bool:
    """Return whether a full outage within a degradation is as certain as one in normal conditions must be.

    It is tested against the failure share before it, so it need not last for ``settle_ms``.
    """
    spell = state.spell
    assert spell is not None
    p0 = normal_share("worse", test, state, rule, normal)
    before = spell_share(spell.attempts - test.attempts, spell.failures - test.failures, p0)
    before = max(before, partial_share(rule, p0))
    answered = test.attempts - test.failures
    return evidence(answered, test.failures, rule.total_share, before) >= threshold(rule, normal)


def _enter(
    state: RuleState, name: TestName, test: Cusum, rule: Rule, normal: Normal
) -> tuple[RuleState, Verdict]:
    """Return the state after a verdict, and the verdict."""
    condition = TRANSITIONS[state.condition][name]
    since_ms, spell, seen = test.since_ms, state.spell, state.seen
    p0 = normal_share(name, test, state, rule, normal)
    if condition == "UP":
        after = QUIET if name == "normal" or seen == NOTHING else QUIET._replace(seen=seen)
        return after, Verdict(name, condition, since_ms, normal_share=p0)
    entered = Spell(since_ms, name == "slow", test.attempts, test.failures)
    whole = False
    if spell is None:
        seen = seen.without(test.attempts, test.failures) if seen != NOTHING else seen
    else:
        attempts, failures = spell.attempts - test.attempts, spell.failures - test.failures
        young = since_ms - spell.since_ms <= rule.settle_ms
        whole = not spell.slow and (young or fits(attempts, failures, down=condition == "DOWN"))
        if whole:  # the first impression was wrong
            entered = Spell(spell.since_ms, slow=False, attempts=spell.attempts, failures=spell.failures)
    idle = (IDLE,) * len(TRANSITIONS[condition])
    return RuleState(condition, idle, entered, seen), Verdict(name, condition, entered.since_ms, whole, p0)
