"""What each revision of an outage changed, said as what it was and what it is."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from streams.model.outage import Outage
from streams.serve.names import Names, Scope
from streams.serve.texts import Language, text, written_count, written_time


class Change(Struct, frozen=True):
    """One thing that a revision changed; ``before`` is None where it says it first."""

    what: str
    before: str | None
    after: str


class RevisionDiff(Struct, frozen=True):
    """A revision, and what it changed of the one before."""

    revision: Outage
    changes: list[Change]


SAID: Final = (
    "status",
    "kind",
    "fault_domain",
    "start_ms",
    "end_ms",
    "attempts",
    "failures",
    "dossiers_affected",
    "services",
    "agencies",
    "rule_version",
)


def diffs(revisions: Sequence[Outage], names: Names, language: Language) -> list[RevisionDiff]:
    """Return what each revision changed, the last first; ``revisions`` come the first first."""
    found = []
    before: Outage | None = None
    for one in revisions:
        changes = []
        for name in SAID:
            was = None if before is None else getattr(before, name)
            if (now := getattr(one, name)) != was:
                changes.append(_change(name, None if before is None else was, now, names, language))
        found.append(RevisionDiff(one, changes))
        before = one
    return found[::-1]


def _change(name: str, was: Any, now: Any, names: Names, language: Language) -> Change:
    what = text(name.removesuffix("_ms"), language)
    if isinstance(now, list) and isinstance(was, list):
        gone, more = ([one for one in some if one not in other] for some, other in ((was, now), (now, was)))
        added = f"+ {_said(name, more, names, language)}" if more else ""
        return Change(what, _said(name, gone, names, language) if gone else None, added)
    first = was is None and name != "end_ms"
    return Change(
        what, None if first else _said(name, was, names, language), _said(name, now, names, language)
    )


def _said(name: str, value: Any, names: Names, language: Language) -> str:
    if name in ("status", "kind"):
        return text(value, language)
    if name == "fault_domain":
        return text(f"fault_{value}", language)
    if name in ("start_ms", "end_ms"):
        return text("open", language) if value is None else written_time(value, language)
    if isinstance(value, list):
        scope: Scope = "service" if name == "services" else "agency"
        return ", ".join(names.called(scope, one, language) for one in value) or "–"
    return written_count(value, language) if isinstance(value, int) else str(value)
