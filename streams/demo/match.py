"""Pairs found outages with true ones, to show which were found, how precisely, and which were missed."""

from collections.abc import Iterable
from typing import NamedTuple

from streams.model.outage import Outage
from streams.simulate.truth import TrueFault


class Match(NamedTuple):
    """A true fault and the outage found for it; one of them may be missing."""

    fault: TrueFault | None
    outage: Outage | None

    @property
    def start_error_seconds(self) -> float | None:
        """Found start minus true start."""
        if self.fault is None or self.outage is None:
            return None
        return (self.outage.start_ms - self.fault.start_ms) / 1000

    @property
    def end_error_seconds(self) -> float | None:
        """Found end minus true end."""
        if self.fault is None or self.outage is None or self.outage.end_ms is None:
            return None
        return (self.outage.end_ms - self.fault.end_ms) / 1000


def match_up(faults: Iterable[TrueFault], outages: Iterable[Outage], until_ms: int) -> list[Match]:
    """Pair each true outage with the found one of its link that overlaps it most, in order of start.

    Found outages without a true one are returned as matches without a fault.
    """
    left = sorted(outages, key=lambda outage: outage.start_ms)
    matches = []
    for fault in sorted((fault for fault in faults if fault.outage), key=lambda fault: fault.start_ms):
        best = max(left, key=lambda outage: _overlap(fault, outage, until_ms), default=None)
        if best is None or _overlap(fault, best, until_ms) <= 0:
            matches.append(Match(fault, None))
        else:
            left.remove(best)
            matches.append(Match(fault, best))
    return [*matches, *(Match(None, outage) for outage in left)]


def _overlap(fault: TrueFault, outage: Outage, until_ms: int) -> int:
    if fault.link != outage.link:
        return 0
    end_ms = until_ms if outage.end_ms is None else outage.end_ms
    return min(fault.end_ms, end_ms) - max(fault.start_ms, outage.start_ms)
