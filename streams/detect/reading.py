"""Checks that `link.measurements` is still the log that `detect` followed, and corrects Faust's position.

Faust knows a partition only by its commit. If the topic was recreated under its name, or lost its end, Faust
skips everything before the commit, and never commits an earlier offset. So the commit must be set back
explicitly, before anything in the other log counts as published.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition

from streams.detect.failing import BROKER_AWAY
from streams.detect.link.snapshot import Place
from streams.kafka.clients import KafkaConsumer
from streams.kafka.identity import is_other_log
from streams.kafka.ports import Bounds, BrokerAwayError

RETRY_SECONDS: Final = 1.0
FETCH_BYTES: Final = 1024 * 1024


class Reading:
    """Watches the partitions that Faust's application reads. Calls may come in any order, `close` last."""

    def __init__(self, app: Any, connection: Mapping[str, Any], topic: str) -> None:
        self._app, self._connection, self._topic = app, connection, topic
        self._asking: KafkaConsumer | None = None

    async def other_log(self, partition: int, place: Place, committed: int = 0) -> Bounds | None:
        """Return a partition's bounds if it is not the log that was followed up to a place, otherwise None.

        The commit may be ahead of the place. Waits while the broker is away.
        """
        source, (position, logged_ms) = TopicPartition(self._topic, partition), place
        while True:
            try:
                asking = self._asking or await self._open()
                bounds = (await asking.bounds([source]))[source]
                if committed > bounds.end or await is_other_log(asking, source, position, logged_ms, bounds):
                    return bounds
            except (*BROKER_AWAY, BrokerAwayError):
                await self.close()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return None

    async def set_back(self, partition: int, offset: int) -> None:
        """Commit an earlier offset, in another log, and make Faust read and commit from there."""
        consumer = self._app.consumer
        mine = [one for one in consumer.assignment() if tuple(one) == (self._topic, partition)]
        for source in mine:
            await consumer._commit({source: offset})  # noqa: SLF001 - there is no public method for it
            for known in (consumer._committed_offset, consumer._acked, consumer._acked_index):  # noqa: SLF001
                known.pop(source, None)
            await consumer.seek(source, offset)

    async def close(self) -> None:
        """Close the connection to the broker."""
        asking, self._asking = self._asking, None
        if asking is not None:
            await asking.stop()

    async def _open(self) -> KafkaConsumer:
        asking = KafkaConsumer(self._connection, self._app.conf.id, fetch_bytes=FETCH_BYTES)
        await asking.start()
        self._asking = asking
        return asking
