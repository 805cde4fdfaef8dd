"""The calendars by which a ledger counts: the built-in ones, and those that settings gave it.

They are kept in the ledger, so that every reader counts by the same ones. Another version of any has
everything counted again (`settle_after_upgrade`).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec
import sqlalchemy as sa

from streams.ledger.store.rows import upsert
from streams.ledger.store.schema import settings
from streams.model.hours.calendar import Calendar
from streams.model.hours.calendar_file import CalendarSaid, calendars_from

SETTING: Final = "calendars of its own"
_decode: Final = msgspec.json.Decoder(list[CalendarSaid]).decode


def said_calendars(connection: sa.Connection) -> list[CalendarSaid]:
    """Return the calendars that settings gave a ledger, as they said them."""
    text = connection.scalar(sa.select(settings.c.value).where(settings.c.name == SETTING))
    return _decode(text or "[]")


def calendars_of(connection: sa.Connection) -> dict[str, Calendar]:
    """Return the calendars by which a ledger counts, by name."""
    text = connection.scalar(sa.select(settings.c.value).where(settings.c.name == SETTING))
    return dict(_calendars(text or "[]"))


def keep_calendars(connection: sa.Connection, said: Iterable[CalendarSaid]) -> None:
    """Make these the ledger's own calendars; what is counted by them is not brought up to date yet.

    Raises:
        CalendarError: they cannot be.
    """
    listed = sorted(said, key=lambda one: one.name)
    calendars_from(listed)
    text = msgspec.json.encode(listed, order="deterministic").decode()
    upsert(connection, settings, [{"name": SETTING, "value": text}])


def versions(calendars: dict[str, Calendar]) -> str:
    """Return what tells whether figures were counted by these calendars."""
    return " ".join(f"{one.name}={one.version}" for one in calendars.values())


@lru_cache(maxsize=16)
def _calendars(text: str) -> dict[str, Calendar]:
    return calendars_from(_decode(text))
