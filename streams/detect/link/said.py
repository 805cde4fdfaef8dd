"""Makes a minute's window: its counts and latency, and the time spent in each state."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from streams.detect.link.facts import add_counts
from streams.detect.link.minute import MINUTE_MS, Minute
from streams.model.intervals import Intervals, intersection, length_ms
from streams.model.measurement import Histogram
from streams.model.outage import Kind, LinkStateName, RaisedNormal, Window
from streams.model.sketch import bucket_value_ms, quantiles_ms

Trouble = tuple[int, int | None, Kind]
"""Start, end (None: open) and kind of an outage."""

STATE_OF: Final[dict[Kind, LinkStateName]] = {"down": "DOWN", "degraded": "DEGRADED"}
STATES: Final[tuple[LinkStateName, ...]] = ("DOWN", "DEGRADED", "UNKNOWN", "UP")
"""The first of these wins if a minute was in two states for equally long."""
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

_pack: Final = msgspec.msgpack.Encoder().encode


def digest_of(fresh: Window) -> bytes:
    """Return the digest of a window's first revision."""
    return blake2b(_pack(fresh), digest_size=8).digest()


@lru_cache(maxsize=1024)
def digest_of_times(
    unknown_ms: int, degraded_ms: int, down_ms: int, raised: RaisedNormal | UnsetType
) -> bytes:
    """Return the digest of a window without facts; cached, as most of these are the same."""
    told = () if raised is UNSET else (raised,)
    return blake2b(_pack((unknown_ms, degraded_ms, down_ms, *told)), digest_size=8).digest()


def state_ms(known: Intervals, trouble: Sequence[Trouble], start_ms: int, end_ms: int) -> dict[str, int]:
    """Return how long a link was in each state in ``[start_ms, end_ms)``, in milliseconds."""
    seen_ms = end_ms - start_ms if known == [(start_ms, end_ms)] else length_ms(known)
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
    state = "UP" if spent["UP"] == MINUTE_MS else max(STATES, key=spent.__getitem__)
    if minute is None:
        return Window(link, start_ms, end_ms, 1, state, spent, 0, 0, 0, {}, None, None, 0)
    requested = late = 0
    outcomes: dict[str, int] = {}
    for slot in minute.read():
        requested += slot.requested
        late += slot.late
        if slot.outcomes:
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
        outcomes=outcomes if len(outcomes) < 2 else {name: outcomes[name] for name in sorted(outcomes)},
        latency_ms=_quantiles(latency),
        provider_latency_ms=_quantiles(provider),
        late=late,
    )


def _quantiles(histogram: Histogram) -> dict[str, float] | None:
    if not histogram:
        return None
    if len(histogram) == 1:
        ((bucket, count),) = histogram.items()
        return dict.fromkeys(_SHARES, bucket_value_ms(bucket)) if count > 0 else None
    found = quantiles_ms(histogram, _SHARES.values())
    return None if found is None else dict(zip(_SHARES, found, strict=True))
