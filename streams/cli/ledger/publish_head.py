"""`portallink ledger publish-head`: signed heads to where the ledger's operator cannot write."""

import time
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from sqlalchemy.exc import SQLAlchemyError

from streams import telemetry
from streams.cli.ledger.ledger_options import LedgerAddress, opened
from streams.cli.outcome import fail, notes, refuse
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.ledger.proof.elsewhere import HeadsDivergeError, unpublished
from streams.ledger.proof.heads import latest_head, stored_heads
from streams.ledger.store.database import reading
from streams.record.destinations import (
    TOPIC_PREFIX,
    Destination,
    DestinationError,
    HeadAddress,
    HeadFile,
    HeadTopic,
)


def publish_head(
    destinations: Annotated[
        list[str], typer.Argument(help="A file, an http(s):// address, or topic:NAME on the broker.")
    ],
    *,
    every: Annotated[
        float | None, typer.Option(min=1, help="Keep running, and look for new heads every so many seconds.")
    ] = None,
    ledger: LedgerAddress = None,
) -> None:
    """Publish new signed heads to places outside the ledger, each once and in order.

    Exits 1 if a destination fails. Exits at once, even with --every, if the ledger no longer matches a
    published head, for then its history was rewritten.
    """
    telemetry.configure("ledger")
    places = {name: _destination(name) for name in destinations}
    with opened(ledger) as engine:
        while True:
            failed = [name for name, place in places.items() if not _publish(engine, name, place)]
            if every is None:
                break
            time.sleep(every)
    if failed:
        fail(f"not published: {', '.join(failed)}")


def _destination(name: str) -> Destination:
    if name.startswith(("http://", "https://")):
        return HeadAddress(name)
    if not name.startswith(TOPIC_PREFIX):
        return HeadFile(Path(name))
    try:
        return HeadTopic(kafka_connection(), name.removeprefix(TOPIC_PREFIX))
    except ConnectionSettingsError as error:
        refuse(error)


def _publish(engine: sa.Engine, name: str, place: Destination) -> bool:
    """Publish what a place does not have; say whether it has everything now."""
    try:
        last = place.last()
        with reading(engine) as connection:
            if last is None:
                newest = latest_head(connection)
                stored = [] if newest is None else [newest]
            else:
                stored = stored_heads(connection, after=last.statement().number - 1)
        for head in unpublished(last, stored):
            place.publish(head)
            telemetry.emit(telemetry.HeadPublished(name, head.statement().number))
    except HeadsDivergeError as error:
        telemetry.emit(telemetry.HeadsDiverge(name, str(error)))
        fail(f"{name}: {error}: its history was rewritten")
    except (DestinationError, ValueError, SQLAlchemyError) as error:
        telemetry.emit(telemetry.HeadNotPublished(name, f"{type(error).__name__}: {error}"))
        notes.print(f"{name}: {error}")
        return False
    return True
