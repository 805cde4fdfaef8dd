"""Failure shares: the evidence for one share against another, and which shares can be distinguished."""

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
    """Return the evidence of one failure and of one answer; cached, as a rule uses few pairs of shares."""
    return log(share / against), log((1 - share) / (1 - against))


TOLERANCE: Final = 0.05
"""How far below 0.5 a share may be and still count as half."""


def is_down(attempts: int, failures: int) -> bool:
    """Return whether at least half of the attempts fail, allowing for chance.

    A true share of one half is observed below 0.5 half of the time, so one standard error is allowed, but at
    most five percentage points. Without that limit four failures of ten attempts would count as half, and a
    true share of 30 % often produces that.

        >>> is_down(10, 10), is_down(600, 300), is_down(600, 290), is_down(600, 240), is_down(10, 4)
        (True, True, True, False, False)
    """
    if attempts <= 0:
        return False
    share = failures / attempts
    return share + min(sqrt(max(share * (1 - share), 0.0) / attempts), TOLERANCE) >= 0.5


def fits(attempts: int, failures: int, *, down: bool) -> bool:
    """Return whether a share may be that of a kind (``down`` or degraded), within two standard errors.

    >>> fits(20, 6, down=True), fits(200, 60, down=True), fits(20, 6, down=False)
    (True, False, True)
    """
    if attempts <= 0:
        return True
    share = failures / attempts
    error = 2 * sqrt(max(share * (1 - share), 0.0) / attempts)
    return share + error >= 0.5 if down else share - error < 0.5


def partial_share(rule: "Rule", p0: float) -> float:
    """Return the lowest failure share that is clearly above a normal share of ``p0``.

    >>> from streams.detect.rule.definition import Rule
    >>> [round(partial_share(Rule(), p0), 2) for p0 in (0.03, 0.05, 0.1, 0.15)]
    [0.12, 0.15, 0.22, 0.27]
    """
    return max(rule.partial_share, min(3 * p0, p0 + rule.partial_share))


def spell_share(attempts: int, failures: int, p0: float) -> float:
    """Return the failure share of a spell, limited to values from which a recovery can be distinguished."""
    return min(max((failures + 1) / (attempts + 2), p0 + min(p0, LEAST_BEYOND)), 0.9)


LEAST_BEYOND: Final = 0.05
"""A spell's failure share is taken to be above normal by at least this, or by normal itself if less."""


def is_well(attempts: int, failures: int, rule: "Rule", p0: float, share: float = 0.9) -> bool:
    """Return whether the normal share ``p0`` explains the attempts after trouble better than a degradation.

    ``share`` is the failure share during the trouble. A link with a quarter of its attempts failing after a
    full outage looks far more like normal than like the outage. But it is only better, not well, and the test
    ``better`` will find that.

        >>> from streams.detect.rule.definition import Rule
        >>> is_well(5, 0, Rule(), 0.03), is_well(30, 3, Rule(), 0.03), is_well(30, 6, Rule(), 0.03)
        (True, True, False)
    """
    degraded = min(max(rule.better_share, partial_share(rule, p0)), share)
    return evidence(attempts - failures, failures, degraded, p0) <= 0


class Seen(NamedTuple):
    """A link's attempts outside trouble since its history began, used until its normal is known."""

    attempts: int = 0
    failures: int = 0

    def without(self, attempts: int, failures: int) -> "Seen":
        """Return the counts without some attempts and failures."""
        return Seen(self.attempts - attempts, self.failures - failures)

    def mean_share(self, rule: "Rule") -> float:
        """Return the mean failure share, starting from the rule's own normal share as a prior.

        >>> from streams.detect.rule.definition import Rule
        >>> [round(Seen(*counts).mean_share(Rule()), 3) for counts in ((0, 0), (300, 30), (300, 90))]
        [0.03, 0.094, 0.15]
        """
        guess = rule.normal_failure_share
        share = (self.failures + guess * GUESS_WEIGHT) / (self.attempts + GUESS_WEIGHT)
        return min(max(share, guess), rule.worst_normal_share)

    def most_share(self, rule: "Rule") -> float:
        """Return the upper bound of the failure share: Wilson's bound at two standard errors.

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
"""Weight, in attempts, of the rule's own normal share in the mean."""
ERRORS: Final = 2.0
