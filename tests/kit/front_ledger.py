"""A small ledger that takes records in as they come, for the front page and its walks."""

from pathlib import Path

import msgspec
import worked_month as month

from streams.ledger.read.board import Days, board
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url
from streams.model.hours.calendar import MINUTE_MS
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.serve.names import city_names
from streams.serve.pages.headline import headline

NPD, VNEID = "hcmc-npd", "hcmc-vneid"
NOON = month.at(3, 12)


def window(link: str, start_ms: int, **other) -> Window:
    """Return a minute of a link that is up, unless said otherwise."""
    stated = {
        "revision": 1,
        "state": "UP",
        "state_ms": {"UP": MINUTE_MS},
        "requested": 20,
        "attempts": 20,
        "failures": 0,
        "outcomes": {"ok": 20},
        "latency_ms": {"p50": 120.0, "p95": 321.0, "p99": 500.0},
        "provider_latency_ms": None,
    }
    return Window(link=link, start_ms=start_ms, end_ms=start_ms + MINUTE_MS, **(stated | other))


class Ledger:
    """A ledger that takes records in as they come."""

    def __init__(self, path: Path) -> None:
        self.engine = open_ledger(sqlite_url(path / "ledger.db"), create=True)
        self._offsets: dict[str, int] = {}

    def take(self, topic: str, *values: object) -> None:
        """Apply values of a topic."""
        records = []
        for value in values:
            offset = self._offsets.get(topic, 0)
            self._offsets[topic] = offset + 1
            body = msgspec.json.encode(value, order="deterministic")
            records.append(Record(topic, 0, offset, NOON, b"", body))
        apply_records(self.engine, records)

    def watch(self, *links: str, until_ms: int = NOON, minutes: int = 90) -> None:
        """Take in windows of links that are up."""
        self.take(
            "link.windows",
            *(window(link, until_ms - at * MINUTE_MS) for link in links for at in range(minutes, 0, -1)),
        )

    def says(self, language: str = "vi") -> list[str]:
        """Return the sentences of the front page."""
        with reading(self.engine) as connection:
            now = board(connection, Days(), second_person=True)
        return headline(now, city_names(), language).sentences


def trouble(link: str, start_ms: int, **other) -> Outage:
    """Return an open outage of a link."""
    return month.outage(link, "down", "provider", start_ms, None, 926, **({"link": link} | other))
