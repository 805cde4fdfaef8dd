"""Implements `streams.kafka.ports` with aiokafka, and reduces its many errors to a few."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.structs import OffsetAndMetadata

from streams.kafka.ports import (
    Batches,
    Bounds,
    BrokerAwayError,
    BrokerRefusedError,
    Commit,
    OutOfRangeError,
    PartitionsMovedError,
    Rebalances,
)
from streams.kafka.read import open_reader, read_range

METADATA_MAX_AGE_MS: Final = 15_000
"""The longest time until a new topic or partition is noticed."""
STOP_SECONDS: Final = 10.0
"""How long to wait for a client to disconnect cleanly when the broker is away."""
PROBE_SECONDS: Final = 5.0
REFUSALS: Final = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.MessageSizeTooLargeError,
    kafka.RecordListTooLargeError,
    kafka.InvalidTopicError,
    kafka.InvalidConfigurationError,
    kafka.PolicyViolationError,
    kafka.OffsetMetadataTooLargeError,
    kafka.UnsupportedCodecError,
    kafka.IllegalArgumentError,
)
"""Errors that a retry would meet again. All others are treated as a broker that is temporarily away."""
MOVED: Final = (
    kafka.CommitFailedError,
    kafka.IllegalStateError,
    kafka.IllegalGenerationError,
    kafka.UnknownMemberIdError,
    kafka.RebalanceInProgressError,
)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn aiokafka's errors into `BrokerAwayError` and `BrokerRefusedError`."""
    try:
        yield
    except REFUSALS as error:
        raise BrokerRefusedError(describe(error)) from error
    except (kafka.KafkaError, OSError, TimeoutError) as error:
        raise BrokerAwayError(describe(error)) from error


def describe(error: BaseException) -> str:
    """Return an error's kind and text in one line.

    >>> describe(TimeoutError())
    'TimeoutError'
    """
    text = " ".join(str(error).split())
    name = type(error).__name__
    return text if name in text else f"{name}: {text}" if text else name


async def refusal(connection: Mapping[str, Any]) -> str | None:
    """Return why a broker that answers refuses us; None if no broker answers, or one accepts us.

    aiokafka reports wrong credentials and an absent broker in the same way, as a failed bootstrap.
    """
    for server in _servers(connection):
        try:
            await _knock(server, connection)
        except REFUSALS as error:
            return f"{server}: {describe(error)}"
        except (kafka.KafkaError, OSError, TimeoutError, ValueError) as error:
            if "CERTIFICATE" in str(error) or "SSL" in type(error).__name__:
                return f"{server}: {describe(error)}"
            continue
        return None
    return None


async def unreachable(connection: Mapping[str, Any]) -> str | None:
    """Return the last server's error if none of them accepts us; None if one does."""
    said = "no server is named"
    for server in _servers(connection):
        try:
            await _knock(server, connection)
        except (kafka.KafkaError, OSError, TimeoutError, ValueError) as error:
            said = f"{server}: {describe(error)}"
        else:
            return None
    return said


def _servers(connection: Mapping[str, Any]) -> list[str]:
    return [server.strip() for server in str(connection["bootstrap_servers"]).split(",")]


async def _knock(server: str, connection: Mapping[str, Any]) -> None:
    """Connect to a server as a client would, and disconnect; return only once the socket is closed."""
    named = {name: connection[name] for name in connection if name.startswith(("sasl_", "ss", "security_"))}
    host, _, port = server.rpartition(":")
    opened = False

    def note(*_: object) -> None:
        nonlocal opened
        opened = True

    probe = AIOKafkaConnection(
        host,
        int(port),
        client_id="portallink",
        request_timeout_ms=PROBE_SECONDS * 1000,
        on_close=note,  # called by `close` only if there was a connection
        **named,
    )
    try:
        await probe.connect()
    finally:
        closed = probe.close()
        if opened:  # closing TLS takes a round trip, and the event loop must not end before it
            await asyncio.wait([closed], timeout=STOP_SECONDS)


