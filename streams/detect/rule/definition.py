"""The parameters by which a link is judged, as data with a version."""

from typing import Annotated, Final

from msgspec import Meta, Struct

Share = Annotated[float, Meta(gt=0, lt=1)]
Evidence = Annotated[float, Meta(gt=0, le=1000)]
Duration = Annotated[int, Meta(ge=0, le=86_400_000)]
LongDuration = Annotated[int, Meta(ge=86_400_000, le=31 * 86_400_000)]


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule, as data. Shares are of attempts, evidence in nats, times in milliseconds.

    ``docs/detection.md`` explains each field and the origin of its value.
    """

    version: Annotated[str, Meta(min_length=1, max_length=100)] = "cusum-1"
    false_outages_per_week: Annotated[float, Meta(gt=0, le=100)] = 0.02
    normal_failure_share: Share = 0.03
    worst_normal_share: Share = 0.15
    total_share: Share = 0.95
    half_share: Share = 0.5
    partial_share: Share = 0.12
    worse_share: Share = 0.6
    better_share: Share = 0.25
    slow_share: Share = 0.3
    slow_normal_share: Share = 0.03
    slow_factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    slow_floor_ms: Duration = 300
    recovery_evidence: Evidence = 10.0
    shift_evidence: Evidence = 12.0
    min_duration_ms: Duration = 10_000
    min_degraded_ms: Duration = 60_000
    min_recovery_ms: Duration = 10_000
    settle_ms: Duration = 60_000
    flap_gap_ms: Duration = 120_000
    evidence_ttl_ms: Duration = 300_000
    normal_after_ms: LongDuration = 604_800_000

    def __post_init__(self) -> None:
        for lesser, greater in _ORDERED:
            if not getattr(self, lesser) < getattr(self, greater):
                low, high = getattr(self, lesser), getattr(self, greater)
                raise ValueError(f"`{lesser}` {low:g} must be less than `{greater}` {high:g}")


_ORDERED: Final = (
    ("normal_failure_share", "partial_share"),
    ("partial_share", "half_share"),
    ("half_share", "total_share"),
    ("normal_failure_share", "worst_normal_share"),
    ("better_share", "worse_share"),
    ("slow_normal_share", "slow_share"),
)
"""A test distinguishes a lower share from a higher one, so they must differ."""
