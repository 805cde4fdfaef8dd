"""Publishes a link's outages, and revises them as its verdicts require.

A *spell* is trouble as judged now; an *outage* is what was published about it. `review` compares the two and
returns the revisions that make them agree.

`forget` drops, in one operation, everything that no fact can change any more. A verdict is *final* once every
outcome requested before it is known and no fact can be that late. A spell is over for good once a final
verdict ended it and nothing still to be judged reaches back to within ``flap_gap_ms`` of its end: it cannot
resume. Then its verdicts, its published outage, its evidence and the sums of its forgotten facts are dropped.
Those sums stay while it is open or may resume (`remains.py`), so its figures are the same as if nothing were
forgotten.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from itertools import chain

from msgspec.structs import replace

from streams.detect.link.composing import Composed, Event, events_of
from streams.detect.link.history import History
from streams.detect.link.local import Locals
from streams.detect.link.minute import MINUTE_MS, Decided, Minute
from streams.detect.link.outages import (
    PATIENCE_MS,
    alike,
    differ_in_passing,
    draft,
    matched,
    names_of,
    next_revision,
    retraction,
    says_the_same,
)
from streams.detect.link.remains import Remains
from streams.detect.link.running import Running
from streams.detect.link.said import Trouble
from streams.detect.link.spells import TroubleSpell
from streams.detect.link.totals import Totals, distinct_dossiers, totals_of
from streams.detect.link.windows import FAR, changed_minutes
from streams.detect.rule.cusum import recovering
from streams.detect.rule.rules import LinkRules
from streams.model.measurement import Source
from streams.model.outage import Outage, Reason
from streams.model.settings import DetectSettings

EvidenceOf = Callable[[int, int], list[Source]]
"""Returns the source ranges that hold the records of a span of event time."""


class Publication:
    """The outages of one link: as judged, and as published."""

    def __init__(
        self, link: str, rules: LinkRules, settings: DetectSettings, history: History, evidence_of: EvidenceOf
    ) -> None:
        self.link, self.rules, self.settings, self.history = link, rules, settings, history
        self._evidence_of = evidence_of
        self.published: dict[str, Outage] = {}
        """The last revision of each outage that may still be revised, by id."""
        self.locals = Locals()
        """The services and agencies of which every request fails."""
        self.settled = Composed()
        """The remembered spells composed from final decisions."""
        self.settled_ms = -FAR
        """`settled` includes the decisions that settled up to this time."""
        self.spells: list[TroubleSpell] = []
        """The spells of all remembered decisions."""
        self.trouble: list[Trouble] = []
        """The spells, each with its last published kind."""
        self.remains = Remains()
        """Sums of the forgotten facts of trouble that is not over."""
        self.openings: dict[int, list[Source]] = {}
        """The evidence with which each outage was opened, by the start of its spell."""
        self.due: list[int] = []
        """When to review again, ascending."""
        self.look_ms = FAR
        """When to check whether sight of a link in trouble is lost; once lost, every call checks."""
        self.lost_ms: int | None = None
        """Since when nothing is known of a link in trouble, as of the last check; None if it is in sight."""
        self._running = Running()

    def review(self, now_ms: int, into: list[Outage], cause: Reason | None, dirty: set[int]) -> set[int]:
        """Append to ``into`` the revisions that make the published outages agree with the current spells.

        ``cause`` is the reason to give, None for the normal passage of time; ``dirty`` are the minutes whose
        facts changed. Return the minutes whose state this changes. An end is published once its figures are
        final.
        """
        if dirty:
            self._running.forget_from(min(dirty))
        while self.due and self.due[0] <= now_ms:
            self.due.pop(0)
        for settles_ms in self.history.settle(now_ms):
            self._look_again_at(settles_ms)
        self.spells = self._composed(now_ms)
        standing = self._standing()
        matches = matched(self.spells, standing, now_ms)
        for spell, match in zip(self.spells, matches, strict=True):
            if spell.end_ms is not None and (final_ms := self._closes_ms(spell)) > now_ms:
                self._look_again_at(final_ms)
                if match is not None and match.status == "open":
                    continue
            if match is not None and self._stands(match, spell, now_ms, dirty):
                continue
            revised = self._revise(spell, match, now_ms, cause)
            if revised is not None:
                into.append(revised)
                self.published[revised.outage_id] = revised
        said = {match.outage_id for match in matches if match is not None}
        for outage in [outage for outage in standing if outage.outage_id not in said]:
            gone = retraction(outage, now_ms, cause or "late")
            into.append(gone)
            self.published[gone.outage_id] = gone
        if self._lasts:
            self._look_again_at((now_ms // PATIENCE_MS + 1) * PATIENCE_MS)
        self._look(now_ms)
        before, self.trouble = self.trouble, self._trouble()
        return changed_minutes(before, self.trouble, now_ms)

    def _composed(self, now_ms: int) -> list[TroubleSpell]:
        """Return the current spells, and schedule the report of trouble that continues alone."""
        composed = self.settled.copy()
        for event in self._open_events():
            composed.take(event, self.rules, self.settings.slot_ms)
        composed.until(now_ms)
        if composed.alone_ms is not None:
            self._look_again_at(composed.alone_ms)
        return composed.told

    def _open_events(self) -> list[Event]:
        """Return the decisions that facts may still change, in order."""
        events = events_of(self.history.unsettled, self.locals.spells())
        return [event for event in events if self.history.settles_ms(event[0]) > self.settled_ms]

    @property
    def _lasts(self) -> bool:
        """Whether the link is in trouble, as judged now."""
        return bool(self.spells) and self.spells[-1].end_ms is None

    def dossiers_so_far(self, now_ms: int) -> int | None:
        """Return the number of distinct dossiers hit by the open spell so far, None without one."""
        if not self._lasts:
            return None
        return distinct_dossiers(self._totals_so_far(self.spells[-1].start_ms, now_ms))[0]

    def _totals_so_far(self, start_ms: int, now_ms: int) -> Totals:
        """Return the figures so far of the open spell."""
        span = self._running.begins_ms(start_ms), now_ms
        minutes = list(chain(self.remains.between(*span), self.history.between(*span)))
        return self._running.totals(start_ms, minutes, lambda: self.remains.totals(start_ms, FAR), now_ms)

    def sight_changed(self, now_ms: int) -> bool:
        """Return whether sight of a link in trouble was lost or regained, so that a review is due."""
        if self.lost_ms is None and now_ms < self.look_ms:
            return False
        before = self.lost_ms
        self._look(now_ms)
        return self.lost_ms != before

    def _look(self, now_ms: int) -> None:
        self.lost_ms = self.history.lost_ms(now_ms) if self._lasts else None
        waits = self._lasts and self.lost_ms is None and self.history.state.heard_ms
        self.look_ms = self.history.loses_ms(now_ms) if waits else FAR

    def make_final(self, final: Iterable[Decided], floor_ms: int) -> None:
        """Apply the decisions that have just become final. Call it before facts are forgotten.

        ``final`` are the link's verdicts among them. No fact before ``floor_ms`` is read again, and no spell
        found later begins or ends before it.
        """
        settles_ms, final_ms = self.history.settles_ms, self.history.final_ms
        for event in events_of(final, self.locals.spells()):
            if self.settled_ms < settles_ms(event[0]) <= final_ms:
                self.settled.take(event, self.rules, self.settings.slot_ms)
        self.settled_ms = final_ms
        marks = self.remains.slow_ms
        for cut_ms in self._cuts():
            if cut_ms < floor_ms and cut_ms not in marks:
                marks[cut_ms] = self.history.normal_at(cut_ms).slow_ms

    def forget(self, floor_ms: int, forgotten: Iterable[tuple[int, Minute]]) -> None:
        """Drop the outages that nothing can change any more; keep sums for the others.

        ``forgotten`` are the minutes dropped from the history, all of them before ``floor_ms``.
        """
        self.locals.forget(floor_ms, self.history)
        over_ms = self._over_ms(floor_ms)
        if over_ms is not None:
            self.settled.drop(over_ms)
            self.locals.drop(over_ms)
            self.spells = [spell for spell in self.spells if spell.start_ms >= over_ms]
            self.published = {
                name: outage for name, outage in self.published.items() if not _is_over(outage, over_ms)
            }
            self.trouble = self._trouble()
        cuts = self._cuts()
        first_ms = min([floor_ms, *cuts])
        self.remains.take(forgotten, cuts)
        self.remains.drop(first_ms)
        self.openings = {at: kept for at, kept in self.openings.items() if at >= first_ms}

    def _cuts(self) -> list[int]:
        """Return, ascending, the actual and possible edges of spells, according to final decisions."""
        edges = {edge_ms for spell in self.settled.link for edge_ms in spell.edges()}
        return sorted(edges.union(self.locals.edges()))

    def _over_ms(self, floor_ms: int) -> int | None:
        """Return the end of the last chain of spells that is over for good, None if there is none."""
        spans = [
            (spell.start_ms, FAR if spell.end_ms is None else max(spell.end_ms, spell.placed_ms))
            for spell in self.settled.link
        ]
        spans += self.locals.spans(self.history.is_final)
        over_ms, until_ms = None, -FAR
        for start_ms, end_ms in sorted([*spans, (floor_ms, FAR)]):
            if until_ms > -FAR and start_ms - until_ms >= self.rules.flap_gap_ms:
                over_ms = until_ms
            until_ms = max(until_ms, end_ms)
        return over_ms

    def _may_return_until_ms(self, spell: TroubleSpell) -> int:
        """Return until when a spell that ended may resume."""
        return max(spell.end_ms or 0, spell.placed_ms) + self.rules.flap_gap_ms

    def _look_again_at(self, due_ms: int) -> None:
        if due_ms not in self.due:
            insort(self.due, due_ms)

    def _final_ms(self, spell: TroubleSpell) -> int:
        """Return the slot end by which all outcomes before the decision of a spell's end are known."""
        return self.history.settles_ms(spell.closed_ms or 0)

    def _closes_ms(self, spell: TroubleSpell) -> int:
        """Return when a spell's end is published: when its figures are final and, if flapping, it is over."""
        if not spell.changes:
            return self._final_ms(spell)
        slot_ms = self.settings.slot_ms
        away_ms = -(-self._may_return_until_ms(spell) // slot_ms) * slot_ms
        return max(self._final_ms(spell), away_ms)

    def _stands(self, match: Outage, spell: TroubleSpell, now_ms: int, dirty: set[int]) -> bool:
        """Return whether nothing can have changed since an outage was last published as closed."""
        if match.status == "open" or spell.end_ms is None:
            return False
        if (match.start_ms, match.end_ms, match.changes) != (spell.start_ms, spell.end_ms, spell.changes):
            return False
        if names_of(match) != (spell.services, spell.agencies):
            return False
        final_ms = self._final_ms(spell)
        if match.detected_at_ms < self._closes_ms(spell) <= now_ms:
            return False
        return not any(spell.start_ms - MINUTE_MS < at < final_ms for at in dirty)

    def _revise(
        self, spell: TroubleSpell, match: Outage | None, now_ms: int, cause: Reason | None
    ) -> Outage | None:
        """Return the revision that a spell requires, None if the published one still holds."""
        totals, slow_ms = self._figures(spell, now_ms)
        rule, lost_ms = self.rules.at(spell.opened_ms - 1), self.history.lost_ms(now_ms)
        since, told = recovering(self.history.state), match.kind if match else None
        drafted = draft(self.link, spell, totals, rule, slow_ms, now_ms, lost_ms, since, told)
        if match is None:
            evidence = self._evidence(spell.start_ms, now_ms)
            fresh = self._fresh_id(drafted)
            return replace(drafted, outage_id=fresh, reason=cause or "opened", evidence=evidence)
        if says_the_same(match, drafted):
            return None
        if drafted.status == match.status == "open" and alike(match, drafted):
            if not differ_in_passing(match, drafted):
                return None
            if now_ms < (again_ms := match.detected_at_ms + PATIENCE_MS):
                self._look_again_at(again_ms)
                return None
        reason: Reason = cause or (_closing(spell) if drafted.status == "closed" else "opened")
        return next_revision(match, drafted, reason, self._evidence(spell.start_ms, now_ms))

    def _figures(self, spell: TroubleSpell, now_ms: int) -> tuple[Totals, int | None]:
        """Return the figures of a spell, and the slowness limit (ms) at its start."""
        start_ms, end_ms, remains = spell.start_ms, spell.end_ms, self.remains
        if end_ms is None:
            totals = self._totals_so_far(start_ms, now_ms)
        else:
            span = start_ms - MINUTE_MS, end_ms + self.settings.longest_lookback_ms
            minutes = chain(remains.between(*span), self.history.between(*span))
            totals = totals_of(minutes, start_ms, end_ms, remains.totals(start_ms, end_ms))
        if start_ms in remains.slow_ms:
            return totals, remains.slow_ms[start_ms]
        return totals, self.history.normal_at(start_ms).slow_ms

    def _evidence(self, start_ms: int, now_ms: int) -> list[Source]:
        """Return the source ranges behind an outage: all, or for a long one the first and the latest."""
        oldest_ms = now_ms - self.settings.allowed_lateness_ms
        if start_ms >= oldest_ms:
            evidence = self._evidence_of(start_ms, now_ms)
            self.openings.setdefault(start_ms, evidence)
            return evidence
        return self.openings.get(start_ms, []) + self._evidence_of(oldest_ms, now_ms)

    def _fresh_id(self, drafted: Outage) -> str:
        """Return an id that no other outage of the link has."""
        name, again = drafted.outage_id, 1
        while name in self.published:
            again += 1
            name = f"{drafted.outage_id}-{again}"
        return name

    def _standing(self) -> list[Outage]:
        """Return the published outages that were not retracted."""
        return [outage for outage in self.published.values() if outage.status != "retracted"]

    def _trouble(self) -> list[Trouble]:
        """Return the current spells, each with its last published kind."""
        matches = matched(self.spells, self._standing(), FAR)
        both = zip(self.spells, matches, strict=True)
        return [(spell.start_ms, spell.end_ms, match.kind) for spell, match in both if match is not None]


def _closing(spell: TroubleSpell) -> Reason:
    return "normal" if spell.normal else "closed"


def _is_over(outage: Outage, over_ms: int) -> bool:
    """Return whether an outage belongs to trouble that was over by a time, or was retracted by then."""
    ended_ms = outage.detected_at_ms if outage.status == "retracted" else outage.end_ms
    return ended_ms is not None and ended_ms <= over_ms