async def _stop(client: Any) -> None:
    with contextlib.suppress(TimeoutError, kafka.KafkaError, OSError):
        await asyncio.wait_for(client.stop(), STOP_SECONDS)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Forwards rebalances."""

    def __init__(self, to: Rebalances) -> None:
        self._to = to

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forward the call."""
        await self._to.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Forward the call."""
        await self._to.on_partitions_assigned(assigned)


class KafkaConsumer:
    """A `streams.kafka.ports.Consumer`; ``fetch_bytes`` is the most fetched per partition and request."""

    def __init__(self, connection: Mapping[str, Any], group: str, *, fetch_bytes: int) -> None:
        self._connection, self._group = dict(connection), group
        self._options = {"max_partition_fetch_bytes": fetch_bytes, "metadata_max_age_ms": METADATA_MAX_AGE_MS}
        self._client: Any = None

    async def start(self) -> None:
        """Connect."""
        client = AIOKafkaConsumer(
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            **self._options,
            **self._connection,
        )
        try:
            with plain_errors():
                await client.start()
        except BaseException:
            await _stop(client)
            raise
        self._client = client

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        if self._client is not None:
            await _stop(self._client)

    def subscribe(self, topics: Sequence[str], listener: Rebalances) -> None:
        """Join the group for some topics."""
        self._client.subscribe(list(topics), listener=_Listener(listener))

    async def poll(self, timeout_ms: int, max_records: int) -> Batches:
        """Return the next records."""
        try:
            with plain_errors():
                batches: Batches = await self._client.getmany(timeout_ms=timeout_ms, max_records=max_records)
                return batches
        except BrokerAwayError as error:
            if isinstance(error.__cause__, kafka.OffsetOutOfRangeError):
                raise OutOfRangeError(error.__cause__.args[0]) from error
            if isinstance(error.__cause__, kafka.NoOffsetForPartitionError):
                return {}  # just assigned: the listener will seek
            raise

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from an offset on."""
        with contextlib.suppress(kafka.IllegalStateError):
            self._client.seek(partition, offset)

    def hold(self, partitions: set[TopicPartition]) -> None:
        """Pause these partitions and read all other assigned ones."""
        assigned, paused = self._client.assignment(), set(self._client.paused())
        if begin := (partitions & assigned) - paused:
            self._client.pause(*begin)
        if end := (paused & assigned) - partitions:
            self._client.resume(*end)

    def end_seen(self, partition: TopicPartition) -> int | None:
        """Return the end of a partition as the last poll saw it."""
        try:
            end: int | None = self._client.highwater(partition)
        except (AssertionError, kafka.IllegalStateError):
            return None
        return end

    async def commit(self, offsets: Mapping[TopicPartition, Commit]) -> None:
        """Commit for assigned partitions."""
        wanted = {source: OffsetAndMetadata(*commit) for source, commit in offsets.items()}
        try:
            with plain_errors():
                await self._client.commit(wanted)
        except (BrokerAwayError, BrokerRefusedError) as error:
            if isinstance(error.__cause__, MOVED):
                raise PartitionsMovedError(str(error)) from error
            raise

    async def commits(self) -> Mapping[TopicPartition, Commit]:
        """Return everything the group has committed."""
        async with _admin(self._connection) as admin:
            known = await admin.list_consumer_group_offsets(self._group)
        return {
            source: Commit(commit.offset, commit.metadata or "")
            for source, commit in known.items()
            if commit.offset >= 0
        }

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        """Return the first and end offsets of partitions of any topic."""
        wanted = list(partitions)
        if not wanted:
            return {}
        with plain_errors():
            begins = await self._client.beginning_offsets(wanted)
            ends = await self._client.end_offsets(wanted)
        return {source: Bounds(begins[source], ends[source]) for source in wanted}

    async def offset_after(self, partition: TopicPartition, logged_ms: int) -> int | None:
        """Return the first offset whose broker time is later than ``logged_ms``."""
        with plain_errors():
            found = await self._client.offsets_for_times({partition: logged_ms + 1})
        return None if found[partition] is None else int(found[partition].offset)

    async def read(self, partition: TopicPartition, first: int, end: int) -> list[Any]:
        """Return the records ``[first, end)`` of a partition."""
        found: list[Any] = []
        if first >= end:
            return found
        with plain_errors():
            async with open_reader(self._connection) as reader:
                async for messages in read_range(reader, partition, first, end):
                    found += messages
        return found


@asynccontextmanager
async def _admin(connection: Mapping[str, Any]) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**connection)
    try:
        with plain_errors():
            await admin.start()
            yield admin
    finally:
        with contextlib.suppress(kafka.KafkaError, OSError):
            await admin.close()


class KafkaProducer:
    """A `streams.kafka.ports.Producer`, idempotent: a retry neither duplicates nor reorders records."""

    def __init__(self, connection: Mapping[str, Any], **options: Any) -> None:
        self._options = {"enable_idempotence": True, **options, **connection}
        self._client: Any = None

    async def start(self) -> None:
        """Connect."""
        client = AIOKafkaProducer(**self._options)
        try:
            with plain_errors():
                await client.start()
        except BaseException:
            await _stop(client)
            raise
        self._client = client

    async def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await _stop(self._client)

    async def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        with plain_errors():
            await self._client.client.force_metadata_update()
            return len(await self._client.partitions_for(topic))

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None, partition: int | None
    ) -> "asyncio.Future[int]":
        """Send a record; the future gives its offset."""
        with plain_errors():
            sent = await self._client.send(topic, value, key=key, partition=partition)
        acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda done: _pass_on(done, acknowledged))
        return acknowledged


def _pass_on(done: "asyncio.Future[Any]", to: "asyncio.Future[int]") -> None:
    """Copy an acknowledgement, or its error, to the caller's future."""
    if to.done():
        return
    try:
        with plain_errors():
            to.set_result(done.result().offset)
    except (BrokerAwayError, BrokerRefusedError) as error:
        to.set_exception(error)
    except asyncio.CancelledError:
        to.set_exception(BrokerAwayError("the producer was stopped"))
