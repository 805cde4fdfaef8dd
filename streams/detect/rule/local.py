"""Local trouble: one service or one agency of a link fails wholly while the others are well.

Theory. Each name (a service, or an agency) has a CUSUM of its own: the evidence that 95 % of its lookups
fail, against what is normal for the link. It begins with a failure, as `measure` tells nothing of a name
before that. Every attempt belongs to two names, so there are more tests than slots: with up to 72 names at
most six name-minutes a week to each slot of the link's own bound. So the threshold is ln 6 = 1.8 nats higher.

That a name fails wholly does not make the trouble local. Three things must show beside it:

- *The others are well with it.* Once the name is established (half of the evidence) the attempts of the
  others are weighed: normal against one half failing. That evidence fades with each minute in which the name
  fails, so it must come from the same minutes. Where nobody else asks, or others fail too, it is not local.
- *The others are not beyond normal.* A CUSUM over what is left of the link rises where trouble spreads. It
  holds back what would begin, and ends what is under way, as that is the link's own trouble now.
- *The other kind does not explain it.* An agency that asks for one service only fails with that service. So
  most failures of a name must lie beyond those of the services, or agencies, that fail wholly already.

Facts are taken in minute by minute. What is remembered is a few numbers for each name that failed of late, so
a minute can be judged again from the state before it, and no older fact is read.
"""

from collections.abc import Iterable, Mapping
from math import log
from typing import Final, NamedTuple

from streams.detect.rule.cusum import Normal, threshold
from streams.detect.rule.definition import Rule
from streams.detect.rule.shares import evidence, partial_share
from streams.model.measurement import Part

MINUTE_MS: Final = 60_000
SILENT_MS: Final = 20 * MINUTE_MS
"""For so long after a failure `measure` tells of a name. What it did not tell of for longer is unknown."""
NAMES_A_SLOT: Final = 6
FEW: Final = 8
"""Where more services, or more agencies, than this fail wholly, trouble is not local."""
MOST_SUSPECTS: Final = 32
"""Bound on the tests that run for one link; those with the most evidence stay."""
WHOLLY: Final = 4
"""Failures to an answer from which a name fails wholly in a minute."""
AROUND: Final = 10.0
"""Evidence in nats that the others do not fail with a name: fifteen answers."""
AROUND_MOST: Final = 14.0
FADING: Final = 0.7
"""What is left of that after each minute in which the name fails: less than `AROUND`, even of the most."""
CALM: Final = 3.0
"""Evidence in nats that the others fail beyond normal, below which they are well."""
STRAY: Final = 4.0
"""A gap this many times the mean comes by chance in e^-4 = 2 % of cases."""
FAILING: Final = 0.9
"""Failing share that a recovery is told from."""

Parts = Mapping[str, Part]


class Suspect(NamedTuple):
    """A name that failed of late: its running test, and what was seen around it.

    ``since_ms`` and ``then_ms`` are when the first and the second failure were asked, ``told_ms`` the last
    minute that told of the name. ``apart`` counts the failures that no trouble of the other kind explains;
    ``around`` is evidence that the others are well.
    """

    agency: bool
    name: str
    since_ms: int
    told_ms: int
    total: float
    failures: int
    apart: float
    around: float
    then_ms: int | None = None

    def start_ms(self, end_ms: int) -> int:
        """Return when the trouble that shows by ``end_ms`` began: with the first failure, or with the second.

        A failure that came by itself before would draw the start to it. Where the name fails wholly, lookups
        come as they are asked, so a first gap of more than `STRAY` times the mean is hardly one of them.
        """
        if self.then_ms is None or self.failures < 3:
            return self.since_ms
        mean_ms = (end_ms - self.then_ms) / (self.failures - 1)
        return self.then_ms if self.then_ms - self.since_ms > STRAY * mean_ms else self.since_ms


class Struck(NamedTuple):
    """A name that fails wholly, while it lasts.

    ``failed_ms`` is when the last failure that is known was asked. ``back`` is the evidence that the name is
    well again, and ``ok_ms`` the first answer that counts towards that, or the first in its last minute.
    """

    agency: bool
    name: str
    start_ms: int
    opened_ms: int
    told_ms: int
    failed_ms: int
    back: float = 0.0
    ok_ms: int | None = None


class LocalSpell(NamedTuple):
    """A name that failed wholly over ``[start_ms, end_ms)`` by time of asking, and when that was decided."""

    agency: bool
    name: str
    start_ms: int
    end_ms: int
    opened_ms: int
    closed_ms: int


class LocalState(NamedTuple):
    """What is remembered of a link's names; equal states decide alike ever after."""

    suspects: tuple[Suspect, ...] = ()
    struck: tuple[Struck, ...] = ()
    spread: float = 0.0
    """Evidence that what is left of the link fails beyond normal."""


QUIET: Final = LocalState()


class Facts(NamedTuple):
    """What became known of a link in the minute ``[start_ms, start_ms + 60 s)``.

    Times in the parts are milliseconds after the start. ``down`` says that the link was down in the minute.
    """

    start_ms: int
    attempts: int
    failures: int
    services: Parts
    agencies: Parts
    down: bool

    def part(self, name: "Suspect | Struck") -> Part:
        """Return what the minute says of a name."""
        return (self.agencies if name.agency else self.services).get(name.name, _NOTHING)


_NOTHING: Final = Part()


def local_threshold(rule: Rule, normal: Normal) -> float:
    """Return the evidence, in nats, at which a name is taken to fail wholly."""
    return threshold(rule, normal) + log(NAMES_A_SLOT)


def step(state: LocalState, facts: Facts, rule: Rule, normal: Normal) -> tuple[LocalState, list[LocalSpell]]:
    """Take in a minute; return the state after it, and the spells that were found to have ended."""
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
    """Follow what fails wholly; return what still does, and what ended."""
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
    """Return the evidence that what is left of the link fails beyond normal."""
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
    """Return the evidence of the minutes before without the failures of names established in this one."""
    known, p0 = {(one.agency, one.name) for one in established}, normal.failure_share
    fresh = [one for one in apart if (one.agency, one.name) not in known]
    failures = sum(one.failures - max(facts.part(one).failed, 0) for one in fresh)
    return max(spread - evidence(0, failures, partial_share(rule, p0), p0), 0.0)


def _others(apart: Iterable[Suspect | Struck], facts: Facts) -> tuple[int, int]:
    """Return how many attempts were answered, and how many failed, of all but some names."""
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
    """Return a running test with a minute added, or None at zero or if the minute lacks it."""
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
    then_ms = one.then_ms or next((at for at in times if at > one.since_ms), None)
    return one._replace(
        told_ms=told_ms,
        total=total,
        failures=one.failures + failed,
        apart=one.apart + apart,
        around=around,
        then_ms=then_ms,
    )


def _opened(
    suspects: list[Suspect],
    established: list[Suspect],
    struck: list[Struck],
    facts: Facts,
    rule: Rule,
    enough: float,
) -> list[Struck]:
    """Return the names that are found to fail wholly, and alone, by the end of a minute."""
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
    if not alone and not struck:  # the same lookups by service and by agency: the fewer names tell it
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
