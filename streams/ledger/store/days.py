"""Which days of which links must be counted again, and how long each link has been watched."""

from collections.abc import Iterable

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.store.schema import links
from streams.model.calendar import DAY_MS, day_start_ms
from streams.model.exclusion import EVERY_LINK, Exclusion


class LinkLife(Struct):
    """The days ``[first_day_ms, last_day_ms]`` between a link's first and last window, both included.

    Within it every day has its figures; outside it all time is unknown and needs no row.
    """

    first_day_ms: int
    last_day_ms: int
    known_until_ms: int

    @property
    def end_ms(self) -> int:
        """End of the last day."""
        return self.last_day_ms + DAY_MS


def link_lives(connection: sa.Connection) -> dict[str, LinkLife]:
    """Return the life of every link that has windows, by name."""
    rows = connection.execute(sa.select(links).order_by(links.c.link))
    return {row.link: LinkLife(row.first_day_ms, row.last_day_ms, row.known_until_ms) for row in rows}


class DirtyDays:
    """Collects the days that a batch touches; days outside a link's life are left out at the end."""

    def __init__(self, connection: sa.Connection) -> None:
        self.lives = link_lives(connection)
        self._touched: dict[str, set[int]] = {}
        self._changed_links: set[str] = set()
        self._spans: list[tuple[str, int, int | None]] = []

    def add_windows(self, link: str, day_ms: int, known_until_ms: int) -> None:
        """Mark a day whose windows changed; the link's life may grow, and days in between count too."""
        life = self.lives.get(link)
        touched = self._touched.setdefault(link, set())
        if life is None:
            self.lives[link] = LinkLife(day_ms, day_ms, known_until_ms)
        else:
            touched.update(
                range(life.end_ms, day_ms, DAY_MS), range(day_ms + DAY_MS, life.first_day_ms, DAY_MS)
            )
            life.first_day_ms = min(life.first_day_ms, day_ms)
            life.last_day_ms = max(life.last_day_ms, day_ms)
            life.known_until_ms = max(life.known_until_ms, known_until_ms)
        touched.add(day_ms)
        self._changed_links.add(link)

    def add_span(self, link: str, start_ms: int, end_ms: int | None) -> None:
        """Mark the days that an outage or an exclusion touches; an open one goes on."""
        self._spans.append((link, start_ms, end_ms))

    def links_touched_by(self, exclusion: Exclusion) -> Iterable[str]:
        """Return the links that an exclusion is about."""
        return list(self.lives) if exclusion.link == EVERY_LINK else [exclusion.link]

    def changed_links(self) -> list[dict[str, object]]:
        """Return the rows of links whose life changed."""
        return [
            {
                "link": link,
                "first_day_ms": self.lives[link].first_day_ms,
                "last_day_ms": self.lives[link].last_day_ms,
                "known_until_ms": self.lives[link].known_until_ms,
            }
            for link in sorted(self._changed_links)
        ]

    def days(self) -> dict[str, list[int]]:
        """Return the days to count again, by link, ascending, within each link's life."""
        for link, start_ms, end_ms in self._spans:
            life = self.lives.get(link)
            if life is None:
                continue
            last_ms = life.end_ms if end_ms is None else min(end_ms, life.end_ms)
            first_day_ms = day_start_ms(max(start_ms, life.first_day_ms))
            self._touched.setdefault(link, set()).update(range(first_day_ms, last_ms, DAY_MS))
        return {link: sorted(days) for link, days in sorted(self._touched.items()) if days}
