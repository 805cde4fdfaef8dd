"""Finds where trouble began and ended, to the millisecond, by *request* time.

The rule decides on slots in which outcomes became known, which may be half a minute after the requests. The
edges are found over the seconds of request, twice. First at the decision, by the same sequential sums: the
start is the first failed request after the failing sum's last zero, the end the first answered request after
the answered sum's last zero. Second, once every outcome requested before the decision is known: then the edge
is the change point of maximum likelihood, with the failure share estimated as well (D. V. Hinkley, *Inference
about the change-point in a sequence of binomial variables*, Biometrika 57, 1970). That matters when failures
become known later than answers, and when only some attempts fail.
"""

from collections.abc import Iterable, Sequence
from math import log
from typing import Final, NamedTuple

from streams.detect.rule.shares import evidence
from streams.detect.rule.slowness import slow_answers
from streams.model.measurement import EDGE_TIMES, Asked, LinkSlot

SHARES: Final = (0.25, 0.5, 0.75, 0.95)
FULL: Final = 0.9
"""Failure share from which a single second is enough to distinguish trouble from noise."""


def onset_ms(seconds: Sequence[Asked], least_share: float, normal: float) -> int | None:
    """Return the time of the first failing request of the trouble, None if the seconds (ascending) show none.

    The failure share is not known beforehand: of the shares from ``least_share`` up, the one that best
    explains the seconds places the start (a generalised likelihood ratio over the change point).
    """
    best, found = 0.0, None
    for share in _shares(least_share):
        total, start_ms = _last_rise(seconds, share, normal)
        if total > best:
            best, found = total, start_ms
    return found


def _shares(least: float) -> list[float]:
    """Return the failure shares to try, from the lowest that counts as trouble up."""
    return [least, *(share for share in SHARES if share > least)]


def _last_rise(seconds: Iterable[Asked], share: float, normal: float) -> tuple[float, int | None]:
    """Return the failing sum at the end of the seconds, and the first failed request after its last zero."""
    total, found = 0.0, None
    for asked in seconds:
        before = total
        total = max(0.0, total + evidence(asked.ok, asked.failed, share, normal))
        if total == 0.0:
            found = None
        elif before == 0.0:
            found = asked.second * 1000 + (asked.first_failed[0] if asked.first_failed else 0)
    return total, found


class Run(NamedTuple):
    """The stretch of request time that shows trouble most clearly, ``[start_ms, end_ms)``.

    It begins with the first failing request and ends with the first answered one after it; ``end_ms`` is
    None if that is not known yet. ``last_ms`` is the last failing request, as far as times are kept.
    ``evidence`` is in nats.
    """

    evidence: float
    start_ms: int
    last_ms: int
    end_ms: int | None
    failures: int

    @property
    def length_ms(self) -> float:
        """How long it lasted, in ms: to the last failure plus the mean gap of failures, or to ``end_ms``.

        The wait for the next answer says nothing about how long the trouble lasted. Five or more failures
        within 8 s never count as lasting 10 s.
        """
        gaps = max(self.failures - 1, 1)
        shown_ms = (self.last_ms - self.start_ms) * (gaps + 1) / gaps
        return shown_ms if self.end_ms is None else min(shown_ms, self.end_ms - self.start_ms)


def clearest_run(seconds: Sequence[Asked], least_share: float, normal: float) -> Run | None:
    """Return the stretch of request time with the most evidence of trouble; None if there is none.

    By the time outcomes became known, failures may appear on their own after requests stopped, as a time-out
    is known later than an answer. By request time each failure is next to the answers around it.
    """
    runs = (run_of(seconds, share, normal) for share in _shares(least_share))
    return max((run for run in runs if run is not None), key=lambda run: run.evidence, default=None)


def run_of(seconds: Sequence[Asked], share: float, normal: float) -> Run | None:
    """Return the stretch that most likely failed at a share: from the sum's last zero to its peak."""
    total = most = 0.0
    start = first = last = -1
    for index, asked in enumerate(seconds):
        before = total
        total = max(0.0, total + evidence(asked.ok, asked.failed, share, normal))
        if before == 0.0:
            start = index
        if total > most:
            most, first, last = total, start, index
    return None if last < 0 else _run(seconds, most, first, last)


def _run(seconds: Sequence[Asked], most: float, first: int, last: int) -> Run:
    begun, ended = seconds[first], seconds[last]
    start_ms = begun.second * 1000 + (begun.first_failed[0] if begun.first_failed else 0)
    end_ms = None
    mixed = last > first and ended.first_ok >= 0 and ended.ok > 0 and ended.first_failed
    if mixed and ended.first_ok > ended.first_failed[-1] and len(ended.first_failed) < EDGE_TIMES:
        end_ms = ended.second * 1000 + ended.first_ok
    for asked in seconds[last + 1 :] if end_ms is None else ():
        if asked.ok > 0 and asked.first_ok >= 0:
            end_ms = asked.second * 1000 + asked.first_ok
            break
    in_second_ms = ended.first_failed[-1] if ended.first_failed else 0
    if len(ended.first_failed) == EDGE_TIMES and ended.ok <= 0:  # only the earliest times are kept
        in_second_ms = 999
    last_ms = ended.second * 1000 + in_second_ms
    return Run(most, start_ms, last_ms, end_ms, sum(asked.failed for asked in seconds[first : last + 1]))


