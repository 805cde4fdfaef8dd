"""Short ids for people to read and type: beginnings of ids that are long enough to be unique."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

SHORTEST: Final = 10
"""The least length of a short id: `o-97e841d38d28e6a6` becomes `o-97e841d3`."""
CANDIDATES_NAMED: Final = 10


class UnclearIdError(LookupError):
    """A typed text is the beginning of no id, or of several, which the message names."""


def short_length(ids: Iterable[str], shortest: int = SHORTEST) -> int:
    """Return how many first characters distinguish all ids, at least ``shortest``.

    >>> short_length(["o-97e841d38d28e6a6", "o-97e841d3ff01aa20"])
    11
    """
    ordered = sorted(set(ids))
    alike = (_alike(one, following) for one, following in pairwise(ordered))
    return max(shortest, 1 + max(alike, default=0))


def meant(typed: str, ids: Sequence[str], what: str, see: str) -> str:
    """Return the id that was typed, in full or by its beginning.

    ``ids`` must contain at least all ids that begin with ``typed``; ``see`` is the command that lists all
    ids.

    Raises:
        UnclearIdError: it is the beginning of no id, or of several.
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
    """Return how many first characters two ids have in common."""
    shared = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(shared, min(len(one), len(other)))
