"""Records that a meter refuses, and the reasons."""

from typing import Final, NamedTuple

from streams.measure.decode import control_in, reason_for
from streams.model.digest import Entry
from streams.model.events import LookupEvent, SubmissionEvent
from streams.model.settings import MeasureSettings

ABSURD_AHEAD_MS: Final = 366 * 86_400_000
"""A clock may be wrong by hours; a time more than a year ahead is not a clock error."""


class DeadLetter(NamedTuple):
    """A record that was refused: where it stands, why, and its bytes."""

    offset: int
    logged_at_ms: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes


def implausible(
    event: LookupEvent | SubmissionEvent, entry: Entry, settings: MeasureSettings, skew_ms: int
) -> tuple[str, str]:
    """Return reason and detail for a record that decodes but is not plausible.

    ``skew_ms`` is how far an event may currently be ahead of the broker's time.
    """
    _, logged_at_ms, _, value = entry
    if len(value) > settings.max_value_bytes:
        return reason_for(value, None, settings.max_value_bytes)
    if logged_at_ms < settings.earliest_event_ms <= event.occurred_at_ms:
        return "absurd_time", f"logged_at_ms, the broker's time, is {logged_at_ms}"
    ahead_ms = event.occurred_at_ms - logged_at_ms
    if event.occurred_at_ms < settings.earliest_event_ms or ahead_ms > ABSURD_AHEAD_MS:
        return "absurd_time", f"occurred_at_ms is {event.occurred_at_ms}"
    if ahead_ms > skew_ms:
        return "clock_skew", f"occurred_at_ms is {ahead_ms} ms ahead of the broker's time"
    if name := control_in(event):
        return "control_character", f"`{name}` holds a control character"
    return "key_mismatch", "the record's key is not the event's dossier_id"
