"""`collect` as a process: the receivers, the heartbeats, and the delivery of both to Kafka."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from socket import AF_INET, AF_INET6, create_server
from socket import socket as Socket  # noqa: N812 - a name of its own beside the variable
from typing import Any, Final

import uvicorn

from streams import telemetry
from streams.collect.delivery import Delivery, KafkaAwayError, stop
from streams.collect.over_grpc import start_grpc
from streams.collect.over_http import HttpReceiver
from streams.collect.receiver import Receiver
from streams.collect.topic import FETCH_BYTES, GROUP, MOST_RECORDS, Progress, SpanWorker
from streams.collect.watching import QUIET_MS, Watching
from streams.ingest.mapping.mapper import Mapper
from streams.ingest.otlp.export import SpanMapper
from streams.kafka.clients import KafkaConsumer, KafkaProducer, refusal
from streams.kafka.loop import StageLoop
from streams.kafka.session import LoopSettings, Session
from streams.kafka.topics import Topics

BEAT_SECONDS: Final = 1.0
HTTP_PORT: Final = 4318
GRPC_PORT: Final = 4317
SERVER: Final[dict[str, Any]] = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": False,
    "lifespan": "off",
    "ws": "none",
    "limit_concurrency": 400,
    "timeout_graceful_shutdown": 10,
}
GRACE_SECONDS: Final = 10.0


async def collect(
    connection: Mapping[str, Any],
    mappers: Sequence[Mapper],
    *,
    topics: Topics | None = None,
    host: str = "127.0.0.1",
    http_port: int = HTTP_PORT,
    grpc_port: int = GRPC_PORT,
    token: str | None = None,
    from_topics: Sequence[str] = (),
    group: str = GROUP,
    quiet_ms: int = QUIET_MS,
    most_links: int = 1_000,
    started: Callable[[str, int], None] = lambda _, __: None,
) -> None:
    """Receive spans until cancelled; port 0 picks a free one, which ``started`` is called with.

    Raises StageStoppedError if the broker refuses us, OSError if a port is in use.
    """
    watching = Watching(quiet_ms, most_links)
    delivery = Delivery(connection, topics or Topics(), refusal=partial(refusal, connection))
    mapper, progress = SpanMapper(mappers), Progress(from_topics)
    receiver = Receiver(mapper, watching, delivery, token=token)
    http = _Server(uvicorn.Config(HttpReceiver(receiver), **SERVER))
    with _listening(host, http_port) as socket:
        grpc, bound = await start_grpc(receiver, host, grpc_port)
        started("http", socket.getsockname()[1])
        started("grpc", bound)
        serving = asyncio.ensure_future(http.serve([socket]))
        working = [
            asyncio.ensure_future(delivery.run()),
            asyncio.ensure_future(beat(watching, delivery, progress.behind_ms)),
        ]
        if from_topics:
            names = (topics or Topics()).dead_letters
            reading = StageLoop(
                lambda: Session(
                    KafkaConsumer(connection, group, fetch_bytes=FETCH_BYTES), KafkaProducer(connection)
                ),
                lambda session: SpanWorker(
                    session, from_topics, SpanMapper(mappers), watching, delivery, progress, names
                ),
                LoopSettings(max_records=MOST_RECORDS),
                refusal=partial(refusal, connection),
            )
            working.append(asyncio.ensure_future(reading.run()))
        try:
            done, _ = await asyncio.wait([serving, *working], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            http.should_exit = True  # requests already received are delivered and acknowledged first
            await asyncio.wait([serving])
            await grpc.stop(GRACE_SECONDS)
            for task in working:
                await stop(task)


def _listening(host: str, port: int) -> Socket:
    family = AF_INET6 if ":" in host else AF_INET
    try:
        return create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


async def beat(
    watching: Watching, delivery: Delivery, behind_ms: Callable[[], int | None] = lambda: None
) -> None:
    """Send heartbeats once a second while the broker is connected."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await asyncio.sleep(max(due - loop.time(), 0))
        due = max(due + BEAT_SECONDS, loop.time())
        if not delivery.ready:
            continue
        beats = watching.beats(time.time_ns() // 1_000_000, behind_ms())
        if not beats:
            continue
        try:
            await delivery.send(beats)
        except KafkaAwayError:
            continue
        telemetry.emit(telemetry.SourcesAlive(watching.alive))


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the stage."""
        yield
