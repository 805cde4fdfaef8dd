"""How often attempts fail: the evidence for one share against another, and which shares are told apart."""

from functools import lru_cache
from math import log, sqrt
from typing import Final, NamedTuple

from streams.detect.rule.definition import Rule


def evidence(ok: int, failed: int, share: float, against: float) -> float:
    """Return the log-likelihood ratio of failure share ``share`` over ``against``.

    >>> round(evidence(ok=0, failed=4, share=0.95, against=0.03), 2)
    13.82
    """
    a_failure, an_answer = _weights(share, against)
    return failed * a_failure + ok * an_answer


@lru_cache(maxsize=1024)
def _weights(share: float, against: float) -> tuple[float, float]:
    """Return the evidence of one failure and of one answer; a rule uses few pairs, so they are kept."""
    return log(share / against), log((1 - share) / (1 - against))


TOLERANCE: Final = 0.05
"""Tolerance below 0.5 that still counts as half."""


def is_down(attempts: int, failures: int) -> bool:
    """Say whether at least half of the attempts fail, as far as can be told from what was seen.

    A share of one half is seen as less half of the time, so one standard error is allowed for, but no more
    than five points: of ten attempts four would do otherwise, and of those three in ten often look so.

    >>> is_down(10, 10), is_down(600, 300), is_down(600, 290), is_down(600, 240), is_down(10, 4)
    (True, True, True, False, False)
    """
    if attempts <= 0:
        return False
    share = failures / attempts
    return share + min(sqrt(max(share * (1 - share), 0.0) / attempts), TOLERANCE) >= 0.5


def partial_share(rule: "Rule", p0: float) -> float:
    """Return the least failing share that is clearly beyond a normal one of ``p0``.

    >>> from streams.detect.rule.definition import Rule
    >>> [round(partial_share(Rule(), p0), 2) for p0 in (0.03, 0.05, 0.1, 0.15)]
    [0.12, 0.15, 0.22, 0.27]
    """
    return max(rule.partial_share, min(3 * p0, p0 + rule.partial_share))


def spell_share(attempts: int, failures: int, p0: float) -> float:
    """Return how often attempts fail in a spell, kept where a recovery can be told from it."""
    return min(max((failures + 1) / (attempts + 2), p0 + min(p0, LEAST_BEYOND)), 0.9)


LEAST_BEYOND: Final = 0.05
"""How far beyond normal a spell's failure share is taken to be at least, or as far again as normal."""


def is_well(attempts: int, failures: int, rule: "Rule", p0: float, share: float = 0.9) -> bool:
    """Say whether normal, ``p0``, explains what followed on trouble better than a degradation does.

    ``share`` is how often attempts failed in the trouble. After a full outage a link that fails a quarter
    of its attempts looks far more like normal than like the outage. It is better, not well: the test of
    that name will say so.

    >>> from streams.detect.rule.definition import Rule
    >>> is_well(5, 0, Rule(), 0.03), is_well(30, 3, Rule(), 0.03), is_well(30, 6, Rule(), 0.03)
    (True, True, False)
    """
    degraded = min(max(rule.better_share, partial_share(rule, p0)), share)
    return evidence(attempts - failures, failures, degraded, p0) <= 0


class Seen(NamedTuple):
    """What a link has shown outside trouble since its history began, while that is all there is to go by."""

    attempts: int = 0
    failures: int = 0

    def without(self, attempts: int, failures: int) -> "Seen":
        """Return what had been seen before some of it."""
        return Seen(self.attempts - attempts, self.failures - failures)

    def mean_share(self, rule: "Rule") -> float:
        """Return how often attempts fail as far as is known, from the rule's own idea of normal on.

        >>> from streams.detect.rule.definition import Rule
        >>> [round(Seen(*counts).mean_share(Rule()), 3) for counts in ((0, 0), (300, 30), (300, 90))]
        [0.03, 0.094, 0.15]
        """
        guess = rule.normal_failure_share
        share = (self.failures + guess * GUESS_WEIGHT) / (self.attempts + GUESS_WEIGHT)
        return min(max(share, guess), rule.worst_normal_share)

    def most_share(self, rule: "Rule") -> float:
        """Return the greatest share that what was seen agrees with: Wilson's bound at two standard errors.

        >>> from streams.detect.rule.definition import Rule
        >>> [round(Seen(*counts).most_share(Rule()), 3) for counts in ((0, 0), (300, 9), (3000, 300))]
        [0.15, 0.057, 0.111]
        """
        if self.attempts <= 0:
            return rule.worst_normal_share
        n, z = self.attempts, ERRORS
        share = self.failures / n
        spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        bound = (share + z * z / (2 * n) + spread) / (1 + z * z / n)
        return min(max(bound, rule.normal_failure_share), rule.worst_normal_share)


NOTHING: Final = Seen()
GUESS_WEIGHT: Final = 30
"""Attempts as which the rule's own idea of normal counts beside what was seen."""
ERRORS: Final = 2.0
