"""Which days of which links must be counted again, and how long each link has been observed."""

from collections.abc import Iterable
from typing import Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.store.schema import links
from streams.model.exclusion import EVERY_LINK
from streams.model.hours.calendar import DAY_MS, day_start_ms
from streams.model.outage import RaisedNormal

_normal: Final = msgspec.json.Decoder(RaisedNormal)


class LinkLife(Struct):
    """When a link's data begins (``first_ms``, its first window) and on which day it ends.

    Before ``first_ms`` there is no service time. Every day from there to ``last_day_ms``, both included, has
    figures; later time is unknown and needs no row. ``normal`` is the link's raised normal in its last
    window.
    """

    first_ms: int
    last_day_ms: int
    known_until_ms: int
    normal: RaisedNormal | None = None

    @property
    def first_day_ms(self) -> int:
        """Start of the day of the first window."""
        return day_start_ms(self.first_ms)

    @property
    def end_ms(self) -> int:
        """End of the last day."""
        return self.last_day_ms + DAY_MS


def link_lives(connection: sa.Connection) -> dict[str, LinkLife]:
    """Return the life of every link that has windows, by name."""
    rows = connection.execute(sa.select(links).order_by(links.c.link)).all()
    return {
        row.link: LinkLife(
            row.first_ms,
            row.last_day_ms,
            row.known_until_ms,
            None if row.normal is None else _normal.decode(row.normal),
        )
        for row in rows
    }


class DirtyDays:
    """Collects the days that a batch touches; `days` omits those outside a link's life.

    A day whose facts changed is counted again (`days`). An exclusion or a retirement changes no facts; only
    the outages that it overlaps are reconsidered (`met`).
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.lives = link_lives(connection)
        self._touched: dict[str, set[int]] = {}
        self._changed_links: set[str] = set()
        self._spans: list[tuple[str, int, int | None]] = []
        self._met: list[tuple[str, int, int | None]] = []

    def add_windows(
        self,
        link: str,
        day_ms: int,
        first_ms: int,
        known_until_ms: int,
        normal: RaisedNormal | None = None,
    ) -> None:
        """Mark a day whose windows changed. If the link's life grows, days in between are marked too."""
        life = self.lives.get(link)
        touched = self._touched.setdefault(link, set())
        if life is None:
            self.lives[link] = LinkLife(first_ms, day_ms, known_until_ms, normal)
        else:
            touched.update(
                range(life.end_ms, day_ms, DAY_MS), range(day_ms + DAY_MS, life.first_day_ms, DAY_MS)
            )
            if first_ms < life.first_ms:
                touched.add(life.first_day_ms)  # now service time from its beginning
                life.first_ms = first_ms
            life.last_day_ms = max(life.last_day_ms, day_ms)
            if known_until_ms >= life.known_until_ms:
                life.known_until_ms, life.normal = known_until_ms, normal
        touched.add(day_ms)
        self._changed_links.add(link)

    def add_span(self, link: str, start_ms: int, end_ms: int | None) -> None:
        """Mark the days that an outage touches and the outages that it overlaps; an open one has no end."""
        self._spans.append((link, start_ms, end_ms))
        self._met.append((link, start_ms, end_ms))

    def add_exclusion(self, link: str, start_ms: int, end_ms: int) -> None:
        """Mark the outages that an exclusion (of one or all links) overlaps, and the days of its edges."""
        for one in list(self.lives) if link == EVERY_LINK else [link]:
            self._met.append((one, start_ms, end_ms))
            for edge_ms in (start_ms, end_ms):
                self._spans.append((one, edge_ms, edge_ms + 1))

    def add_retirement(self, link: str, from_ms: int) -> None:
        """Mark a link's outages that are not over when it is retired."""
        self._met.append((link, from_ms, None))

    def changed_links(self) -> list[dict[str, object]]:
        """Return the rows of links whose life changed."""
        return [
            {
                "link": link,
                "first_ms": self.lives[link].first_ms,
                "last_day_ms": self.lives[link].last_day_ms,
                "known_until_ms": self.lives[link].known_until_ms,
                "normal": _written(self.lives[link].normal),
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

    def met(self) -> Iterable[tuple[str, int, int | None]]:
        """Return the spans whose outages must be reconsidered: link, start, end (None: without end)."""
        return self._met


def _written(normal: RaisedNormal | None) -> str | None:
    return None if normal is None else msgspec.json.encode(normal).decode()
