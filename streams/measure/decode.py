"""Decode bytes into events, or say why that fails. Every reason is one of a closed set."""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from streams.model import events
from streams.model.events import LookupEvent, SubmissionEvent
from streams.model.topics import LOOKUPS, SUBMISSIONS

REASONS: Final = (
    "empty",
    "too_large",
    "not_json",
    "not_utf8",
    "wrong_shape",
    "absurd_time",
    "clock_skew",
    "key_mismatch",
    "too_many_links",
    "control_character",
)
"""Why a record goes to ``pipeline.dead_letters``."""

CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
"""The control characters of ASCII and of Latin-1. Within JSON they are escaped, or begin with the byte C2."""

Decoder = Callable[[bytes], LookupEvent | SubmissionEvent]

DECODERS: Final[dict[str, Decoder]] = {
    LOOKUPS: events.lookup_decoder.decode,
    SUBMISSIONS: events.submission_decoder.decode,
}


def reason_for(value: bytes | None, error: Exception | None, max_bytes: int) -> tuple[str, str]:
    """Return reason and detail for a value that did not decode; the detail never quotes the value."""
    if not value:
        return "empty", "the record has no value"
    if len(value) > max_bytes:
        return "too_large", f"{len(value)} bytes; at most {max_bytes} are accepted"
    if isinstance(error, RecursionError):
        return "not_json", "nested too deep"
    if isinstance(error, msgspec.ValidationError):
        return "wrong_shape", str(error)
    if isinstance(error, UnicodeDecodeError):
        return "not_utf8", f"invalid UTF-8 at byte {error.start}"
    return "not_json", "not a JSON object" if error is None else str(error)


def control_in(event: LookupEvent | SubmissionEvent) -> str | None:
    """Return the field of an event that holds a control character, None if there is none.

    Names reach terminals, logs and databases, where such characters move cursors, end lines or are refused.
    """
    for name in event.__struct_fields__:
        value = getattr(event, name)
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str) and CONTROL.search(text):
                return name
    return None
