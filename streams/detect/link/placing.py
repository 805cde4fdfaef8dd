"""Places the edge of a verdict: when it is decided, and again once all outcomes before it are known."""

from collections.abc import Callable, Iterable
from typing import Final

from streams.detect.link.facts import merge_asked
from streams.detect.link.minute import MINUTE_MS, Decided
from streams.detect.rule.cusum import Normal, RuleState, Verdict, decisive_evidence
from streams.detect.rule.definition import Rule
from streams.detect.rule.edges import (
    clearest_run,
    likeliest_onset_ms,
    likeliest_recovery_ms,
    onset_ms,
    recovery_ms,
    slow_seconds,
)
from streams.detect.rule.shares import is_well, partial_share, spell_share
from streams.model.measurement import Asked, LinkSlot

SlotsOf = Callable[[int, int], Iterable[LinkSlot]]
"""Returns the slots that begin in a span of time, ascending."""

SLOW_LOOKBACK_MS: Final = 20 * MINUTE_MS
"""How long after its request an answer may come and still help to place the end of slowness."""
REACH_MS: Final = 10 * MINUTE_MS
"""How far an edge may move from where it was first placed."""
CONFIRMING: Final = 0.75
"""Share of the decisive evidence that must also be present by request time."""
FAILING: Final = frozenset({"total", "half", "partial"})


def seconds_of(slots: Iterable[LinkSlot], from_ms: int) -> list[Asked]:
    """Return the counts of slots by second of request, from ``from_ms`` on.

    For earlier seconds the slots would hold only the failures, as the answers came before the first slot.
    """
    return [one for one in merge_asked(slot.asked for slot in slots) if one.second * 1000 >= from_ms]


def confirmed(
    verdict: Verdict, from_ms: int, end_ms: int, slots_of: SlotsOf, rule: Rule, normal: Normal
) -> bool:
    """Return whether a verdict of failing attempts also holds by request time: clear and long enough.

    Only requests made from ``from_ms`` on count. If earlier trouble ended there, requests made during it that
    time out only now are no sign of new trouble. And time-outs become known late and spread out, so judged by
    when it became known a short failure looks longer than it was.
    """
    if verdict.test not in FAILING:
        return True
    enough = CONFIRMING * decisive_evidence(verdict.test, rule, normal)
    seconds = seconds_of(slots_of(from_ms - MINUTE_MS, end_ms), from_ms)
    run = clearest_run(seconds, _least(verdict, rule, normal), normal.failure_share)
    if run is None or run.evidence < enough:
        return False
    return run.length_ms >= (rule.min_degraded_ms if verdict.test == "partial" else rule.min_duration_ms)


def confirmed_recovery(
    state: RuleState, edge_ms: int, end_ms: int, slots_of: SlotsOf, rule: Rule, normal: Normal
) -> bool:
    """Return whether the requests made since a recovery's edge do well, not merely better.

    Requests lost in an outage become known as failures up to half a minute after it ended, among the first
    answers, so only the request time tells them apart.
    """
    seconds = seconds_of(slots_of(edge_ms - MINUTE_MS, end_ms), edge_ms)
    failures = sum(one.failed for one in seconds)
    attempts, spell, share0 = sum(one.ok for one in seconds) + failures, state.spell, normal.failure_share
    share = 0.9 if spell is None or spell.slow else spell_share(spell.attempts, spell.failures, share0)
    return is_well(attempts, failures, rule, share0, share)


