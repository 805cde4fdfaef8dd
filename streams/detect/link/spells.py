"""From verdicts to spells of trouble: half-open, in order, never overlapping.

Trouble that resumes within ``flap_gap_ms`` in the same form is the same spell, with its changes counted: a
flapping link is one incident, not twenty. Trouble that resumes in another form (down after slow answers,
partial failure after full failure) is a new spell: joined, a full outage would disappear in the slowness
around it, or hours of partial failure would count as down. A shift between down and degraded also ends one
spell and begins the next.

A spell is published as soon as it is decided, so a later verdict never undoes an earlier one's effect on the
spells: whether trouble is a resumed spell is decided at once, by the edges as placed at that point.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from streams.detect.link.minute import Decided
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import LinkRules


class TroubleSpell(Struct, array_like=True):
    """Trouble of a link over ``[start_ms, end_ms)``, by request time; ``end_ms`` is None while it is open.

    ``opened_ms`` and ``closed_ms`` are the event times of the decisions; ``placed_ms`` is where the closing
    decision placed the end; ``changes`` counts its ends and resumptions, two for each resumption. ``slow``:
    found by latency alone; ``down``: down according to its last verdict; ``normal``: ended because it had
    become normal.

    ``back_ms`` is when it last resumed; ``ended`` holds the values of ``end_ms``, ``closed_ms`` and
    ``placed_ms`` before that.
    """

    start_ms: int
    opened_ms: int
    slow: bool
    end_ms: int | None = None
    closed_ms: int | None = None
    placed_ms: int = 0
    changes: int = 0
    down: bool = False
    normal: bool = False
    services: list[str] = field(default_factory=list)
    agencies: list[str] = field(default_factory=list)
    back_ms: int | None = None
    ended: tuple[int, int, int] | None = None

    def edges(self) -> Iterator[int]:
        """Yield its start and end; if it may still be split, also its former end and its resumption."""
        yield self.start_ms
        if self.end_ms is not None:
            yield self.end_ms
        elif self.changes == FIRST_RETURN and self.ended is not None and self.back_ms is not None:
            yield self.ended[0]
            yield self.back_ms

    @property
    def confined(self) -> bool:
        """Whether it is trouble of some services and agencies only, not of the link as a whole."""
        return bool(self.services or self.agencies)


def spells_of(
    verdicts: Iterable[Decided], rules: LinkRules, before: Iterable[TroubleSpell] = ()
) -> list[TroubleSpell]:
    """Return the spells that follow from verdicts, in order of decision, after the spells ``before`` them."""
    spells = [replace(spell) for spell in before]
    for decided in verdicts:
        follow(spells, decided, rules)
    return spells


def follow(spells: list[TroubleSpell], decided: Decided, rules: LinkRules) -> None:
    """Apply the next verdict under the rule of its slot: it changes the last spell, adds one, or both."""
    rule = rules.at(decided.decided_ms - 1)
    last = spells[-1] if spells else None
    if last is not None and last.end_ms is None:
        _go_on(spells, decided, rule)
    elif decided.verdict.condition != "UP":
        over_ms = decided.at_ms if last is None or last.end_ms is None else last.end_ms
        fresh = _fresh(max(decided.at_ms, over_ms), decided)
        if last is not None and _is_back(last, fresh, decided.edge_ms, rule):
            assert last.end_ms is not None
            assert last.closed_ms is not None
            last.back_ms, last.ended = fresh.start_ms, (last.end_ms, last.closed_ms, last.placed_ms)
            last.end_ms = last.closed_ms = None
            last.changes += 2
        else:
            spells.append(fresh)


def _fresh(start_ms: int, decided: Decided) -> TroubleSpell:
    verdict = decided.verdict
    return TroubleSpell(
        start_ms, decided.decided_ms, verdict.test == "slow", down=verdict.condition == "DOWN"
    )


def _go_on(spells: list[TroubleSpell], decided: Decided, rule: Rule) -> None:
    """Apply a verdict while the last spell is open: its end, or a change of kind."""
    last, condition, edge_ms = spells[-1], decided.verdict.condition, decided.at_ms
    if condition != "UP":
        began_ms = last.start_ms if last.back_ms is None else last.back_ms
        settling = edge_ms <= began_ms + (0 if last.slow else rule.settle_ms)
        if settling or decided.verdict.whole:  # of the other kind from its start
            if last.changes == FIRST_RETURN and last.down != (condition == "DOWN"):
                spells.append(_parted(last, decided))
            else:
                last.down, last.slow = condition == "DOWN", False
            return
    last.end_ms, last.closed_ms = max(edge_ms, last.start_ms + 1), decided.decided_ms
    last.placed_ms = max(decided.edge_ms, last.start_ms + 1)
    last.normal = decided.verdict.test == "normal"
    if condition != "UP":
        spells.append(_fresh(last.end_ms, decided))


def _parted(last: TroubleSpell, decided: Decided) -> TroubleSpell:
    """Restore a spell's former end, and return what seemed to be its resumption as a separate spell.

    The resumed trouble looked like the spell at first, and turned out to be of the other kind from its start.
    The spell had ended before that, and later trouble does not change its kind.
    """
    assert last.back_ms is not None
    assert last.ended is not None
    begins_ms = last.back_ms
    last.end_ms, last.closed_ms, last.placed_ms = last.ended
    last.changes, last.back_ms, last.ended = 0, None, None
    return _fresh(max(begins_ms, last.end_ms), decided)


FIRST_RETURN: Final = 2
"""The `changes` of a spell that resumed once. If it resumes again it is flapping: a single incident."""


def _is_back(before: TroubleSpell, fresh: TroubleSpell, edge_ms: int, rule: Rule) -> bool:
    """Return whether a new spell, placed at ``edge_ms``, is the former one that resumes soon, unchanged."""
    soon = edge_ms - before.placed_ms < rule.flap_gap_ms
    flapping = before.changes > 0  # bursts look different each time: still one incident
    alike = before.slow == fresh.slow and (flapping or before.down == fresh.down)
    return soon and alike and not before.normal
