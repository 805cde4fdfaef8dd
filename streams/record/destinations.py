"""Where signed heads are published: a file, an HTTP address, or a topic.

A destination knows which head it received last, so that none is left out or sent twice. An HTTP address
cannot tell, so it first gets the newest head and then every later one.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import requests
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.read import RereadError, open_reader, read_range
from streams.ledger.proof.heads import SignedHead
from streams.model.border import UNREADABLE

HTTP_SECONDS: Final = 10.0
TOPIC_PREFIX: Final = "topic:"
_decoder: Final = msgspec.json.Decoder(SignedHead)


class DestinationError(Exception):
    """A destination that cannot be read or does not accept a head; the message names it."""


class Destination(Protocol):
    """A place that the ledger's operator cannot change, or can only append to."""

    def last(self) -> SignedHead | None:
        """Return the head that was published last, None before the first. Raises `DestinationError`."""

    def publish(self, head: SignedHead) -> None:
        """Publish the next head. Raises `DestinationError`."""


class HeadFile:
    """A file of heads, one JSON object per line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> SignedHead | None:
        """Return the head in the last line."""
        try:
            lines = self._path.read_bytes().split()
            return _decoder.decode(lines[-1]) if lines else None
        except FileNotFoundError:
            return None
        except (OSError, *UNREADABLE) as error:
            raise DestinationError(f"{self._path}: {error}") from error

    def publish(self, head: SignedHead) -> None:
        """Append a line."""
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(head) + b"\n")
        except OSError as error:
            raise DestinationError(f"{self._path}: {error}") from error


class HeadAddress:
    """An address to which each head is sent by POST, as JSON; status 2xx means that it was stored."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last: SignedHead | None = None

    def last(self) -> SignedHead | None:
        """Return the head that this process sent last."""
        return self._last

    def publish(self, head: SignedHead) -> None:
        """Send a head."""
        try:
            answer = requests.post(
                self._url,
                data=msgspec.json.encode(head),
                headers={"Content-Type": "application/json"},
                timeout=HTTP_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise DestinationError(f"the webhook does not answer: {type(error).__name__}") from error
        if not answer.ok or answer.is_redirect:
            raise DestinationError(f"the webhook answers {answer.status_code}")
        self._last = head


class HeadTopic:
    """A topic with one partition, ideally on a cluster that somebody else operates."""

    def __init__(self, connection: Mapping[str, Any], topic: str) -> None:
        self._connection, self._source = connection, TopicPartition(topic, 0)

    def last(self) -> SignedHead | None:
        """Return the head in the last record."""
        try:
            return asyncio.run(self._last())
        except (KafkaError, OSError, RereadError, *UNREADABLE) as error:
            raise DestinationError(f"topic {self._source.topic}: {error!r}") from error

    async def _last(self) -> SignedHead | None:
        async with open_reader(self._connection) as reader:
            end = (await reader.end_offsets([self._source]))[self._source]
            found = None
            async for records in read_range(reader, self._source, max(end - 1, 0), end):
                found = _decoder.decode(records[-1].value)
            return found

    def publish(self, head: SignedHead) -> None:
        """Send a record and wait until the broker acknowledges it."""
        try:
            asyncio.run(self._publish(head))
        except (KafkaError, OSError) as error:
            raise DestinationError(f"topic {self._source.topic}: {error!r}") from error

    async def _publish(self, head: SignedHead) -> None:
        producer = AIOKafkaProducer(enable_idempotence=True, **self._connection)
        try:
            await producer.start()
            await producer.send_and_wait(self._source.topic, msgspec.json.encode(head), partition=0)
        finally:
            await producer.stop()
