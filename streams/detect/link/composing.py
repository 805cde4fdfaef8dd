"""Composes the published spells: those of the link and the confined ones, disjoint and in order.

Names that fail at the same time, or soon after each other, make one confined spell. While the whole link is
in trouble, only that is reported: a confined spell ends where the trouble of the link begins. But trouble of
the link that began with a confined spell, or after it, is merely that spell seen from the link: it is
*hidden* behind the confined spell. If one of the two continues alone for `ALONE_MS` after the other ended,
it is reported from then on.

The reported spells are built up decision by decision, in order. So a later decision changes or adds to what
is still open, and never takes back a spell that had ended. Only late facts do that, as they change decisions.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from streams.detect.link.minute import Decided
from streams.detect.link.spells import TroubleSpell, follow
from streams.detect.rule.local_state import LocalSpell, Struck
from streams.detect.rule.rules import LinkRules

FAR: Final = 1 << 62
LEAST_MS: Final = 60_000
"""A confined spell shorter than this before the link's own trouble counts as part of that trouble."""
ALONE_MS: Final = 300_000
"""How long trouble must continue after the spell it was part of ended, to be reported by itself."""

Event = tuple[int, int, Decided | LocalSpell | Struck]
"""The time of a decision, its rank among those of equal time, and what was decided.

At equal times the link's verdicts come first, then the names that recovered, then those that fail.
"""
VERDICT, ENDS, BEGINS = 0, 1, 2


def events_of(verdicts: Iterable[Decided], local: Iterable[LocalSpell | Struck]) -> list[Event]:
    """Return all decisions in the order in which `Composed.take` needs them."""
    found: list[Event] = [(one.decided_ms, VERDICT, one) for one in verdicts]
    for name in local:
        found.append((name.opened_ms, BEGINS, name))
        if isinstance(name, LocalSpell):
            found.append((name.closed_ms, ENDS, name))
    return sorted(found, key=_when)


def _when(event: Event) -> tuple[int, int]:
    return event[:2]


