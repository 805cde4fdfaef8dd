"""Regular expressions that a map contains."""

from re import Pattern, error
from re import compile as compile_pattern


class PatternError(ValueError):
    """Text that is not a valid regular expression, or nests too deep to be compiled."""


def compiled(text: str) -> Pattern[str]:
    """Return a compiled pattern.

    >>> compiled("(")
    Traceback (most recent call last):
    streams.ingest.mapping.patterns.PatternError: missing ), unterminated subpattern at position 0
    >>> compiled("(" * 5_000 + ")" * 5_000)
    Traceback (most recent call last):
    streams.ingest.mapping.patterns.PatternError: it nests too deep

    Raises:
        PatternError: the text is no pattern that can be compiled.
    """
    try:
        return compile_pattern(text)
    except error as reason:
        raise PatternError(str(reason)) from None
    except (RecursionError, OverflowError):
        raise PatternError("it nests too deep") from None
