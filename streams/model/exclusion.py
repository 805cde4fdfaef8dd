"""Exclusions: time that does not count, announced before or added after the fact, never deleted.

Adding makes revision 1; withdrawing makes the next revision, which says so. Each revision says who made
it, why and when, and stays.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, convert, structs

from streams.model.events import Identifier
from streams.model.intervals import Intervals, union

EVERY_LINK: Final = "*"

ExclusionKind = Literal["maintenance", "exclusion"]
"""Maintenance was announced; an exclusion was decided afterwards."""
Words = Annotated[str, Meta(min_length=1, max_length=2000)]


class Exclusion(Struct, frozen=True):
    """One revision of one exclusion of ``[start_ms, end_ms)`` on a link, or on every link (``*``).

    ``author`` names an office or an account, never a citizen. ``recorded_at_ms`` is when this revision was
    made.
    """

    exclusion_id: Identifier
    revision: Annotated[int, Meta(ge=1)]
    link: Identifier
    start_ms: int
    end_ms: int
    kind: ExclusionKind
    author: Identifier
    reason: Words
    recorded_at_ms: int
    withdrawn: bool

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"`end_ms` {self.end_ms} is not after `start_ms` {self.start_ms}")

    def touches(self, link: str) -> bool:
        """Say whether the exclusion concerns a link."""
        return self.link in (EVERY_LINK, link)


def new_exclusion(
    link: str,
    start_ms: int,
    end_ms: int,
    *,
    kind: ExclusionKind,
    author: str,
    reason: str,
    recorded_at_ms: int,
) -> Exclusion:
    """Return revision 1 of an exclusion; its id is a digest of what it says, so saying it twice is once."""
    said = "\0".join((link, str(start_ms), str(end_ms), kind, author, reason, str(recorded_at_ms)))
    exclusion_id = "x-" + hashlib.sha256(said.encode()).hexdigest()[:16]
    return Exclusion(exclusion_id, 1, link, start_ms, end_ms, kind, author, reason, recorded_at_ms, False)


def withdraw(exclusion: Exclusion, author: str, reason: str, recorded_at_ms: int) -> Exclusion:
    """Return the revision that takes an exclusion back; raise ValueError if that was done already."""
    if exclusion.withdrawn:
        raise ValueError(f"exclusion {exclusion.exclusion_id} is withdrawn already, by {exclusion.author}")
    return structs.replace(
        exclusion,
        revision=exclusion.revision + 1,
        author=author,
        reason=reason,
        recorded_at_ms=recorded_at_ms,
        withdrawn=True,
    )


def latest(revisions: Iterable[Exclusion], as_of_ms: int | None = None) -> list[Exclusion]:
    """Return the last revision of each exclusion recorded at or before ``as_of_ms``, by start and id."""
    last: dict[str, Exclusion] = {}
    for revision in revisions:
        if as_of_ms is not None and revision.recorded_at_ms > as_of_ms:
            continue
        known = last.get(revision.exclusion_id)
        if known is None or known.revision < revision.revision:
            last[revision.exclusion_id] = revision
    return sorted(last.values(), key=lambda exclusion: (exclusion.start_ms, exclusion.exclusion_id))


def excluded_time(exclusions: Iterable[Exclusion], link: str) -> Intervals:
    """Return the time that active exclusions take from a link; overlapping ones take it once."""
    return union(
        (exclusion.start_ms, exclusion.end_ms)
        for exclusion in exclusions
        if not exclusion.withdrawn and exclusion.touches(link)
    )


def checked(exclusion: Exclusion) -> Exclusion:
    """Return an exclusion made by a person's input; raise ValidationError naming the field that is wrong."""
    return convert(structs.asdict(exclusion), Exclusion)
