"""`Emitter`: sends a portal's events and heartbeats to Kafka, from any thread, without holding it up.

A thread of its own talks to the broker. What is sent waits in order until the broker has confirmed it; while
the broker is away it is kept, up to a bound, and sent again with the same ids. Copies are harmless: an event
id counts once.
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
"""Events kept while the broker is away."""
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
"""What an exception of a client library says of the link, the first that fits."""
NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


class BufferFullError(RuntimeError):
    """Too many events wait for the broker, so one was not taken; `Emitter.dropped` counts them."""


class EmitterClosedError(RuntimeError):
    """An event came after the emitter was closed, so it was not taken; it counts as dropped."""


class Lookup:
    """One question to a link; say by `outcome` and `status_code` what came of it."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.status_code: int | None = None


class Emitter:
    """Sends events and, while it is open, a heartbeat a second that names ``links``.

        with Emitter(links=["npd"]) as emitter:
            with emitter.lookup("npd", dossier_id, agency=..., service=...) as lookup:
                answer = ask()
                lookup.outcome, lookup.status_code = "ok", 200

    ``connection`` holds aiokafka's options for clients, by default those of the `KAFKA_` variables;
    ``topic_names`` renames topics. No method waits for the broker but `flush` and `close`.
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
        """Why events wait: what the broker said last, None while all is well."""
        if links:
            self._beat()  # what is wrong with the links shows at once
        self._thread = threading.Thread(target=self._run, name="portallink-emitter", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, event: Mapping[str, Any] | bytes) -> "Future[None]":
        """Take an event, as a mapping or as JSON; the future is done once the broker has it.

        Raises EventError for one that the pipeline would refuse; BufferFullError where too many wait.
        """
        return self.take(checked(event, now_ms()))

    def take(self, event: Sendable) -> "Future[None]":
        """Take an event that was checked already; as `send` otherwise."""
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
        """Send the two events of a question: one now, and one when the block ends, however it ends.

        Where the block raises before it has set an outcome, the exception or one of those behind it tells
        it (`OUTCOMES_OF`); one that tells nothing about the link is `cancelled`. Neither a full buffer nor
        a broker that is away disturbs the block. Raises EventError for what cannot be sent, and ValueError
        for a block that ends without an outcome.
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
        """Return once the broker has everything taken so far; raise TimeoutError where it takes longer."""
        with self._lock:
            last = self._waiting[-1][1] if self._waiting else None
        if last is not None:
            last.result(timeout_seconds)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Send what waits, for at most so long, and end; what is not sent then is counted as dropped."""
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
        """Send by one producer until closed; raise PublishError to go on with another."""
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
    """Return the present time, epoch milliseconds UTC."""
    return time.time_ns() // 1_000_000


def outcome_of(error: BaseException) -> Outcome:
    """Return what an exception, or one of those behind it, says of the link.

    >>> outcome_of(TimeoutError()), outcome_of(KeyError("a bug of our own"))
    ('timeout', 'cancelled')
    """
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in chain:
        chain.append(behind)
        behind = behind.__cause__ or behind.__context__
    for one in reversed(chain):  # the deepest is what happened; the others are how a library wraps it
        for kind, outcome in OUTCOMES_OF:
            if isinstance(one, kind):
                return outcome
        if isinstance(one, OSError) and one.errno in NO_WAY:
            return "unreachable"
    return "cancelled"
