"""The one-minute window of a link: its counts, its latency, and for how long it was in which state."""

from collections.abc import Iterable, Sequence

from streams.detect.rule import Rule
from streams.detect.sight import Sight
from streams.model.measurement import Histogram, LinkSlot
from streams.model.outage import Kind, LinkStateName, Window
from streams.model.sketch import quantiles_ms

Trouble = tuple[int, int | None, Kind]
"""Start, end (None: lasting) and kind of a published outage."""

STATE_OF: dict[Kind, LinkStateName] = {"down": "DOWN", "degraded": "DEGRADED"}
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def state_ms(
    start_ms: int,
    end_ms: int,
    slot_ms: int,
    evident: Iterable[int],
    sight: Sight,
    trouble: Sequence[Trouble],
    rule: Rule,
) -> dict[str, int]:
    """Return for how long the link was in each state in ``[start_ms, end_ms)``, in milliseconds.

    ``evident`` are the starts of the slots in which outcomes became known, from ``rule.evidence_ttl_ms``
    before ``start_ms`` on. A slot without evidence for that long, or without a living observer, is unknown.
    """
    spent = {"UNKNOWN": 0, "UP": 0, "DEGRADED": 0, "DOWN": 0}
    known = sorted(evident)
    for slot in range(start_ms, end_ms, slot_ms):
        recent = [at for at in known if slot - rule.evidence_ttl_ms < at + slot_ms and at <= slot]
        seen = bool(recent) and (slot in known or sight.covers(slot, slot + slot_ms))
        if not seen:
            spent["UNKNOWN"] += slot_ms
            continue
        rest = slot_ms
        for begins, ends, kind in trouble:
            hit = min(slot + slot_ms, ends if ends is not None else slot + slot_ms) - max(slot, begins)
            if hit > 0:
                spent[STATE_OF[kind]] += hit
                rest -= hit
        spent["UP"] += rest
    return spent


def window(link: str, start_ms: int, end_ms: int, spent: dict[str, int], slots: Iterable[LinkSlot]) -> Window:
    """Return the first revision of a window from the minute's slots."""
    requested = attempts = failures = late = 0
    outcomes: dict[str, int] = {}
    latency: Histogram = {}
    provider: Histogram = {}
    for slot in slots:
        requested += slot.requested
        late += slot.late
        for asked in slot.asked:
            attempts += asked.ok + asked.failed
            failures += asked.failed
        for outcome, count in slot.outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
        for into, more in ((latency, slot.latency), (provider, slot.provider_latency)):
            for bucket, count in more.items():
                into[bucket] = into.get(bucket, 0) + count
    order: tuple[LinkStateName, ...] = ("DOWN", "DEGRADED", "UNKNOWN", "UP")
    return Window(
        link=link,
        start_ms=start_ms,
        end_ms=end_ms,
        revision=1,
        state=max(order, key=lambda name: spent[name]),
        state_ms=spent,
        requested=requested,
        attempts=attempts,
        failures=failures,
        outcomes={name: outcomes[name] for name in sorted(outcomes) if outcomes[name]},
        latency_ms=_quantiles(latency),
        provider_latency_ms=_quantiles(provider),
        late=late,
    )


def _quantiles(histogram: Histogram) -> dict[str, float] | None:
    found = quantiles_ms(histogram, _SHARES.values())
    return None if found is None else dict(zip(_SHARES, found, strict=True))
