"""Wait for a broker as the stage loop does: report it in one line, and retry after a while.

A client that has nothing to send only logs when its broker goes away. `BrokerSilence` holds these log lines
back, and they make the stage check whether a broker answers.
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
    """Return how many partitions a topic has; wait until the broker answers.

    Raises `PublishError` if the topic is missing, `StageStoppedError` if the broker refuses us.
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
    """Report once when no broker answers any more, and once when one does again; never return."""
    wait_seconds, away = WATCH_SECONDS, False
    while True:
        await asyncio.sleep(wait_seconds)
        if not telemetry.BrokerSilence.take_suspicion() and not away:
            continue
        error = await unreachable(connection)
        away = error is not None
        telemetry.emit(telemetry.BrokerBack() if error is None else telemetry.BrokerAway(error))
        wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS) if away else WATCH_SECONDS
