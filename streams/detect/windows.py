"""The one-minute window of a link: its counts, its latency, and for how long it was in which state.

A slot in which an outcome became known vouches for the time from its start until its evidence is too old,
or until silence has lasted beyond chance; the rest is UNKNOWN, and so is what no observer saw. Known time
inside an outage is that outage's, the rest is UP.
"""

from collections.abc import Sequence
from typing import Final

from streams.detect.facts import add_counts
from streams.detect.minute import Minute
from streams.model.intervals import Intervals, intersection, length_ms
from streams.model.measurement import Histogram
from streams.model.outage import Kind, LinkStateName, Window
from streams.model.sketch import quantiles_ms

Trouble = tuple[int, int | None, Kind]
"""Start, end (None: lasting) and kind of an outage."""

STATE_OF: Final[dict[Kind, LinkStateName]] = {"down": "DOWN", "degraded": "DEGRADED"}
STATES: Final[tuple[LinkStateName, ...]] = ("DOWN", "DEGRADED", "UNKNOWN", "UP")
"""In this order where a minute was in two of them equally long."""
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def state_ms(known: Intervals, trouble: Sequence[Trouble], start_ms: int, end_ms: int) -> dict[str, int]:
    """Return for how long a link was in each state in ``[start_ms, end_ms)``, in milliseconds."""
    seen_ms = length_ms(known)
    spent = {"UNKNOWN": end_ms - start_ms - seen_ms, "UP": seen_ms, "DEGRADED": 0, "DOWN": 0}
    for begins, ends, kind in trouble:
        until_ms = end_ms if ends is None else min(ends, end_ms)
        if begins < until_ms and start_ms < until_ms:
            hit = length_ms(intersection(known, [(max(begins, start_ms), until_ms)]))
            spent[STATE_OF[kind]] += hit
            spent["UP"] -= hit
    return spent


def window(link: str, start_ms: int, end_ms: int, spent: dict[str, int], minute: Minute | None) -> Window:
    """Return the first revision of a window from the minute's facts."""
    state = max(STATES, key=spent.__getitem__)
    if minute is None:
        return Window(link, start_ms, end_ms, 1, state, spent, 0, 0, 0, {}, None, None, 0)
    requested = late = 0
    outcomes: dict[str, int] = {}
    for slot in minute.read():
        requested += slot.requested
        late += slot.late
        add_counts(outcomes, slot.outcomes)
    latency, provider = minute.latencies()
    return Window(
        link=link,
        start_ms=start_ms,
        end_ms=end_ms,
        revision=1,
        state=state,
        state_ms=spent,
        requested=requested,
        attempts=minute.attempts,
        failures=minute.failures,
        outcomes={name: outcomes[name] for name in sorted(outcomes)},
        latency_ms=_quantiles(latency),
        provider_latency_ms=_quantiles(provider),
        late=late,
    )


def _quantiles(histogram: Histogram) -> dict[str, float] | None:
    found = quantiles_ms(histogram, _SHARES.values()) if histogram else None
    return None if found is None else dict(zip(_SHARES, found, strict=True))
