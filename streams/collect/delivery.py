"""Sends events to Kafka; when `Delivery.send` returns, the broker has confirmed them.

If a batch fails, the producer is replaced by a new one, because nobody knows which batches arrived. Waiting
senders get an error and send again; an event id counts once.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec

from streams import telemetry
from streams.kafka.loop import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS
from streams.kafka.publish import Publisher, PublishError
from streams.kafka.topics import Topics
from streams.kafka.worker import StageStoppedError
from streams.model.record import Record
from streams.model.wire import Event, Heartbeat, Lookup

ANSWER_SECONDS: Final = 8.0
"""Exporters give up after ten seconds; before that they are told to try again."""
REQUEST_TIMEOUT_MS: Final = 20_000

_encode: Final = msgspec.json.Encoder().encode


class KafkaAwayError(RuntimeError):
    """The events may not be on their topics; trying again later may help."""


class Delivery:
    """Keeps a producer connected while `run` is running."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        topics: Topics,
        *,
        refusal: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        self._connection = {"request_timeout_ms": REQUEST_TIMEOUT_MS, **connection}
        self._topics, self._refusal = topics, refusal
        self._publisher: Publisher | None = None
        self._counts: dict[str, int] = {}
        self._failed = asyncio.Event()
        self._told = False

    async def run(self) -> None:
        """Connect, and reconnect after each failure; raise StageStoppedError if the broker refuses us."""
        wait_seconds = FIRST_WAIT_SECONDS
        while True:
            try:
                async with Publisher(self._connection, original_times=False) as publisher:
                    for topic in (self._topics.lookups, self._topics.submissions):
                        self._counts[topic] = await publisher.partitions_of(topic)
                    self._failed.clear()
                    self._publisher, wait_seconds = publisher, FIRST_WAIT_SECONDS
                    self._back()
                    await self._failed.wait()
            except PublishError as error:
                await self._away(str(error))
            finally:
                self._publisher = None
                telemetry.emit(telemetry.StageReady(ready=False))
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)

    def _back(self) -> None:
        if self._told:
            telemetry.emit(telemetry.BrokerBack())
            self._told = False
        telemetry.emit(telemetry.StageReady(ready=True))
        telemetry.emit(telemetry.StageMoved())

    async def _away(self, reason: str) -> None:
        if self._told:
            return
        if self._refusal is not None and (why := await self._refusal()):
            raise StageStoppedError(
                f"the broker refuses this client: {why}. Check the KAFKA_ settings and the broker's "
                "access control"
            )
        telemetry.emit(telemetry.BrokerAway(reason))
        self._told = True

    @property
    def ready(self) -> bool:
        """Whether a producer is connected now."""
        return self._publisher is not None

    async def send(
        self, events: Sequence[Event], timeout_seconds: float | None = ANSWER_SECONDS
    ) -> dict[str, int]:
        """Publish events, and return the number of confirmed records by topic.

        Raises KafkaAwayError.
        """
        publisher = self._publisher
        if publisher is None:
            raise KafkaAwayError("the broker is away")
        sent: dict[str, int] = {}
        try:
            async with asyncio.timeout(timeout_seconds):
                await publisher.deliver(self._records(events, sent))
        except TimeoutError as error:
            raise KafkaAwayError(f"the broker did not confirm within {timeout_seconds} s") from error
        except PublishError as error:
            self._failed.set()
            await self._away(str(error))
            raise KafkaAwayError(str(error)) from error
        telemetry.emit(telemetry.StageMoved())
        return sent

    def _records(self, events: Iterable[Event], sent: dict[str, int]) -> Iterable[Record]:
        lookups, submissions = self._topics.lookups, self._topics.submissions
        partitions = self._counts
        new = tuple.__new__  # takes a third of the time of the named tuple's constructor
        for event in events:
            value = _encode(event)
            if isinstance(event, Heartbeat):
                for topic in (lookups, submissions):
                    sent[topic] = sent.get(topic, 0) + partitions[topic]
                    for partition in range(partitions[topic]):
                        yield new(Record, (topic, partition, 0, 0, None, value))
                continue
            topic = lookups if isinstance(event, Lookup) else submissions
            key = event.dossier_id.encode()
            sent[topic] = sent.get(topic, 0) + 1
            yield new(Record, (topic, crc32(key) % partitions[topic], 0, 0, key, value))


async def stop(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
