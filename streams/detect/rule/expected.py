"""How many lookups to expect of a link: by hour of the week, learned with outages left out.

Theory. Lookups come as a Poisson process whose rate follows the hour of the week. Where ``n`` were expected
and none came, the chance of that is e^-n: from ``SILENCE`` = 9.21 = -ln(1e-4) on, silence is no accident. It
says that nobody asked, not that the link is down, so the link is then UNKNOWN. A busy link is so after
seconds of silence, a quiet one only when its last evidence has aged (``evidence_ttl_ms``).
"""

from typing import Final

from msgspec import Struct, field

HOUR_MS: Final = 3_600_000
HOURS_A_WEEK: Final = 168
SILENCE: Final = 9.21
"""Expected lookups from which none at all is beyond chance: -ln(1e-4)."""
WEIGHT: Final = 0.25
"""Weight of the newest week in the running mean."""
LEAST_SEEN_MS: Final = 600_000


class Expected(Struct, array_like=True):
    """Lookups a second by hour of the week, from Thursday 00:00 UTC; None where never seen."""

    rates: list[float | None] = field(default_factory=lambda: [None] * HOURS_A_WEEK)

    def learn(self, hour_ms: int, attempts: int, seen_ms: int) -> None:
        """Take in an hour: what was asked in its untroubled, seen time."""
        if seen_ms < LEAST_SEEN_MS:
            return
        at = hour_ms // HOUR_MS % HOURS_A_WEEK
        rate, known = 1000 * attempts / seen_ms, self.rates[at]
        self.rates[at] = rate if known is None else known + WEIGHT * (rate - known)

    def silence_ms(self, at_ms: int, recent_a_second: float | None) -> int | None:
        """Return after how long at a time silence is beyond chance, or None where nothing is known.

        The lesser of the hour's usual rate and the recent one counts: on a holiday few lookups are normal.

        >>> Expected().silence_ms(0, recent_a_second=1.0)
        9210
        """
        rate = self.rates[at_ms // HOUR_MS % HOURS_A_WEEK]
        if rate is None or (recent_a_second is not None and recent_a_second < rate):
            rate = recent_a_second
        return None if rate is None or rate <= 0 else round(1000 * SILENCE / rate)
