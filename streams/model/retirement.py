"""Retirements: the moment from which a link is out of service, with author and reason.

A link begins with its first evidence. It ends when it is retired: time from then on is not service time, so
it is never unknown and silence raises no alert. Each revision of a link's retirement is kept; the last one
applies, and a withdrawn retirement puts the link back into service.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct, convert, structs

from streams.model.events import Identifier
from streams.model.exclusion import Words


class Retirement(Struct, frozen=True):
    """One revision of the retirement of a link from ``from_ms`` on.

    ``author`` names an office or an account, never a citizen. ``recorded_at_ms`` is when this revision was
    made.
    """

    link: Identifier
    revision: Annotated[int, Meta(ge=1)]
    from_ms: int
    author: Identifier
    reason: Words
    recorded_at_ms: int
    withdrawn: bool = False


def retire(
    before: Retirement | None, link: str, from_ms: int, author: str, reason: str, recorded_at_ms: int
) -> Retirement:
    """Return the next revision, which retires a link from a moment on; ``before`` is the last one."""
    revision = 1 if before is None else before.revision + 1
    made = Retirement(link, revision, from_ms, author, reason, recorded_at_ms)
    return convert(structs.asdict(made), Retirement)


def put_back(before: Retirement | None, link: str, author: str, reason: str, at_ms: int) -> Retirement:
    """Return the revision that puts a link back into service; raise ValueError if it is not retired."""
    if before is None or before.withdrawn:
        raise ValueError(f"link {link!r} is not retired")
    made = structs.replace(
        before,
        revision=before.revision + 1,
        author=author,
        reason=reason,
        recorded_at_ms=at_ms,
        withdrawn=True,
    )
    return convert(structs.asdict(made), Retirement)


def last_retirements(revisions: Iterable[Retirement], as_of_ms: int | None = None) -> dict[str, Retirement]:
    """Return each link's last revision at ``as_of_ms`` (None: now), withdrawn ones too."""
    last: dict[str, Retirement] = {}
    for revision in revisions:
        if as_of_ms is not None and revision.recorded_at_ms > as_of_ms:
            continue
        known = last.get(revision.link)
        if known is None or known.revision < revision.revision:
            last[revision.link] = revision
    return last


class Service:
    """Until when links are in service, as known at a given time. `take` adds revisions as they come.

    A revision counts from ``lead_ms`` after the broker received it. A reader that has read the topic up to a
    time therefore knows every revision that counts until ``lead_ms`` after that time.
    """

    def __init__(self, lead_ms: int = 0) -> None:
        self.lead_ms = lead_ms
        self._known: dict[str, list[tuple[int, Retirement]]] = {}

    def take(self, revision: Retirement, logged_at_ms: int) -> bool:
        """Add a revision, in topic order; return whether it was new."""
        known = self._known.setdefault(revision.link, [])
        if any(one.revision >= revision.revision for _, one in known):
            return False
        known.append((logged_at_ms + self.lead_ms, revision))
        return True

    def always(self, link: str) -> bool:
        """Return whether a link was never retired."""
        return link not in self._known

    def until_ms(self, link: str, end_ms: int, known_at_ms: int) -> int:
        """Return until when a link is in service, at most ``end_ms``, as known at ``known_at_ms``."""
        until_ms = end_ms
        for counts_from_ms, revision in self._known.get(link, ()):
            if counts_from_ms <= known_at_ms:
                until_ms = end_ms if revision.withdrawn else min(revision.from_ms, end_ms)
        return until_ms
