"""Waiting for a broker, as the stage loop does: one line, and another try after a while.

A client whose broker goes away only writes lines while it has nothing to send. They are held back
(`BrokerSilence`), and make the stage ask whether a broker answers.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from streams import telemetry
from streams.kafka.clients import refusal, unreachable
from streams.kafka.loop import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, refused
from streams.kafka.publish import NoBrokerError, partitions_of

WATCH_SECONDS: Final = 1.0


async def partitions_when_there(connection: Mapping[str, Any], topic: str) -> int:
    """Return how many partitions a topic has, as soon as the broker answers.

    Raises `PublishError` where the broker lacks the topic, `StageStoppedError` where it lets nobody in.
    """
    wait_seconds, away = FIRST_WAIT_SECONDS, False
    while True:
        try:
            found = await partitions_of(connection, topic)
        except NoBrokerError as error:
            if not away:
                if why := await refusal(connection):
                    raise refused(why) from error
                telemetry.emit(telemetry.BrokerAway(str(error)))
                away = True
        else:
            if away:
                telemetry.emit(telemetry.BrokerBack())
            return found
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)


async def watch_broker(connection: Mapping[str, Any]) -> None:
    """Tell once when no broker answers any more, and once when one does again; never return."""
    wait_seconds, away = WATCH_SECONDS, False
    while True:
        await asyncio.sleep(wait_seconds)
        if not telemetry.BrokerSilence.take_suspicion() and not away:
            continue
        error = await unreachable(connection)
        away = error is not None
        telemetry.emit(telemetry.BrokerBack() if error is None else telemetry.BrokerAway(error))
        wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS) if away else WATCH_SECONDS