class Composed(Struct, array_like=True):
    """The spells reported after some decisions. Order of calls: `take` for each decision, finally `until`.

    ``told`` are the reported spells. ``own`` is how the last of the link's spells appears among them: as the
    last one (``told``), hidden behind a confined one (``hidden``), or not as the last, because something else
    was reported since (``before``). ``edge_ms`` is where that spell was first placed to begin, which does not
    move any more. ``alone_ms`` is when trouble that continues alone will be reported.
    """

    link: list[TroubleSpell] = field(default_factory=list)
    told: list[TroubleSpell] = field(default_factory=list)
    failing: dict[tuple[bool, str], int] = field(default_factory=dict)
    """The names whose every request fails, by (is an agency, name), with when that began."""
    own: Literal["told", "hidden", "before"] = "before"
    edge_ms: int = 0
    alone_ms: int | None = None

    def copy(self) -> "Composed":
        """Return a copy that can be changed independently."""
        spells = [replace(spell) for spell in self.link], [replace(spell) for spell in self.told]
        return Composed(*spells, dict(self.failing), self.own, self.edge_ms, self.alone_ms)

    def take(self, event: Event, rules: LinkRules, slot_ms: int) -> None:
        """Apply the next decision."""
        at_ms, kind, what = event
        self.until(at_ms)
        if isinstance(what, Decided):
            self._take_verdict(what, rules)
        elif kind == BEGINS:
            self._begin(what, rules.flap_gap_ms)
        else:
            assert isinstance(what, LocalSpell)
            self._end(what)
        self._look_alone(at_ms, slot_ms)

    def until(self, now_ms: int) -> None:
        """Report trouble that has continued alone for long enough at ``now_ms``."""
        if self.alone_ms is None or self.alone_ms > now_ms:
            return
        opened_ms, self.alone_ms = self.alone_ms, None
        if self._is_open(self.link):
            self._tell_own(self.link[-1], self.link[-1].start_ms, opened_ms)
        else:
            self._tell_confined(opened_ms)

    def drop(self, over_ms: int) -> None:
        """Drop the spells that had ended by a time; they cannot affect later ones."""
        self.link = [spell for spell in self.link if (spell.end_ms or FAR) > over_ms]
        self.told = [spell for spell in self.told if (spell.end_ms or FAR) > over_ms]
        if not self.link or not self.told:
            self.own = "before"

    @staticmethod
    def _is_open(spells: list[TroubleSpell]) -> bool:
        return bool(spells) and spells[-1].end_ms is None

    @property
    def _confined(self) -> TroubleSpell | None:
        """The confined spell that is still open, if there is one."""
        return self.told[-1] if self._is_open(self.told) and self.told[-1].confined else None

    def _free_ms(self, last: int = 0) -> int:
        """Return the time from which nothing is reported yet, ignoring the ``last`` spells."""
        before = self.told[: len(self.told) - last]
        return max((spell.end_ms or 0 for spell in before[-1:]), default=-FAR)

    def _take_verdict(self, decided: Decided, rules: LinkRules) -> None:
        link, number, was_open = self.link, len(self.link), self._is_open(self.link)
        was_down = was_open and link[-1].down
        follow(link, decided, rules)
        if number:
            former = link[number - 1]
            if self.own == "told":
                self._mirror(former)
            elif former.end_ms is None and not was_open:
                assert former.back_ms is not None
                self._enter(former, former.back_ms, decided, rules.flap_gap_ms)
            elif self.own == "hidden" and former.end_ms is None and former.down and not was_down:
                self._enter(former, former.start_ms, decided, rules.flap_gap_ms)
        if len(link) > number:
            self._enter(link[-1], link[-1].start_ms, decided, rules.flap_gap_ms)

    def _mirror(self, spell: TroubleSpell) -> None:
        """Update the reported spell from the last of the link's spells."""
        start_ms, opened_ms = self.told[-1].start_ms, self.told[-1].opened_ms
        end_ms = None if spell.end_ms is None else max(spell.end_ms, start_ms + 1)
        self.told[-1] = replace(spell, start_ms=start_ms, opened_ms=opened_ms, end_ms=end_ms)

    def _enter(self, spell: TroubleSpell, start_ms: int, decided: Decided, gap_ms: int) -> None:
        """Place newly found trouble of the link among the reported spells, from ``start_ms`` on."""
        if not self._is_open([spell]):
            return
        self.edge_ms, confined = decided.edge_ms, self._confined
        seen = (_is_seen(spell, self.edge_ms, since_ms, gap_ms) for since_ms in self.failing.values())
        if not spell.down and any(seen):
            self.own = "hidden"
            if confined is None:
                self._tell_confined(decided.decided_ms)
            return
        if confined is not None and self.edge_ms - confined.start_ms < LEAST_MS:  # the start may yet move
            self.told.pop()
        elif confined is not None:
            confined.end_ms = confined.placed_ms = max(start_ms, confined.start_ms + 1)
            confined.closed_ms = decided.decided_ms
        self._tell_own(spell, start_ms, decided.decided_ms)

    def _tell_own(self, spell: TroubleSpell, start_ms: int, opened_ms: int) -> None:
        start_ms = max(start_ms, self._free_ms())
        self.told.append(replace(spell, start_ms=start_ms, opened_ms=opened_ms))
        self.own = "told"

    def _tell_confined(self, opened_ms: int) -> None:
        """Report the failing names as one spell, from when the first of them began to fail."""
        start_ms = max(min(self.failing.values()), self._free_ms())
        fresh = TroubleSpell(start_ms, opened_ms, slow=False)
        for agency, name in self.failing:
            _add_name(fresh, agency, name)
        self.told.append(fresh)
        self.own = "hidden" if self._is_open(self.link) else "before"

    def _begin(self, one: LocalSpell | Struck, gap_ms: int) -> None:
        """Apply the decision that every request for a name fails."""
        self.failing[one.agency, one.name] = one.start_ms
        last = self.told[-1] if self.told else None
        if self._is_open(self.link) and self.own == "told":
            if _is_seen(
                self.link[-1], self.edge_ms, one.start_ms, gap_ms
            ):  # the spell reported was confined after all
                opened_ms = self.told.pop().opened_ms
                self._tell_confined(opened_ms)
            return
        if last is not None and last.confined and one.start_ms - (last.end_ms or FAR) < gap_ms:
            if last.end_ms is not None:
                last.changes += 2 if one.start_ms > last.end_ms else 0
                last.end_ms = last.closed_ms = None
            last.start_ms = min(last.start_ms, max(one.start_ms, self._free_ms(1)))
            _add_name(last, one.agency, one.name)
            return
        self._tell_confined(one.opened_ms)

    def _end(self, one: LocalSpell) -> None:
        """Apply the decision that a name recovered."""
        self.failing.pop((one.agency, one.name), None)
        confined = self._confined
        if confined is None:
            return
        confined.placed_ms = max(confined.placed_ms, one.end_ms, confined.start_ms + 1)
        if not self.failing:
            confined.end_ms, confined.closed_ms = confined.placed_ms, one.closed_ms

    def _look_alone(self, now_ms: int, slot_ms: int) -> None:
        """Note when trouble that continues alone is to be reported, if there is any."""
        hidden = self.own == "hidden" and self._is_open(self.link)
        if self._is_open(self.told) or not (hidden or self.failing):
            self.alone_ms = None
        elif self.alone_ms is None:
            self.alone_ms = -(-max(now_ms + 1, self._free_ms() + ALONE_MS) // slot_ms) * slot_ms


def _is_seen(spell: TroubleSpell, edge_ms: int, since_ms: int, gap_ms: int) -> bool:
    """Return whether trouble of the link is only that of a name which has failed since ``since_ms``.

    If the link looks down, which may happen at first on a link with few requests, both must have begun
    together.
    """
    if spell.slow:
        return False
    return abs(edge_ms - since_ms) < gap_ms if spell.down else edge_ms > since_ms - gap_ms


def _add_name(spell: TroubleSpell, agency: bool, name: str) -> None:
    names = spell.agencies if agency else spell.services
    if name not in names:
        names[:] = sorted([*names, name])
