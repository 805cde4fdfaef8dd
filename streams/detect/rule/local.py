"""Local trouble: every request for one service, or of one agency, fails while the others are well.

Theory. Each name (a service, or an agency) has its own CUSUM: the evidence that 95 % of its lookups fail,
against the link's normal. It begins with a failure, as `measure` reports nothing about a name before that.
Every attempt belongs to two names, so there are more tests than slots: with up to 72 names, at most six
name-minutes a week for each slot in the link's own bound. So the threshold is higher by ln 6 = 1.8 nats.

A name whose requests all fail is not necessarily local trouble. Three more things must hold:

- *The others are well at the same time.* Once the name is established (it has half of the evidence) the
  attempts of the others are weighed: normal against one half failing. That evidence fades with each minute in
  which the name fails, so it must come from the same minutes. If there are no other requests, or others fail
  too, the trouble is not local.
- *The others do not fail beyond normal.* A CUSUM over the rest of the link rises if trouble spreads. It
  prevents new local spells, and ends open ones, as it is then the link's own trouble.
- *The other kind does not explain it.* An agency that uses only one service fails along with that service. So
  most failures of a name must lie beyond those of the failing services (for an agency) or agencies (for a
  service).

Facts are applied minute by minute. The state is a few numbers for each name that failed recently, so a minute
can be judged again from the state before it, without reading older facts.
"""

from collections.abc import Iterable
from math import log
from typing import Final

from streams.detect.rule.cusum import Normal, threshold
from streams.detect.rule.definition import Rule
from streams.detect.rule.local_state import QUIET, Facts, LocalSpell, LocalState, Struck, Suspect
from streams.detect.rule.shares import evidence, partial_share
from streams.model.measurement import Part

MINUTE_MS: Final = 60_000
SILENT_MS: Final = 20 * MINUTE_MS
"""How long after a failure `measure` reports a name. A name not reported for longer is unknown."""
NAMES_A_SLOT: Final = 6
FEW: Final = 8
"""If more services, or more agencies, than this fail completely, trouble is not local."""
MOST_SUSPECTS: Final = 32
"""Limit on the running tests of one link; those with the most evidence are kept."""
WHOLLY: Final = 4
"""A name fails completely in a minute from this many failures per answer."""
AROUND: Final = 10.0
"""Evidence needed, in nats, that the others do not fail with a name: fifteen answers."""
AROUND_MOST: Final = 14.0
FADING: Final = 0.7
"""Factor on that evidence for each minute in which the name fails; it takes even the most below `AROUND`."""
CALM: Final = 3.0
"""The others are well up to this much evidence, in nats, that they fail beyond normal."""
OUTWEIGHED: Final = 1.0
"""Evidence, in nats, that does not move a start: one failure and one answer leave half of this."""
FAILING: Final = 0.9
"""Failure share against which a recovery is tested."""


def local_threshold(rule: Rule, normal: Normal) -> float:
    """Return the evidence, in nats, at which a name counts as failing completely."""
    return threshold(rule, normal) + log(NAMES_A_SLOT)


def step(state: LocalState, facts: Facts, rule: Rule, normal: Normal) -> tuple[LocalState, list[LocalSpell]]:
    """Apply a minute; return the state after it, and the spells whose end was found."""
    if state == QUIET and not facts.services and not facts.agencies:
        return QUIET, []
    struck, ended = _follow(state.struck, facts, rule, normal)
    enough = local_threshold(rule, normal)
    established = [one for one in state.suspects if one.total >= enough / 2]
    suspects = [] if facts.down else _suspects(state, struck, established, facts, rule, normal)
    apart = [one for one in suspects if one.total >= enough / 2]
    before = _without(state.spread, apart, established, facts, rule, normal)
    spread = _spread(before, [*apart, *struck], facts, rule, normal)
    if spread >= rule.shift_evidence or facts.down:
        ended += [_over(one, facts.start_ms, facts) for one in struck]
        struck = []
    opened = _opened(suspects, established, struck, facts, rule, enough) if spread <= CALM else []
    if opened:
        names = {(one.agency, one.name) for one in opened}
        suspects = [one for one in suspects if (one.agency, one.name) not in names]
        struck = sorted([*struck, *opened])
    if not (suspects or struck):
        return (QUIET if spread <= 0 else LocalState((), (), spread)), ended
    return LocalState(tuple(suspects), tuple(struck), spread), ended


