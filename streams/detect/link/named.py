"""The lookups of a spell by service and agency, and which of these suffered."""

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from streams.detect.link.minute import MINUTE_MS
from streams.model.measurement import Part
from streams.model.outage import Confined

Tally = dict[str, tuple[int, int]]
"""Failures and answers by name."""


class Named(Struct, array_like=True):
    """What a spell's minutes say by name. Answers are counted as far as `measure` tells them."""

    services: Tally = field(default_factory=dict)
    agencies: Tally = field(default_factory=dict)

    def add(
        self, services: Mapping[str, Part], agencies: Mapping[str, Part], from_ms: int, to_ms: int
    ) -> None:
        """Add what a minute says of lookups asked in ``[from_ms, to_ms)`` after its start."""
        _add(self.services, services, from_ms, to_ms)
        _add(self.agencies, agencies, from_ms, to_ms)

    def copy(self) -> "Named":
        """Return a copy that may be added to."""
        return Named(dict(self.services), dict(self.agencies))

    def join(self, other: "Named") -> None:
        """Add what other minutes say."""
        for tally, more in ((self.services, other.services), (self.agencies, other.agencies)):
            for name, (failed, ok) in more.items():
                before = tally.get(name, (0, 0))
                tally[name] = before[0] + failed, before[1] + ok

    def confined(self, services: Iterable[str], agencies: Iterable[str]) -> Confined:
        """Return what trouble is confined to, with the lookups inside."""
        of_services, of_agencies = sorted(services), sorted(agencies)
        inside = [self.services.get(name, (0, 0)) for name in of_services]
        inside += [self.agencies.get(name, (0, 0)) for name in of_agencies]
        failures = sum(failed for failed, _ in inside)
        return Confined(of_services, of_agencies, failures + sum(ok for _, ok in inside), failures)


def suffering(tally: Tally, *, down: bool) -> list[str]:
    """Return the names in which trouble lies, by name.

    Where a link is down that is all that failed. In a degradation some fail only as they do now and then, so
    a name needs half as many failures as a failing name has on average. Only failures count: how many answers
    are told depends on the order in which records were read.

    >>> tally = {"birth": (40, 2), "death": (1, 2), "land": (3, 6)}
    >>> suffering(tally, down=False), suffering(tally, down=True)
    (['birth'], ['birth', 'death', 'land'])
    """
    failed = {name: failures for name, (failures, _) in tally.items() if failures > 0}
    if down or not failed:
        return sorted(failed)
    least = sum(failed.values()) / len(failed) / 2
    return sorted(name for name, failures in failed.items() if failures >= least)


def _add(tally: Tally, parts: Mapping[str, Part], from_ms: int, to_ms: int) -> None:
    for name, part in parts.items():
        failed, ok = _failed_within(part, from_ms, to_ms), _answered_within(part, from_ms, to_ms)
        if failed or ok:
            before = tally.get(name, (0, 0))
            tally[name] = before[0] + failed, before[1] + ok


def _failed_within(part: Part, from_ms: int, to_ms: int) -> int:
    """Return how many of a minute's failures were asked in ``[from_ms, to_ms)`` after its start.

    The earliest times are known; where more failed, the others were asked after these.
    """
    times = part.first_failed
    failed = part.failed - sum(ms < from_ms for ms in times)
    if len(times) >= part.failed:
        failed -= sum(ms >= to_ms for ms in times)
    elif times and times[0] >= to_ms:
        failed = 0
    return max(failed, 0)


def _answered_within(part: Part, from_ms: int, to_ms: int) -> int:
    """Return how many of a minute's answers were asked within; those of which that is not sure are not."""
    if part.first_ok is None or part.ok <= 0 or not from_ms <= part.first_ok < to_ms:
        return 0
    return part.ok if to_ms >= MINUTE_MS else 1
