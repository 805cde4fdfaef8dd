"""Ids as people read and type them: their beginnings, as long as each still means one id."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

SHORTEST: Final = 10
"""Characters of a short id at least: of `o-97e841d38d28e6a6` it leaves `o-97e841d3`."""
CANDIDATES_NAMED: Final = 10


class UnclearIdError(LookupError):
    """What was typed is the beginning of no id, or of several; the message names those."""


def short_length(ids: Iterable[str], shortest: int = SHORTEST) -> int:
    """Return how many characters tell all ids apart, at least ``shortest``.

    >>> short_length(["o-97e841d38d28e6a6", "o-97e841d3ff01aa20"])
    11
    """
    ordered = sorted(set(ids))
    alike = (_alike(one, following) for one, following in pairwise(ordered))
    return max(shortest, 1 + max(alike, default=0))


def meant(typed: str, ids: Sequence[str], what: str, see: str) -> str:
    """Return the id that was typed, whole or by its beginning.

    ``ids`` need hold no other than those that begin so; ``see`` names the command that lists all.

    Raises:
        UnclearIdError: it is the beginning of none, or of several.
    """
    if typed in ids:
        return typed
    found = sorted(one for one in ids if typed and one.startswith(typed))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnclearIdError(f"there is no {what} {typed!r}; `{see}` lists them")
    named = ", ".join(found[:CANDIDATES_NAMED])
    more = len(found) - CANDIDATES_NAMED
    raise UnclearIdError(
        f"more than one {what} begins with {typed!r}: {named}{f' and {more} more' if more > 0 else ''}"
    )


def _alike(one: str, other: str) -> int:
    """Return how many characters two ids share at their beginnings."""
    shared = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(shared, min(len(one), len(other)))