def _follow(
    struck: Iterable[Struck], facts: Facts, rule: Rule, normal: Normal
) -> tuple[list[Struck], list[LocalSpell]]:
    """Apply a minute to the failing names; return those that still fail, and the spells that ended."""
    going_on: list[Struck] = []
    ended: list[LocalSpell] = []
    for one in struck:
        part = facts.part(one)
        ok, failed = max(part.ok, 0), max(part.failed, 0)
        if not (ok or failed):
            if facts.start_ms - one.told_ms >= SILENT_MS:
                ended.append(_over(one, one.failed_ms + 1, facts))
            else:
                going_on.append(one)
            continue
        first_ok = None if part.first_ok is None or not ok else facts.start_ms + part.first_ok
        earlier_counts = one.back > 0 or facts.start_ms - one.told_ms <= MINUTE_MS
        oks = [at for at in (one.ok_ms if earlier_counts else None, first_ok) if at is not None]
        back = max(one.back - evidence(ok, failed, FAILING, normal.failure_share), 0.0)
        ok_ms = min(oks, default=None) if back > 0 else first_ok
        if back >= rule.recovery_evidence and ok_ms is not None:
            ended.append(_over(one, ok_ms, facts))
            continue
        failed_ms = max(one.failed_ms, *(facts.start_ms + ms for ms in part.first_failed), one.start_ms)
        going_on.append(one._replace(told_ms=facts.start_ms, failed_ms=failed_ms, back=back, ok_ms=ok_ms))
    return going_on, ended


def _over(one: Struck, end_ms: int, facts: Facts) -> LocalSpell:
    end_ms = max(end_ms, one.start_ms + 1)
    return LocalSpell(one.agency, one.name, one.start_ms, end_ms, one.opened_ms, facts.start_ms + MINUTE_MS)


def _spread(
    spread: float, apart: Iterable[Suspect | Struck], facts: Facts, rule: Rule, normal: Normal
) -> float:
    """Return the evidence that the rest of the link fails beyond normal."""
    ok, failed = _others(apart, facts)
    p0 = normal.failure_share
    return min(max(spread + evidence(ok, failed, partial_share(rule, p0), p0), 0.0), rule.shift_evidence)


def _without(
    spread: float,
    apart: Iterable[Suspect],
    established: Iterable[Suspect],
    facts: Facts,
    rule: Rule,
    normal: Normal,
) -> float:
    """Return the earlier evidence without the failures of names that were established in this minute."""
    known, p0 = {(one.agency, one.name) for one in established}, normal.failure_share
    fresh = [one for one in apart if (one.agency, one.name) not in known]
    failures = sum(one.failures - max(facts.part(one).failed, 0) for one in fresh)
    return max(spread - evidence(0, failures, partial_share(rule, p0), p0), 0.0)


def _others(apart: Iterable[Suspect | Struck], facts: Facts) -> tuple[int, int]:
    """Return how many attempts were answered, and how many failed, without those of some names."""
    attempts, failures = facts.attempts, facts.failures
    for one in apart:
        part = facts.part(one)
        attempts -= part.ok + part.failed
        failures -= part.failed
    failures = max(failures, 0)
    return max(attempts - failures, 0), failures


def _suspects(
    state: LocalState,
    struck: list[Struck],
    established: list[Suspect],
    facts: Facts,
    rule: Rule,
    normal: Normal,
) -> list[Suspect]:
    """Return the running tests after a minute, by name."""
    ceiling = 2 * local_threshold(rule, normal)
    known = {(one.agency, one.name): one for one in state.suspects}
    taken = {(one.agency, one.name) for one in struck}
    for agency, parts in ((False, facts.services), (True, facts.agencies)):
        for name, part in parts.items():
            if part.failed > 0 and (agency, name) not in known and (agency, name) not in taken:
                since_ms = facts.start_ms + min(part.first_failed, default=0)
                known[agency, name] = Suspect(agency, name, since_ms, facts.start_ms, 0.0, 0, 0.0, 0.0)
    beside: list[Suspect | Struck] = [*established, *struck]
    grown = [_grown(one, beside, one in established, ceiling, facts, rule, normal) for one in known.values()]
    left = sorted((one for one in grown if one is not None), key=_evidence, reverse=True)[:MOST_SUSPECTS]
    return sorted(left)


