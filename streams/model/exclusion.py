"""Exclusions: time that does not count, announced before or decided afterwards, never deleted.

Each revision says who made it, why and when, and stays. A revision proposes a time, approves the time that
was proposed, or withdraws it. The last revision holds:

    announced        recorded before its time began: it counts at once
    after the fact   recorded later: by default it counts once a second person has approved it

`rulings` derives from the revisions what was in force at a moment; nothing else decides what is excluded.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, convert, structs

from streams.model.events import Identifier
from streams.model.intervals import Interval, Intervals, union

EVERY_LINK: Final = "*"

ExclusionKind = Literal["maintenance", "exclusion"]
"""What the author calls it; whether it was announced follows from its times alone."""
ExclusionStatus = Literal["active", "pending", "withdrawn"]
Fault = Literal["withdrawn", "announced", "approved", "own"]
"""Why an exclusion cannot be approved or withdrawn."""
Words = Annotated[str, Meta(min_length=1, max_length=2000)]


class Exclusion(Struct, frozen=True):
    """One revision of one exclusion of ``[start_ms, end_ms)`` on a link, or on every link (``*``).

    ``author`` names an office or an account, never a citizen. ``recorded_at_ms`` is when this revision was
    made. ``approved`` says that this revision approves the time proposed before it.
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
    approved: bool = False

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"`end_ms` {self.end_ms} is not after `start_ms` {self.start_ms}")
        if self.approved and self.withdrawn:
            raise ValueError("a revision cannot approve and withdraw at once")

    def touches(self, link: str) -> bool:
        """Return whether the exclusion concerns a link."""
        return self.link in (EVERY_LINK, link)

    def excludes_the_same(self, other: "Exclusion") -> bool:
        """Return whether two revisions mean the same link and time."""
        return (self.link, self.start_ms, self.end_ms) == (other.link, other.start_ms, other.end_ms)


class Ruling(Struct, frozen=True):
    """The state of an exclusion at a moment.

    ``last`` is its last revision by then, ``proposed`` the revision that set the time, ``approved_by`` the
    second person who approved that time, None without one.
    """

    last: Exclusion
    proposed: Exclusion
    approved_by: str | None

    @property
    def after_the_fact(self) -> bool:
        """Whether the time had begun when it was recorded."""
        return self.proposed.recorded_at_ms > self.proposed.start_ms

    def status(self, *, second_person: bool) -> ExclusionStatus:
        """Return whether it counts (``active``), waits for a second person, or was withdrawn."""
        if self.last.withdrawn:
            return "withdrawn"
        waits = second_person and self.after_the_fact and self.approved_by is None
        return "pending" if waits else "active"


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
    """Return revision 1 of an exclusion; its id is a digest of its content, so a repeated one is the same."""
    said = "\0".join((link, str(start_ms), str(end_ms), kind, author, reason, str(recorded_at_ms)))
    exclusion_id = "x-" + hashlib.sha256(said.encode()).hexdigest()[:16]
    return Exclusion(exclusion_id, 1, link, start_ms, end_ms, kind, author, reason, recorded_at_ms, False)


class JudgementError(ValueError):
    """A revision that cannot be made; ``fault`` says why, ``by`` is the author of the one preventing it."""

    def __init__(self, fault: Fault, message: str, by: str) -> None:
        self.fault: Fault = fault
        self.by = by
        super().__init__(message)


def withdraw(ruling: Ruling, author: str, reason: str, recorded_at_ms: int) -> Exclusion:
    """Return the revision that withdraws an exclusion. Raises `JudgementError` if it is already withdrawn."""
    if ruling.last.withdrawn:
        by = ruling.last.author
        raise JudgementError(
            "withdrawn", f"exclusion {ruling.last.exclusion_id} is withdrawn already, by {by}", by
        )
    return _next(ruling, author, reason, recorded_at_ms, withdrawn=True)


def approve(ruling: Ruling, author: str, reason: str, recorded_at_ms: int) -> Exclusion:
    """Return the revision by which a second person approves an exclusion.

    Raise `JudgementError` if it is withdrawn, approved already, needs no approval, or the author proposed it.
    """
    name, by = ruling.last.exclusion_id, ruling.proposed.author
    if ruling.last.withdrawn:
        last = ruling.last.author
        raise JudgementError("withdrawn", f"exclusion {name} is withdrawn, by {last}", last)
    if not ruling.after_the_fact:
        message = f"exclusion {name} was announced before it began: it needs no approval"
        raise JudgementError("announced", message, by)
    if ruling.approved_by is not None:
        second = ruling.approved_by
        raise JudgementError("approved", f"exclusion {name} is approved already, by {second}", second)
    if author == by:
        message = f"exclusion {name} was proposed by {by}: a second person must approve it"
        raise JudgementError("own", message, by)
    return _next(ruling, author, reason, recorded_at_ms, approved=True)


def _next(
    ruling: Ruling,
    author: str,
    reason: str,
    recorded_at_ms: int,
    *,
    withdrawn: bool = False,
    approved: bool = False,
) -> Exclusion:
    return structs.replace(
        ruling.last,
        revision=ruling.last.revision + 1,
        author=author,
        reason=reason,
        recorded_at_ms=recorded_at_ms,
        withdrawn=withdrawn,
        approved=approved,
    )


def rulings(revisions: Iterable[Exclusion], as_of_ms: int | None = None) -> list[Ruling]:
    """Return the state of each exclusion at ``as_of_ms`` (None: now), by start and id."""
    by_id: dict[str, list[Exclusion]] = {}
    for revision in revisions:
        if as_of_ms is None or revision.recorded_at_ms <= as_of_ms:
            by_id.setdefault(revision.exclusion_id, []).append(revision)
    found = [_ruling(sorted(told, key=lambda one: one.revision)) for told in by_id.values()]
    return sorted(found, key=lambda ruling: (ruling.last.start_ms, ruling.last.exclusion_id))


def _ruling(told: list[Exclusion]) -> Ruling:
    proposed = told[0]
    approved_by = None
    for revision in told:
        if revision.withdrawn:
            continue
        if not revision.approved or not revision.excludes_the_same(proposed):
            proposed, approved_by = revision, None
        elif revision.author != proposed.author:
            approved_by = revision.author
    return Ruling(told[-1], proposed, approved_by)


def excluded_time(found: Iterable[Ruling], link: str, *, second_person: bool) -> Intervals:
    """Return the time that active exclusions remove from a link; overlaps count once."""
    return excluded_times(found, [link], second_person=second_person)[link]


def excluded_times(
    found: Iterable[Ruling], links: Iterable[str], *, second_person: bool
) -> Mapping[str, Intervals]:
    """Return the time that active exclusions remove from each link; overlaps count once."""
    by_link: dict[str, list[Interval]] = {}
    for ruling in found:
        if ruling.status(second_person=second_person) == "active":
            by_link.setdefault(ruling.last.link, []).append((ruling.last.start_ms, ruling.last.end_ms))
    everywhere = by_link.get(EVERY_LINK, [])
    shared = union(everywhere)
    return {
        link: union([*everywhere, *by_link[link]]) if link in by_link and link != EVERY_LINK else shared
        for link in links
    }


def checked(exclusion: Exclusion) -> Exclusion:
    """Validate an exclusion made from a person's input; raise ValidationError naming the wrong field."""
    return convert(structs.asdict(exclusion), Exclusion)
