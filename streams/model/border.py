"""Bounds on decoded records, checked once, where a record enters.

Decoders check types. Here are the bounds that they cannot check: numbers must fit into a database and a
double, times into a calendar, and text must be safe for a database and a terminal.
"""

import re
from typing import Any, Final

import msgspec

from streams.model.times import LATEST_MS

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that it cannot read: wrong in shape, no UTF-8, or nested too deep."""
MOST_NUMBER: Final = 1 << 53
_SUSPECT: Final = re.compile(rb"\\|\xc2[\x80-\x9f]|\x7f|[0-9]{14}|[0-9][eE]")
"""A JSON text that contains none of these passes every check here, which settles most records."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters except tab, line feed and carriage return, which a reason of several lines may hold."""
_INSTANTS: Final = re.compile(r"^(start|end|[a-z_]+_at|watermark|effective_from|[a-z_]*published)_ms$")


class OutOfBoundsError(ValueError):
    """A value that no stage would send; the message names its place and never quotes it."""


def check_bounds(raw: bytes, decoded: Any) -> None:
    """Raise `OutOfBoundsError` if a decoded record holds a value that cannot be stored or displayed."""
    if _SUSPECT.search(raw):
        _check("", msgspec.to_builtins(decoded))


def _check(name: str, value: Any) -> None:
    if isinstance(value, str):
        if _CONTROL.search(value):
            raise OutOfBoundsError(f"`{name}` holds a control character")
    elif isinstance(value, int | float):
        most = LATEST_MS if _INSTANTS.match(name) else MOST_NUMBER
        if not -MOST_NUMBER <= value <= most:
            raise OutOfBoundsError(f"`{name}` is out of range")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check(name, key)
            _check(key if isinstance(key, str) else name, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(name, inner)
