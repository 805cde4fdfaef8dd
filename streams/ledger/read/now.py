"""Which links are under announced maintenance, and which are retired, at a moment."""

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.histories import all_rulings, retirements
from streams.ledger.store.days import link_lives


class Judged(Struct, frozen=True):
    """Links under maintenance that was announced before it began, and links out of service; both by name."""

    maintenance: list[str]
    retired: list[str]


def judged_at(connection: sa.Connection, now_ms: int) -> Judged:
    """Return the links under maintenance and those retired at a moment, among links with windows."""
    links = link_lives(connection)
    announced = [
        ruling.last
        for ruling in all_rulings(connection, now_ms)
        if ruling.last.start_ms <= now_ms < ruling.last.end_ms
        and not ruling.last.withdrawn
        and not ruling.after_the_fact
    ]
    gone = retirements(connection, now_ms)
    return Judged(
        [link for link in links if any(one.touches(link) for one in announced)],
        [
            link
            for link in links
            if link in gone and not gone[link].withdrawn and gone[link].from_ms <= now_ms
        ],
    )