def recovery_ms(seconds: Iterable[Asked], share: float, normal: float) -> int | None:
    """Return the time of the first request that succeeds again, None if none does."""
    total, found = 0.0, None
    for asked in seconds:
        before = total
        total = max(0.0, total - evidence(asked.ok, asked.failed, share, normal))
        if total == 0.0:
            found = None
        elif before == 0.0:
            found = asked.second * 1000 + max(asked.first_ok, 0)
    return found


def likeliest_onset_ms(seconds: Sequence[Asked], least_share: float, normal: float) -> int | None:
    """Return the likeliest start of trouble that lasts to the end of the seconds; None if there is none."""
    attempts = failures = 0
    best, at, share = 0.0, -1, 0.0
    for index in range(len(seconds) - 1, -1, -1):
        asked = seconds[index]
        attempts, failures = attempts + asked.ok + asked.failed, failures + asked.failed
        if asked.failed > 0 and asked.first_failed:
            total, estimated = _likelihood(attempts, failures, least_share, normal)
            if total > best:
                best, at, share = total, index, estimated
    if at < 0:
        return None
    if at > 0 and share >= FULL:  # some of the second before may have failed already
        before = seconds[at - 1]
        mixed = before.second == seconds[at].second - 1 and before.first_failed
        if mixed and before.failed > 3 * normal * (before.ok + before.failed):
            at -= 1
    return seconds[at].second * 1000 + seconds[at].first_failed[0]


def likeliest_recovery_ms(
    seconds: Sequence[Asked], least_share: float, normal: float, before: tuple[int, int] = (0, 0)
) -> int | None:
    """Return the likeliest end of trouble that is present at the first of the seconds; None if it never ends.

    ``before`` are the attempts and failures of the trouble before the seconds, where it may have ended
    already.
    """
    attempts, failures = before
    best, at, share = max(_likelihood(attempts, failures, least_share, normal)[0], 0.0), -1, 0.0
    for index, asked in enumerate(seconds):
        attempts, failures = attempts + asked.ok + asked.failed, failures + asked.failed
        total, estimated = _likelihood(attempts, failures, least_share, normal)
        if total > best:
            best, at, share = total, index, estimated
    if at < 0 and not any(before):
        return None
    last = seconds[at] if at >= 0 else Asked(0)
    if share >= FULL and last.first_ok >= 0 and 10 * last.ok > last.ok + last.failed:
        return last.second * 1000 + last.first_ok
    answered = (asked for asked in seconds[at + 1 :] if asked.first_ok >= 0 and asked.ok > 0)
    first = next(answered, None)
    return None if first is None else first.second * 1000 + first.first_ok


def _likelihood(attempts: int, failures: int, least: float, normal: float) -> tuple[float, float]:
    """Return the log-likelihood gain of the likeliest failure share (from ``least`` up), and that share.

    If records were lost, corrections may remove more than was counted; then there are no answers.
    """
    failures = max(failures, 0)
    attempts = max(attempts, failures)
    share = max(least, (failures + 0.5) / (attempts + 1))
    gain = failures * log(share / normal) + (attempts - failures) * log((1 - share) / (1 - normal))
    return gain, share


def slow_seconds(slots: Iterable[LinkSlot], slow_ms: int | None, *, latest: bool) -> list[Asked]:
    """Return the answers by second of request, with the slow ones counted as failed.

    A slot holds how many answers were slow, and the times of all requests, but not which of them were slow.
    Answers to requests made too long before the slot are certainly slow; of the others the latest requests
    are assumed to be slow (``latest``, to find where slowness begins) or the earliest (to find where it
    ends).
    """
    seconds: dict[int, Asked] = {}
    for slot in slots:
        left = slow_answers(slot.latency, slow_ms)
        groups = sorted((asked for asked in slot.asked if asked.ok > 0), key=_second, reverse=latest)
        certain = [g for g in groups if slow_ms is not None and slot.start_ms - _last_ms(g) > slow_ms]
        for group in certain + [g for g in groups if g not in certain]:
            slow = min(left, group.ok)
            left -= slow
            seen = seconds.setdefault(group.second, Asked(group.second))
            first = [group.first_ok] if group.first_ok >= 0 else []
            seen.ok += group.ok - slow
            seen.failed += slow
            if slow:
                seen.first_failed = sorted([*seen.first_failed, *first])[:1]
            elif first:
                seen.first_ok = first[0] if seen.first_ok < 0 else min(first[0], seen.first_ok)
    return [seconds[second] for second in sorted(seconds)]


def _second(asked: Asked) -> int:
    return asked.second


def _last_ms(asked: Asked) -> int:
    return asked.second * 1000 + 999