def first_edge_ms(
    state: RuleState,
    verdict: Verdict,
    end_ms: int,
    slots_of: SlotsOf,
    lookback_ms: int,
    rule: Rule,
    normal: Normal,
) -> int:
    """Return where a spell began or ended, as known at the decision, at ``end_ms``."""
    if verdict.whole or verdict.test == "normal":
        return verdict.since_ms
    since_ms, spell = verdict.since_ms, state.spell
    found: int | None
    if verdict.test == "slow":
        slow = slow_seconds(slots_of(since_ms, end_ms), normal.slow_ms, latest=True)
        found = onset_ms(slow, rule.slow_share, normal.slow_share)
    elif verdict.test == "recovery" and spell is not None and spell.slow:
        slots = slots_of(max(spell.since_ms, since_ms - SLOW_LOOKBACK_MS), end_ms)
        slow = slow_seconds(slots, normal.slow_ms, latest=False)
        found = recovery_ms(slow, rule.slow_share, normal.slow_share)
    else:
        seconds = seconds_of(slots_of(since_ms - lookback_ms, end_ms), since_ms - lookback_ms)
        found = _edge_ms(verdict, state, seconds, rule, normal)
    return since_ms if found is None else found


def _edge_ms(
    verdict: Verdict, state: RuleState, seconds: list[Asked], rule: Rule, normal: Normal
) -> int | None:
    share0, spell = normal.failure_share, state.spell
    if verdict.test == "recovery":
        assert spell is not None
        return recovery_ms(seconds, spell_share(spell.attempts, spell.failures, share0), share0)
    if verdict.test == "worse":
        return onset_ms(seconds, rule.worse_share, rule.better_share)
    if verdict.test == "better":
        return recovery_ms(seconds, rule.worse_share, rule.better_share)
    return onset_ms(seconds, _least(verdict, rule, normal), share0)


def _least(verdict: Verdict, rule: Rule, normal: Normal) -> float:
    """Return the lowest failure share that counts as trouble of the verdict's kind."""
    return partial_share(rule, normal.failure_share) if verdict.test == "partial" else rule.half_share


def settled_edge_ms(
    decided: Decided,
    before: Decided | None,
    after: Decided | None,
    known_ms: int,
    slots_of: SlotsOf,
    lookback_ms: int,
    rule: Rule,
    normal: Normal,
) -> int:
    """Return the edge of a verdict according to all outcomes known by ``known_ms``.

    It lies between the edges of the verdicts ``before`` and ``after``, before the decision, and within ten
    minutes of where it was first placed. Edges of slowness, and those between down and degraded, do not move.
    """
    edge_ms, test = decided.edge_ms, decided.verdict.test
    if decided.verdict.whole or decided.slow or test not in FAILING | {"recovery"}:
        return edge_ms
    from_ms, to_ms = edge_ms - REACH_MS, min(edge_ms + REACH_MS, decided.decided_ms)
    if before is not None:
        from_ms = max(from_ms, before.edge_ms)
    if after is not None and after.decided_ms <= known_ms:
        to_ms = min(to_ms, after.edge_ms)
    until_ms = min(to_ms + lookback_ms, known_ms)
    asked = _asked(slots_of, from_ms, to_ms, until_ms, lookback_ms)
    least = partial_share(rule, normal.failure_share)
    if test != "recovery":
        found = likeliest_onset_ms(asked, least, normal.failure_share)
    elif any(one.failed > 0 for one in asked if one.second * 1000 < edge_ms):
        found = likeliest_recovery_ms(asked, least, normal.failure_share)
    else:  # trouble ended in a silence: the failure share before it shows which later failures are chance
        asked = [one for one in asked if one.second * 1000 + 999 >= edge_ms]
        found = likeliest_recovery_ms(asked, least, normal.failure_share, decided.trouble)
    return edge_ms if found is None else max(found, from_ms)


def trouble_before(state: RuleState) -> tuple[int, int]:
    """Return the attempts and failures of a spell up to the start of the evidence of its recovery."""
    if state.spell is None:
        return 0, 0
    recovery = state.tests[0]
    return state.spell.attempts - recovery.attempts, state.spell.failures - recovery.failures


def _asked(slots_of: SlotsOf, from_ms: int, to_ms: int, until_ms: int, lookback_ms: int) -> list[Asked]:
    """Return the counts by second of request in ``[from_ms, to_ms)``, as known by ``until_ms``."""
    known = seconds_of(slots_of(from_ms - lookback_ms, until_ms), from_ms - 999)
    return [one for one in known if one.second * 1000 < to_ms]
