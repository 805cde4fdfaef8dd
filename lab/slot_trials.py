"""Trials of a rule on made-up slots, fast enough for link-years: false outages, and delays.

Attempts come as a Poisson process of fixed rate; each fails by itself with a fixed chance. That is the
model for which `docs/detection.md` derives the thresholds, so here the derivation is checked against the rule
as it runs, slot by slot, with nothing in between but what is normal, which is learned block by block as
`detect` learns it. Slots in which nothing is suspected and nothing failed change nothing and are passed over.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from streams.detect.link.habits import Habits
from streams.detect.rule.cusum import QUIET, Condition, Counts, Normal, RuleState, Verdict, step
from streams.detect.rule.definition import Rule
from streams.detect.rule.normal import BLOCK_MS, BLOCKS, WEEK_MS, Block, block_of
from streams.detect.rule.rules import LinkRules
from streams.model.settings import SLOT_MS

WEEK_SLOTS: Final = WEEK_MS // SLOT_MS
BLOCK_SLOTS: Final = BLOCK_MS // SLOT_MS


class Trial(Struct, frozen=True):
    """What a rule did in some link-weeks of noise, and in some outages that began at a random moment.

    Delays run from the end of the slot's first failure known to the decision, in milliseconds; one outage
    not found while it lasted counts as missed.
    """

    rate_per_s: float
    weeks: int
    false_outages: int
    delays_ms: list[int]
    missed: int

    @property
    def false_per_week(self) -> float:
        """False outages a link and week."""
        return self.false_outages / self.weeks


def normal_of(rate_per_s: float, rule: Rule) -> Normal:
    """Return what `streams.detect.rule.normal` comes to know of a link of steady rate."""
    attempts = round(rate_per_s * BLOCK_MS / 1000)
    blocks = (Block(at * BLOCK_MS, attempts, rule.normal_failure_share, None) for at in range(BLOCKS))
    return _normal_after(blocks, rule)


def _normal_after(blocks: Iterable[Block | None], rule: Rule) -> Normal:
    habits = Habits(LinkRules(rule), SLOT_MS)
    for block in blocks:
        if block is not None:
            habits.put(block.start_ms, block)
    return habits.normal_at(BLOCKS * BLOCK_MS)


class _Learned:
    """What is normal in each block of a noise, learned from those before it without trouble."""

    def __init__(self, rule: Rule, attempts: Any, failed: Any) -> None:
        self.rule = rule
        self.troubled: set[int] = set()
        self._sums = list(zip(attempts.tolist(), failed.tolist(), strict=True))
        self._habits = Habits(LinkRules(rule), SLOT_MS)
        self._next = 0

    def at(self, block: int) -> Normal:
        """Return what is normal in a block, not before one asked for already."""
        if block > self._next:
            for number in range(self._next, block):
                condition: Condition = "DEGRADED" if number in self.troubled else "UP"
                known = block_of(number * BLOCK_MS, *self._sums[number], (), self.rule, condition)
                self._habits.put(number * BLOCK_MS, known)
            self._next = block
        return self._habits.normal_at(block * BLOCK_MS)


def false_outages(rule: Rule, rate_per_s: float, weeks: int, background: float, seed: int) -> int:
    """Return how many outages a rule finds in so many link-weeks of noise alone."""
    import numpy as np  # noqa: PLC0415 - wanted for trials alone

    rng: Any = np.random.default_rng(seed)
    found = 0
    for _ in range(weeks):
        attempts = rng.poisson(rate_per_s * SLOT_MS / 1000, WEEK_SLOTS)
        failed = rng.binomial(attempts, background)
        sums = (counts.reshape(-1, BLOCK_SLOTS).sum(axis=1) for counts in (attempts, failed))
        learned = _Learned(rule, *sums)
        found += sum(verdict.condition != "UP" for _, verdict in _verdicts(attempts, failed, rule, learned))
    return found


def _verdicts(
    attempts: Any, failed: Any, rule: Rule, learned: _Learned | Normal
) -> Iterator[tuple[int, Verdict]]:
    """Yield the verdicts over slots, each with its slot."""
    state: RuleState = QUIET
    suspicious = iter(failed.nonzero()[0].tolist())
    ok, bad = (attempts - failed).tolist(), failed.tolist()
    at = -1
    while True:
        at += 1
        block = at // BLOCK_SLOTS
        normal = learned if isinstance(learned, Normal) else learned.at(block)
        if state == QUIET and normal.known:
            at = next((slot for slot in suspicious if slot >= at), len(bad))
        if at >= len(bad):
            return
        if ok[at] or bad[at]:
            block = at // BLOCK_SLOTS
            normal = learned if isinstance(learned, Normal) else learned.at(block)
            counts = Counts(ok[at], bad[at], 0)
            state, verdict = step(state, at * SLOT_MS, (at + 1) * SLOT_MS, counts, rule, normal)
            if isinstance(learned, _Learned) and state.condition != "UP":
                learned.troubled.add(block)
            if verdict is not None:
                yield at, verdict


def _drawn_normal(rng: Any, rule: Rule, rate_per_s: float, background: float) -> Normal:
    """Return what is known of a link after as many blocks of noise as are looked at."""
    attempts = rng.poisson(rate_per_s * BLOCK_MS / 1000, BLOCKS)
    failed = rng.binomial(attempts, background)
    pairs = enumerate(zip(attempts.tolist(), failed.tolist(), strict=True))
    return _normal_after((block_of(number * BLOCK_MS, *sums, (), rule) for number, sums in pairs), rule)


def delays(
    rule: Rule,
    rate_per_s: float,
    outages: int,
    background: float,
    share: float,
    lasting_ms: int,
    seed: int,
) -> list[int | None]:
    """Return, for outages that begin at random moments, the delay to their detection; None: missed.

    The delay runs from the moment the first failure of the outage is known to the end of the slot that
    decides, in milliseconds.
    """
    import numpy as np  # noqa: PLC0415 - wanted for trials alone

    rng: Any = np.random.default_rng(seed)
    found: list[int | None] = []
    for _ in range(outages):
        normal = _drawn_normal(rng, rule, rate_per_s, background)
        before_ms = 60_000 + int(rng.integers(0, SLOT_MS))
        number = int(rng.poisson(rate_per_s * (before_ms + lasting_ms) / 1000))
        times = np.sort(rng.integers(0, before_ms + lasting_ms, number))
        inside = times >= before_ms
        fails = rng.random(number) < np.where(inside, share, background)
        hit = times[fails & inside]
        if not len(hit):
            found.append(None)
            continue
        slots = times // SLOT_MS
        size = (before_ms + lasting_ms) // SLOT_MS + 1
        attempts = np.bincount(slots, minlength=size)
        failed = np.bincount(slots[fails], minlength=size)
        ends = [(slot + 1) * SLOT_MS for slot, _ in _verdicts(attempts, failed, rule, normal)]
        after = [end - int(hit[0]) for end in ends if end > int(hit[0])]
        found.append(after[0] if after else None)
    return found


def trial(rule: Rule, rate_per_s: float, weeks: int, outages: int, seed: int) -> Trial:
    """Return the results of a rule at a rate, with 3 % of noise, without and with full outages.

    Outages last a minute, or the expected time of ten lookups if that is longer.
    """
    lasting_ms = max(60_000, round(10_000 / rate_per_s))
    noise = false_outages(rule, rate_per_s, weeks, rule.normal_failure_share, seed)
    found = delays(rule, rate_per_s, outages, rule.normal_failure_share, 1.0, lasting_ms, seed)
    known = [delay for delay in found if delay is not None]
    return Trial(rate_per_s, weeks, noise, known, len(found) - len(known))