def _grown(
    one: Suspect,
    beside: list[Suspect | Struck],
    is_established: bool,
    ceiling: float,
    facts: Facts,
    rule: Rule,
    normal: Normal,
) -> Suspect | None:
    """Return a running test with a minute added, None if it falls to zero or the name is silent too long."""
    part, p0 = facts.part(one), normal.failure_share
    ok, failed = max(part.ok, 0), max(part.failed, 0)
    total = min(one.total + evidence(ok, failed, rule.total_share, p0), ceiling)
    told_ms = facts.start_ms if ok or failed else one.told_ms
    if total <= 0 or facts.start_ms - told_ms >= SILENT_MS:
        return None
    around = one.around
    if is_established:
        same = [other for other in beside if other.agency == one.agency and other.name != one.name]
        others_ok, others_failed = _others([one, *same], facts)
        gain = -evidence(others_ok, others_failed, rule.half_share, p0)
        around = min(max(around * (FADING if failed else 1.0) + gain, 0.0), AROUND_MOST)
    other_kind = [other for other in beside if other.agency != one.agency]
    left_ok, left_failed = _others(other_kind, facts)
    apart = min(float(failed), max(left_failed - p0 * (left_ok + left_failed), 0.0)) if other_kind else failed
    times = sorted(facts.start_ms + ms for ms in part.first_failed)
    since_ms, then_ms = one.since_ms, one.then_ms
    again_ms = _again_ms(one.total, part, rule, p0)
    if again_ms is not None:
        since_ms, then_ms = facts.start_ms + again_ms, None
    then_ms = then_ms or next((at for at in times if at > since_ms), None)
    return one._replace(
        since_ms=since_ms,
        told_ms=told_ms,
        total=total,
        failures=one.failures + failed,
        apart=one.apart + apart,
        around=around,
        then_ms=then_ms,
    )


def _again_ms(total: float, part: Part, rule: Rule, p0: float) -> int | None:
    """Return when failures began again after a minute's answers, if these outweigh the failures before.

    A failure by chance that was followed by an answer is not the first of the trouble after it. All answers
    of the minute count as before that trouble, as every request fails in it.
    """
    if part.ok <= 0 or part.first_ok is None:
        return None
    earlier = sum(ms < part.first_ok for ms in part.first_failed)
    if total + evidence(part.ok, earlier, rule.total_share, p0) > OUTWEIGHED:
        return None
    return next((ms for ms in sorted(part.first_failed) if ms > part.first_ok), None)


def _opened(
    suspects: list[Suspect],
    established: list[Suspect],
    struck: list[Struck],
    facts: Facts,
    rule: Rule,
    enough: float,
) -> list[Struck]:
    """Return the names found, at the end of a minute, to fail completely and alone."""
    before = {(one.agency, one.name) for one in established}
    kinds = [one.agency for one in established] + [one.agency for one in struck]
    end_ms = facts.start_ms + MINUTE_MS
    found = [
        one
        for one in suspects
        if (one.agency, one.name) in before
        and one.total >= enough
        and one.around >= AROUND
        and end_ms - one.since_ms >= rule.min_degraded_ms
        and facts.part(one).failed > 0
        and facts.part(one).failed >= WHOLLY * facts.part(one).ok
        and kinds.count(one.agency) <= FEW
    ]
    alone = [one for one in found if 2 * one.apart >= one.failures]
    if (
        not alone and not struck
    ):  # the same lookups seen by service and by agency: the kind with fewer names is reported
        agencies = [one for one in found if one.agency]
        services = [one for one in found if not one.agency]
        if agencies and services and len(agencies) != len(services):
            alone = min(agencies, services, key=len)
        else:
            alone = found
    opened = []
    for one in alone:
        start_ms = one.start_ms(end_ms)
        opened.append(Struck(one.agency, one.name, start_ms, end_ms, facts.start_ms, start_ms))
    return opened


def _evidence(one: Suspect) -> float:
    return one.total
