"""The calendars that a ledger uses: the built-in ones, and those from the settings.

They are stored in the ledger, so that every reader uses the same ones. If the version of any changes,
everything is counted again (`settle_after_upgrade`).
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
    """Return a ledger's custom calendars, as written in the settings."""
    text = connection.scalar(sa.select(settings.c.value).where(settings.c.name == SETTING))
    return _decode(text or "[]")


def calendars_of(connection: sa.Connection) -> dict[str, Calendar]:
    """Return all calendars of a ledger, by name."""
    text = connection.scalar(sa.select(settings.c.value).where(settings.c.name == SETTING))
    return dict(_calendars(text or "[]"))


def keep_calendars(connection: sa.Connection, said: Iterable[CalendarSaid]) -> None:
    """Store the ledger's custom calendars; `settle_after_upgrade` then updates the figures.

    Raises:
        CalendarError: one of them is invalid.
    """
    listed = sorted(said, key=lambda one: one.name)
    calendars_from(listed)
    text = msgspec.json.encode(listed, order="deterministic").decode()
    upsert(connection, settings, [{"name": SETTING, "value": text}])


def versions(calendars: dict[str, Calendar]) -> str:
    """Return a text that identifies the calendars' versions, to tell whether figures are up to date."""
    return " ".join(f"{one.name}={one.version}" for one in calendars.values())


@lru_cache(maxsize=16)
def _calendars(text: str) -> dict[str, Calendar]:
    return calendars_from(_decode(text))
