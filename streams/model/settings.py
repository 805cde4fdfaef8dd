"""The settings that shape results. They travel with results, and equal settings give equal bytes."""

from msgspec import Struct

SLOT_MS = 5_000

EVIDENCE_KEPT_MS = 90 * 86_400_000
"""How long the broker keeps a lookup at least, as `schemas/npd.lookups/topic.yaml` declares it."""


class MeasureSettings(Struct, frozen=True):
    """How `measure` reads a log; all in milliseconds of event time.

    ``generation_ms`` bounds memory: event ids, open and expired requests are remembered for between one
    and two generations of watermark progress, and a restart re-reads at most three.
    """

    slot_ms: int = SLOT_MS
    out_of_orderness_ms: int = 5_000
    lookup_timeout_ms: int = 30_000
    max_clock_skew_ms: int = 60_000
    generation_ms: int = 1_200_000
    earliest_event_ms: int = 946_684_800_000
    max_links: int = 1_000
    max_value_bytes: int = 262_144


class DetectSettings(Struct, frozen=True):
    """How `detect` keeps history: a record later than ``allowed_lateness_ms`` no longer corrects.

    A rule takes effect no earlier than ``rule_lead_ms`` after the broker took it, so that every worker knows
    it by then: more than events may be ahead of the broker's clock.
    """

    slot_ms: int = SLOT_MS
    window_ms: int = 60_000
    allowed_lateness_ms: int = 6 * 3_600_000
    lookup_timeout_ms: int = 30_000
    out_of_orderness_ms: int = 5_000
    rule_lead_ms: int = 120_000
