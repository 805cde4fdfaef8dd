r"""Values as all imports treat them: normalised text, names of limited length, plausible times.

Numbers may be given as text, and a missing value as a word (`None`, `NULL`, `NaN`, `\N`, `-`). Errors name
the field of an unusable value, and never repeat the value itself.
"""

from hashlib import blake2b
from typing import Final

Scalar = str | int | float | bool | None

EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01
NOTHING: Final = frozenset({"", "none", "null", "nil", "nan", "nat", "na", "n/a", "undefined", "\\n", "-"})
LONGEST_NOTHING: Final = max(map(len, NOTHING))
UNKNOWN: Final = "unknown"


class RejectedRecordError(ValueError):
    """A record that cannot be used; the message says why and never repeats a value."""


def text_of(value: Scalar) -> str:
    """Return a value as text, empty if there is none.

    >>> text_of(" a "), text_of(100.0), text_of("NULL")
    ('a', '100', '')
    """
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str) and len(value) > LONGEST_NOTHING and value.isalnum():
        return value  # nothing to change, as with most ids
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else str(value)
    if not text.isprintable():  # control characters are refused in names
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = text.strip()
    return "" if text.lower() in NOTHING else text


def fit(name: str, length: int) -> str:
    """Shorten a long name, with a digest at the end to keep it distinct; an empty one becomes `unknown`.

    >>> fit("", 200), fit("a" * 30, 20)
    ('unknown', 'aaaaaaaaaaa~2006c2b0')
    """
    if len(name) <= length:
        return name or UNKNOWN
    return f"{name[: length - 9]}~{blake2b(name.encode(), digest_size=4).hexdigest()}"
