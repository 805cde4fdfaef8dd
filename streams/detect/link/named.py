"""The lookups of a spell by service and agency, and which of these were affected."""

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from streams.detect.link.minute import MINUTE_MS
from streams.model.measurement import Part
from streams.model.outage import Confined

Tally = dict[str, tuple[int, int]]
"""Failures and answers by name."""


class Named(Struct, array_like=True):
    """A spell's lookups by name. Only answers that `measure` reports by name are counted."""

    services: Tally = field(default_factory=dict)
    agencies: Tally = field(default_factory=dict)

    def add(
        self, services: Mapping[str, Part], agencies: Mapping[str, Part], from_ms: int, to_ms: int
    ) -> None:
        """Add a minute's lookups requested in ``[from_ms, to_ms)`` after its start."""
        _add(self.services, services, from_ms, to_ms)
        _add(self.agencies, agencies, from_ms, to_ms)

    def copy(self) -> "Named":
        """Return a copy that can be changed independently."""
        return Named(dict(self.services), dict(self.agencies))

    def join(self, other: "Named") -> None:
        """Add the lookups of other minutes."""
        for tally, more in ((self.services, other.services), (self.agencies, other.agencies)):
            for name, (failed, ok) in more.items():
                before = tally.get(name, (0, 0))
                tally[name] = before[0] + failed, before[1] + ok

    def confined(self, services: Iterable[str], agencies: Iterable[str]) -> Confined:
        """Return the names to which trouble is confined, with the counts of their lookups."""
        of_services, of_agencies = sorted(services), sorted(agencies)
        inside = [self.services.get(name, (0, 0)) for name in of_services]
        inside += [self.agencies.get(name, (0, 0)) for name in of_agencies]
        failures = sum(failed for failed, _ in inside)
        return Confined(of_services, of_agencies, failures + sum(ok for _, ok in inside), failures)


def suffering(tally: Tally, *, down: bool) -> list[str]:
    """Return the affected names, sorted.

    If a link is down these are all names with failures. In a degradation some names only have their normal
    failures, so a name needs at least half as many failures as the average failing name. Only failures count:
    how many answers are reported depends on the order in which records were read.

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
    """Return how many of a minute's failed lookups were requested in ``[from_ms, to_ms)`` after its start.

    Only the earliest times are known; any further failures were requested after these.
    """
    times = part.first_failed
    failed = part.failed - sum(ms < from_ms for ms in times)
    if len(times) >= part.failed:
        failed -= sum(ms >= to_ms for ms in times)
    elif times and times[0] >= to_ms:
        failed = 0
    return max(failed, 0)


def _answered_within(part: Part, from_ms: int, to_ms: int) -> int:
    """Return how many answered lookups were requested within; uncertain ones do not count."""
    if part.first_ok is None or part.ok <= 0 or not from_ms <= part.first_ok < to_ms:
        return 0
    return part.ok if to_ms >= MINUTE_MS else 1
