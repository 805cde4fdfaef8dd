"""The services and agencies of one link of which every request fails, judged minute by minute.

The tests are in `streams/detect/rule/local.py`. This module keeps the state before each minute, unless it is
quiet, and the spells that ended in it. A minute whose facts change is judged again, and those after it until
the state is the same as before.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct, field

from streams.detect.link.history import History
from streams.detect.link.minute import MINUTE_MS, Minute
from streams.detect.rule.local import step
from streams.detect.rule.local_state import QUIET, Facts, LocalSpell, LocalState, Struck

NEVER: Final = -(1 << 62)
FAR: Final = 1 << 62


class Locals(Struct, array_like=True):
    """Local trouble of one link: the state now and before each minute, and the spells.

    Minutes before ``judged_ms`` have been judged. ``first`` is the state before the first minute kept;
    ``ended`` holds the spells by the minute in which their end was found.
    """

    state: LocalState = QUIET
    first: LocalState = QUIET
    before: dict[int, LocalState] = field(default_factory=dict)
    ended: dict[int, list[LocalSpell]] = field(default_factory=dict)
    judged_ms: int = NEVER
    past: list[LocalSpell] = field(default_factory=list)
    """Spells whose end was found in minutes that are forgotten."""

    def due_ms(self, history: History) -> int | None:
        """Return when the last minute ends, if it has yet to be judged and can matter; otherwise None."""
        start_ms = history.last_minute_ms()
        if start_ms is None or start_ms < self.judged_ms:
            return None
        services, agencies = history.minutes[start_ms].parts()
        return start_ms + MINUTE_MS if services or agencies or self.state != QUIET else None

    def advance(self, history: History, until_ms: int) -> bool:
        """Judge the minutes that end by a time; return whether any trouble began or ended."""
        if until_ms - MINUTE_MS < self.judged_ms:
            return False
        from_ms, self.judged_ms = self.judged_ms, max(self.judged_ms, until_ms // MINUTE_MS * MINUTE_MS)
        return self._judge(history, from_ms, self.judged_ms, self.state)

    def judge_again(self, history: History, touched: Iterable[int]) -> bool:
        """Judge minutes again whose facts or normal changed; return whether this changes any spell."""
        judged = [at for at in touched if at < self.judged_ms]
        if not judged:
            return False
        from_ms = history.minute_before_ms(min(judged))
        before = self.first if from_ms == history.first_minute_ms() else self._before(from_ms)
        return self._judge(history, from_ms, max(judged), before)

    def spells(self) -> list[LocalSpell | Struck]:
        """Return the spells, the open ones last."""
        ended = [spell for at in sorted(self.ended) for spell in self.ended[at]]
        return [*self.past, *ended, *self.state.struck]

    def spans(self, is_final: Callable[[int], bool]) -> list[tuple[int, int]]:
        """Return the start and end of each spell; `FAR` stands for an end that is not final."""
        return [
            (one.start_ms, one.end_ms if isinstance(one, LocalSpell) and is_final(one.closed_ms) else FAR)
            for one in self.spells()
        ]

    def floor_ms(self, before_ms: int, history: History) -> int:
        """Return a time before which no spell yet to be found begins or ends.

        No more facts before ``before_ms`` will come. A spell begins where its test did, and ends with a first
        answer, or a last failure, which may already be known.
        """
        minutes = history.between(before_ms, FAR)
        start_ms = next((at for at, _ in minutes), None)
        state = self.state if start_ms is None else self._before(start_ms)
        begins = (one.since_ms for one in state.suspects)
        ends = (one.failed_ms if one.ok_ms is None else min(one.failed_ms, one.ok_ms) for one in state.struck)
        return min([before_ms, *begins, *ends])

    def edges(self) -> Iterator[int]:
        """Yield the starts and ends of the spells."""
        for one in self.spells():
            yield one.start_ms
            if isinstance(one, LocalSpell):
                yield one.end_ms

    def drop(self, over_ms: int) -> None:
        """Drop the spells that ended by a time."""
        self.past = [one for one in self.past if one.end_ms > over_ms]
        for at, spells in list(self.ended.items()):
            self.ended[at] = [one for one in spells if one.end_ms > over_ms]

    def forget(self, before_ms: int, history: History) -> None:
        """Forget the states of minutes before a time. Call it after the history has forgotten them."""
        first_ms = history.first_minute_ms()
        self.first = self.state if first_ms is None else self._before(first_ms)
        self.before = {at: state for at, state in self.before.items() if at >= before_ms}
        for at in sorted(at for at in self.ended if at < before_ms):
            self.past += self.ended.pop(at)

    def _before(self, start_ms: int) -> LocalState:
        """Return the state before a judged minute; for any other minute, the present state."""
        return self.before.get(start_ms, QUIET) if start_ms < self.judged_ms else self.state

    def _judge(self, history: History, from_ms: int, until_ms: int, state: LocalState) -> bool:
        """Judge minutes from ``from_ms`` on; after ``until_ms``, stop once the state is as before."""
        changed = False
        for start_ms, minute in history.between(from_ms, self.judged_ms):
            if start_ms < from_ms:
                continue
            if start_ms > until_ms and state == self.before.get(start_ms, QUIET):
                return changed
            self._keep(start_ms, state)
            rule, normal = history.rules.at(start_ms), history.normal_at(start_ms)
            after, ended = step(state, _facts(start_ms, minute), rule, normal)
            changed |= after.struck != state.struck or ended != self.ended.get(start_ms, [])
            if ended:
                self.ended[start_ms] = ended
            else:
                self.ended.pop(start_ms, None)
            state = after
        changed |= state.struck != self.state.struck
        self.state = state
        return changed

    def _keep(self, start_ms: int, state: LocalState) -> None:
        if state == QUIET:
            self.before.pop(start_ms, None)
        else:
            self.before[start_ms] = state


def _facts(start_ms: int, minute: Minute) -> Facts:
    services, agencies = minute.parts()
    down = minute.before.condition == "DOWN" or any(
        one.verdict.condition == "DOWN" for one in minute.verdicts
    )
    most_fail = 2 * minute.failures >= minute.attempts
    return Facts(start_ms, minute.attempts, minute.failures, services, agencies, down and most_fail)
