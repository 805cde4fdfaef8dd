"""What the ledger exports as metrics: figures of today, this month and 30 days, and recent outages.

The figures equal those of `outages summary` over the same periods, with the calendar 24x7. Periods end at the
end of the data, so a ledger fed with a past day shows that day as today.
"""

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.figures import link_figures
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.store.days import link_lives
from streams.ledger.store.rows import outage_decoder
from streams.ledger.store.schema import outage_revisions, outages
from streams.model.availability import Figures
from streams.model.hours.calendar import DAY_MS, day_start_ms, month_of
from streams.model.outage import Outage

DAYS: Final = 30
Ratios = dict[tuple[str, str], float]
"""By link and period."""


class Present(Struct, frozen=True):
    """The ledger's figures at the end of its data, ``until_ms``.

    ``figures`` are by period (today, month, 30d) and link; ``outages`` are the open and the last closed ones,
    latest first.
    """

    until_ms: int
    figures: dict[str, dict[str, Figures]]
    outages: list[Outage]

    def availability(self) -> Ratios:
        """Return the availability of each link and period in which anything was observed."""
        return self._ratios(lambda figures: figures.availability_pct)

    def coverage(self) -> Ratios:
        """Return the coverage of each link and period that has agreed time."""
        return self._ratios(lambda figures: figures.coverage_pct)

    def _ratios(self, percent_of: Callable[[Figures], float | None]) -> Ratios:
        percents = {
            (link, period): percent_of(figures)
            for period, by_link in self.figures.items()
            for link, figures in by_link.items()
        }
        return {key: percent / 100 for key, percent in percents.items() if percent is not None}


def periods(until_ms: int) -> dict[str, int]:
    """Return the start of each period that ends at a moment; 30 days are the local day and the 29 before.

    >>> from datetime import datetime
    >>> from streams.model.hours.calendar import from_local, to_local
    >>> starts = periods(from_local(datetime(2025, 6, 3, 8, 0)))
    >>> {name: to_local(start).isoformat()[:16] for name, start in starts.items()}
    {'today': '2025-06-03T00:00', 'month': '2025-06-01T00:00', '30d': '2025-05-05T00:00'}
    """
    today_ms = day_start_ms(until_ms - 1)
    return {
        "today": today_ms,
        "month": month_of(until_ms - 1)[0],
        "30d": today_ms - (DAYS - 1) * DAY_MS,
    }


def present(
    connection: sa.Connection, *, second_person: bool, most_open: int, most_closed: int
) -> Present | None:
    """Return the ledger's current figures, None while it has no windows.

    ``second_person`` says whether an exclusion after the fact needs a second person's approval.
    """
    lives = link_lives(connection)
    if not lives:
        return None
    until_ms = max(life.known_until_ms for life in lives.values())
    figures = {
        name: link_figures(Standing(connection, Question(start_ms, until_ms, second_person=second_person)))
        for name, start_ms in periods(until_ms).items()
    }
    counted = {name: {link: one.figures for link, one in by.items()} for name, by in figures.items()}
    return Present(until_ms, counted, _outages(connection, most_open, most_closed))


def _outages(connection: sa.Connection, most_open: int, most_closed: int) -> list[Outage]:
    bodies = sa.select(outage_revisions.c.body).join(
        outages,
        sa.and_(
            outage_revisions.c.outage_id == outages.c.outage_id,
            outage_revisions.c.revision == outages.c.revision,
        ),
    )
    found = []
    for status, order, most in (
        ("open", outages.c.start_ms, most_open),
        ("closed", outages.c.end_ms, most_closed),
    ):
        statement = bodies.where(outages.c.status == status).order_by(order.desc(), outages.c.outage_id)
        found += [outage_decoder.decode(body) for body in connection.scalars(statement.limit(most))]
    return found
