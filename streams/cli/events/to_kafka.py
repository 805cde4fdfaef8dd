"""Sending to the broker of the settings, for commands that can also write a log file."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from streams.cli.outcome import fail, refuse
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.publish import PublishError

Sent = TypeVar("Sent")


def to_kafka(send: Callable[[dict[str, Any]], Awaitable[Sent]]) -> Sent:
    """Return what ``send`` returns, called with the connection; end the command where nothing can be sent."""
    try:
        connection = kafka_connection()
    except ConnectionSettingsError as error:
        refuse(f"{error}; or write a log file with --out")

    async def sending() -> Sent:
        return await send(connection)

    try:
        return asyncio.run(sending())
    except PublishError as error:
        fail(error)
