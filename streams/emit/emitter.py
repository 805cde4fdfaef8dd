"""`Emitter`: sends a portal's events and heartbeats to Kafka, from any thread, without blocking it.

A background thread talks to the broker. Events wait in order until the broker has confirmed them. While the
broker is away they are kept, up to a bound, and sent again with the same ids. Duplicates are harmless,
because an event id counts once.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final, Self

from streams.emit.wellformed import Sendable, checked
from streams.kafka.connection import kafka_connection
from streams.kafka.publish import Publisher, PublishError
from streams.model.events import Observer, Outcome
from streams.model.record import Record

MOST_WAITING: Final = 100_000
"""The most events kept while the broker is away."""
BEAT_SECONDS: Final = 1.0
AT_ONCE: Final = 2_000
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 10.0
OUTCOMES_OF: Final[tuple[tuple[type[BaseException], Outcome], ...]] = (
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls_error"),
    (ConnectionRefusedError, "unreachable"),
    (socket.gaierror, "unreachable"),
    (ConnectionError, "reset"),
)
"""The outcome for an exception of a client library; the first match applies."""
NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


class BufferFullError(RuntimeError):
    """Too many events wait for the broker, so this one was dropped; `Emitter.dropped` counts them."""


class EmitterClosedError(RuntimeError):
    """An event came after the emitter was closed, so it was dropped and counted."""


class Lookup:
    """One lookup; set `outcome` and `status_code` to its result."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.status_code: int | None = None


