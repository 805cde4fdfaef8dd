"""The records that a stage has sent and the broker has not acknowledged yet.

A record that failed to send is gone from the producer. So the first failure closes the outbox for good: every
later call raises it again, and nothing after the failure can be committed. The stage then restarts from its
last commit and sends the same records again.
"""

import asyncio
from typing import Final

from streams.kafka.ports import BrokerAwayError, BrokerRefusedError, Producer

SETTLE_SECONDS: Final = 60.0
"""Longer than the client's own time-out for one record."""


class Outbox:
    """Sends records by one producer; `settle` returns once all of them are acknowledged."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._waiting: list[asyncio.Future[int]] = []
        self._failure: Exception | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None = None, partition: int | None = None
    ) -> "asyncio.Future[int]":
        """Hand a record to the producer; return the future of its offset.

        Raises the first failure of this outbox, of this record or an earlier one.
        """
        self.check()
        try:
            sent = await self._producer.send(topic, value, key=key, partition=partition)
        except (BrokerAwayError, BrokerRefusedError) as error:
            self._failure = self._failure or error
            raise
        sent.add_done_callback(self._note)
        self._waiting.append(sent)
        return sent

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    async def settle(self) -> None:
        """Return once everything sent so far is acknowledged; raise the first failure otherwise.

        A producer may retry for ever, for example if a topic was recreated and its sequence numbers no longer
        match. After `SETTLE_SECONDS` that counts as a failure, so that a new session begins.
        """
        until = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while self._waiting:
            left_seconds = until - asyncio.get_running_loop().time()
            if left_seconds <= 0:
                self._failure = self._failure or BrokerAwayError("the broker did not acknowledge in time")
                break
            sent = self._waiting
            await asyncio.wait(sent, timeout=left_seconds)
            self._waiting = [one for one in self._waiting if not one.done()]
        self.check()

    def _note(self, sent: "asyncio.Future[int]") -> None:
        error = BrokerAwayError("given up") if sent.cancelled() else sent.exception()
        if isinstance(error, Exception):
            self._failure = self._failure or error
