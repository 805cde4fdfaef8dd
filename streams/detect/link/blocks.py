"""Ten-minute blocks: a link's facts summed up to find what is normal for it."""

from collections.abc import Iterable
from typing import Final

from streams.detect.link.minute import Minute
from streams.detect.rule.cusum import Condition
from streams.detect.rule.definition import Rule
from streams.detect.rule.level import LEAST_ATTEMPTS
from streams.detect.rule.normal import BLOCK_MS, Block, block_of
from streams.detect.rule.slowness import Usual, usual_of

BLOCKS_KEPT: Final = 4
"""Blocks whose minutes' usual response times are kept: most late facts are not later than that."""


class Blocks:
    """Sums up blocks. Keeps the usual response times of each minute of the last few, for late facts."""

    def __init__(self) -> None:
        self._usual: dict[int, dict[int, Usual]] = {}

    def note(self, start_ms: int, minute: Minute) -> None:
        """Note that a minute's facts changed."""
        if usual := self._usual.get(start_ms // BLOCK_MS * BLOCK_MS):
            usual[start_ms] = usual_of(minute.latencies()[0])

    def sum_up(self, block_ms: int, minutes: list[tuple[int, Minute]], rule: Rule) -> Block | None:
        """Return the block of some minutes, given with their starts, ascending; None if it is empty."""
        attempts = sum(minute.attempts for _, minute in minutes)
        failures = max(sum(minute.failures for _, minute in minutes), 0)
        latencies = self._usual_in(block_ms, minutes) if attempts >= LEAST_ATTEMPTS else []
        worst = _worst(minute for _, minute in minutes)
        return block_of(block_ms, attempts, failures, latencies, rule, worst)

    def _usual_in(self, block_ms: int, minutes: list[tuple[int, Minute]]) -> list[Usual]:
        usual = self._usual.get(block_ms)
        if usual is None:
            usual = {at: usual_of(minute.latencies()[0]) for at, minute in minutes}
            while len(self._usual) >= BLOCKS_KEPT:
                del self._usual[min(self._usual)]
            self._usual[block_ms] = usual
        return [usual[at] for at in sorted(usual)]


def _worst(minutes: Iterable[Minute]) -> Condition:
    """Return the worst condition of the link during the minutes."""
    met = set[Condition]()
    for minute in minutes:
        met.add(minute.before.condition)
        met.update(decided.verdict.condition for decided in minute.verdicts)
    return "DOWN" if "DOWN" in met else "DEGRADED" if "DEGRADED" in met else "UP"