class Emitter:
    """Sends events and, while it is open, one heartbeat per second that names ``links``.

        with Emitter(links=["npd"]) as emitter:
            with emitter.lookup("npd", dossier_id, agency=..., service=...) as lookup:
                answer = ask()
                lookup.outcome, lookup.status_code = "ok", 200

    ``connection`` holds aiokafka's options for clients, by default those of the `KAFKA_` variables;
    ``topic_names`` renames topics. Only `flush` and `close` wait for the broker.
    """

    def __init__(
        self,
        links: Sequence[str] = (),
        *,
        observer: Observer = "portal",
        connection: Mapping[str, Any] | None = None,
        topic_names: Mapping[str, str] | None = None,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._links, self._observer = list(links), observer
        self._connection = kafka_connection() if connection is None else connection
        self._topic_names = topic_names or {}
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[Sendable, Future[None]]] = deque()
        self._lock = threading.Lock()
        self._closing, self._given_up = threading.Event(), threading.Event()
        self._wake: Callable[[], object] = lambda: None
        self.dropped = 0
        self.fault: str | None = None
        """Why events wait: the broker's last error, None while it answers."""
        if links:
            self._beat()  # raises at once if the links are invalid
        self._thread = threading.Thread(target=self._run, name="portallink-emitter", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, event: Mapping[str, Any] | bytes) -> "Future[None]":
        """Send an event, given as a mapping or as JSON; the future is done once the broker has it.

        Raises:
            EventError: the pipeline would refuse the event.
            BufferFullError: too many events wait.
            EmitterClosedError: the emitter is closed.
        """
        return self.take(checked(event, now_ms()))

    def take(self, event: Sendable) -> "Future[None]":
        """Like `send`, for an event that was already checked."""
        future: Future[None] = Future()
        with self._lock:
            if self._closing.is_set():
                self.dropped += 1
                raise EmitterClosedError("this emitter is closed")
            if len(self._waiting) >= self._most_waiting:
                self.dropped += 1
                raise BufferFullError(f"{self._most_waiting:,} events wait for the broker: {self.fault}")
            self._waiting.append((event, future))
        self._wake()
        return future

    @contextlib.contextmanager
    def lookup(
        self,
        link: str,
        dossier_id: str,
        *,
        agency: str,
        service: str,
        attempt: int = 1,
        lookup_id: str | None = None,
        synthetic: bool = False,
    ) -> Iterator[Lookup]:
        """Send the two events of a lookup: one now, and one when the block ends, however it ends.

        If the block raises before it has set an outcome, the exception or one of its causes determines it
        (`OUTCOMES_OF`); an exception unrelated to the link gives `cancelled`. Neither a full buffer nor an
        absent broker disturbs the block. Raises EventError for invalid arguments, and ValueError if the block
        ends without an outcome.
        """
        about: dict[str, Any] = {
            "lookup_id": lookup_id or str(uuid.uuid4()),
            "dossier_id": dossier_id,
            "link": link,
            "agency": agency,
            "service": service,
            "attempt": attempt,
            "observer": self._observer,
        }
        if synthetic:
            about["synthetic"] = True
        self._note("lookup.requested", about)
        asked = Lookup()
        try:
            yield asked
        except BaseException as error:
            about["outcome"] = asked.outcome or outcome_of(error)
            raise
        else:
            if asked.outcome is None:
                about["outcome"] = "cancelled"
                raise ValueError("set `outcome` before the lookup's block ends")
            about["outcome"] = asked.outcome
        finally:
            if asked.status_code is not None:
                about["status_code"] = asked.status_code
            self._note("lookup.completed", about)

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Wait until the broker has everything sent so far; raise TimeoutError if that takes too long."""
        with self._lock:
            last = self._waiting[-1][1] if self._waiting else None
        if last is not None:
            last.result(timeout_seconds)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Send waiting events for at most the given time, then stop; unsent ones count as dropped."""
        self._closing.set()
        self._wake()
        self._thread.join(timeout_seconds)
        self._given_up.set()
        with self._lock:
            unsent = [future for _, future in self._waiting if future.cancel()]
            self.dropped += len(unsent)

    def _note(self, kind: str, about: Mapping[str, Any]) -> None:
        event = {"type": kind, "event_id": str(uuid.uuid4()), "occurred_at_ms": now_ms(), **about}
        with contextlib.suppress(BufferFullError, EmitterClosedError):
            self.send(event)

    def _beat(self) -> None:
        beat = {"type": "observer.heartbeat", "occurred_at_ms": now_ms(), "observer": self._observer}
        with contextlib.suppress(BufferFullError, EmitterClosedError):
            self.send(beat | {"links": self._links})

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        beating = asyncio.ensure_future(self._keep_beating()) if self._links else None
        wait_seconds = FIRST_WAIT_SECONDS
        try:
            while not (self._given_up.is_set() or (self._closing.is_set() and not self._waiting)):
                try:
                    await self._session(woken)
                    wait_seconds = FIRST_WAIT_SECONDS
                except PublishError as error:
                    self.fault = str(error)
                    await asyncio.sleep(wait_seconds)
                    wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
        finally:
            self._wake = lambda: None
            if beating is not None:
                beating.cancel()

    async def _keep_beating(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + BEAT_SECONDS
        while not self._closing.is_set():
            await asyncio.sleep(max(due - loop.time(), 0))
            due = max(due + BEAT_SECONDS, loop.time())
            self._beat()

    async def _session(self, woken: asyncio.Event) -> None:
        """Send with one producer until closed; raise PublishError to continue with another."""
        async with Publisher(
            self._connection, topic_names=self._topic_names, original_times=False
        ) as publisher:
            while True:
                woken.clear()
                with self._lock:
                    now = list(islice(self._waiting, AT_ONCE))
                if now:
                    await publisher.deliver(await self._records(publisher, [event for event, _ in now]))
                    self.fault = None
                    with self._lock:
                        for _ in now:
                            self._waiting.popleft()
                    for _, future in now:
                        if future.set_running_or_notify_cancel():
                            future.set_result(None)
                elif self._closing.is_set():
                    return
                else:
                    await woken.wait()

    async def _records(self, publisher: Publisher, events: Sequence[Sendable]) -> list[Record]:
        records = []
        for event in events:
            for topic in event.topics:
                count = await publisher.partitions_of(self._topic_names.get(topic, topic))
                records += [
                    Record(topic, partition, 0, event.occurred_at_ms, event.key, event.value)
                    for partition in event.partitions(topic, count)
                ]
        return records


def now_ms() -> int:
    """Return the current time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome for an exception, judged by it or its causes.

    >>> outcome_of(TimeoutError()), outcome_of(KeyError("a bug of our own"))
    ('timeout', 'cancelled')
    """
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in chain:
        chain.append(behind)
        behind = behind.__cause__ or behind.__context__
    for one in reversed(chain):  # the deepest is the actual error; libraries wrap it
        for kind, outcome in OUTCOMES_OF:
            if isinstance(one, kind):
                return outcome
        if isinstance(one, OSError) and one.errno in NO_WAY:
            return "unreachable"
    return "cancelled"
