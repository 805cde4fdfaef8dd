"""How many lookups to expect on a link by hour of the week, learned from time without outages.

Theory. Lookups come as a Poisson process whose rate follows the hour of the week. If ``n`` were expected and
none came, the probability is e^-n: from ``SILENCE`` = 9.21 = -ln(1e-4) on, silence cannot be chance. It means
that nobody sent lookups, not that the link is down, so the link is then UNKNOWN. A busy link becomes UNKNOWN
after seconds of silence, a quiet one only when its last evidence is too old (``evidence_ttl_ms``).
"""

from typing import Final

from msgspec import Struct, field

HOUR_MS: Final = 3_600_000
HOURS_A_WEEK: Final = 168
SILENCE: Final = 9.21
"""If this many lookups were expected, none at all is beyond chance: -ln(1e-4)."""
WEIGHT: Final = 0.25
"""Weight of the newest week in the running mean."""
LEAST_SEEN_MS: Final = 600_000


class Expected(Struct, array_like=True):
    """Lookups a second by hour of the week, from Thursday 00:00 UTC; None for hours never seen."""

    rates: list[float | None] = field(default_factory=lambda: [None] * HOURS_A_WEEK)

    def learn(self, hour_ms: int, attempts: int, seen_ms: int) -> None:
        """Learn from an hour: the attempts in its observed time without trouble, ``seen_ms`` long."""
        if seen_ms < LEAST_SEEN_MS:
            return
        at = hour_ms // HOUR_MS % HOURS_A_WEEK
        rate, known = 1000 * attempts / seen_ms, self.rates[at]
        self.rates[at] = rate if known is None else known + WEIGHT * (rate - known)

    def silence_ms(self, at_ms: int, recent_a_second: float | None) -> int | None:
        """Return from what length (ms) a silence at ``at_ms`` is beyond chance, None if nothing is known.

        The lower of the hour's usual rate and the recent one counts: on a holiday few lookups are normal.

                >>> Expected().silence_ms(0, recent_a_second=1.0)
                9210
        """
        rate = self.rates[at_ms // HOUR_MS % HOURS_A_WEEK]
        if rate is None or (recent_a_second is not None and recent_a_second < rate):
            rate = recent_a_second
        return None if rate is None or rate <= 0 else round(1000 * SILENCE / rate)
