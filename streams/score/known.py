"""Availability over the time in which a link's state was known, the figure that auditors get.

An outage ends with the next successful request. Without requests at night it lasts until morning, but the
windows call the night UNKNOWN, which counts as neither up nor down (`streams.model.availability`). So the
ledger's figure is compared here with the truth over the same known time.
"""

from collections.abc import Iterable

from msgspec import Struct

from streams.model.intervals import clip, length_ms, union
from streams.model.outage import Window
from streams.score.truth import Truth


class KnownDowntime(Struct, frozen=True):
    """A link's downtime within its known time, in seconds, and the error of its availability."""

    link: str
    known_s: float
    true_s: float
    found_s: float

    @property
    def error_pp(self) -> float:
        """The error of the link's availability, in percentage points of the known time."""
        return 100 * abs(self.found_s - self.true_s) / self.known_s


def known_downtimes(windows: Iterable[Window], truth: Truth) -> list[KnownDowntime]:
    """Return each link's downtime according to its windows, and its true downtime in the same known time.

    ``windows`` may hold every revision, in any order: the last of each minute counts. A window does not say
    which part of its minute is unknown, so in a partly known minute the truth counts in proportion. Links
    without known time are left out.

    >>> from streams.score.truth import Fault
    >>> fault = Fault("f", "a", "down", True, "link", 0, 120_000, 9, 9, 9, first_failure_known_ms=0)
    >>> both = ({"DOWN": 60_000, "UNKNOWN": 0}, {"DOWN": 0, "UNKNOWN": 60_000})
    >>> told = [Window("a", at * 60_000, 60_000 * (at + 1), 1, "DOWN", spent, 0, 0, 0, {}, None, None)
    ...         for at, spent in enumerate(both)]
    >>> known_downtimes(told, Truth("s", 1, 1.0, "Asia/Ho_Chi_Minh", 0, 120_000, [], [fault]))
    [KnownDowntime(link='a', known_s=60.0, true_s=60.0, found_s=60.0)]
    """
    last: dict[tuple[str, int], Window] = {}
    for window in windows:
        key = window.link, window.start_ms
        if key not in last or window.revision > last[key].revision:
            last[key] = window
    spans: dict[str, list[tuple[int, int]]] = {}
    for fault in truth.faults:
        if fault.outage and fault.kind == "down":
            spans.setdefault(fault.link, []).append((fault.start_ms, fault.end_ms))
    down = {link: union(those) for link, those in spans.items()}
    sums: dict[str, list[float]] = {}
    for (link, _), window in last.items():
        minute_ms = window.end_ms - window.start_ms
        known_ms = minute_ms - window.state_ms["UNKNOWN"]
        true_ms = length_ms(clip(down.get(link, []), window.start_ms, window.end_ms)) * known_ms / minute_ms
        total = sums.setdefault(link, [0.0, 0.0, 0.0])
        for at, ms in enumerate((known_ms, true_ms, window.state_ms["DOWN"])):
            total[at] += ms / 1000
    return [KnownDowntime(link, *sums[link]) for link in sorted(sums) if sums[link][0] > 0]
