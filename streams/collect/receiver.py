"""Handles an export for HTTP and gRPC: check it, map it, publish its events, then acknowledge it.

Memory is bounded by the size of a request, packed and unpacked, by the total of all requests
(`MOST_HELD_BYTES`), and by unpacking and mapping one request at a time.
"""

import asyncio
import hmac
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from streams import telemetry
from streams.collect.answers import Signal, accepted, rejection_of
from streams.collect.bodies import BodyError, unpacked
from streams.collect.delivery import Delivery, KafkaAwayError
from streams.collect.watching import Watching
from streams.ingest.otlp.export import Form, NotOtlpError, SpanMapper, Tally, TooManySpansError
from streams.model.wire import Event

MOST_BODY_BYTES: Final = 16 * 1024 * 1024
MOST_HELD_BYTES: Final = 64 * 1024 * 1024
APART_BYTES: Final = 256 * 1024
"""A larger body is mapped in a thread, so that heartbeats and other requests are not delayed."""
BUSY: Final = "too many requests wait; try again later"


class RefusedError(Exception):
    """An export that is not acknowledged; ``status`` is the HTTP status of the response."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


class Held:
    """The number of bytes that all requests currently hold."""

    def __init__(self, most_bytes: int = MOST_HELD_BYTES) -> None:
        self._most_bytes, self.size = most_bytes, 0

    def take(self, size: int) -> None:
        """Add bytes; raise RefusedError if the total becomes too large."""
        if self.size + size > self._most_bytes:
            raise RefusedError(429, BUSY)
        self.size += size

    def give(self, size: int) -> None:
        """Remove bytes."""
        self.size -= size


class Receiver:
    """Accepts or refuses exports."""

    def __init__(
        self,
        mapper: SpanMapper,
        watching: Watching,
        delivery: Delivery,
        *,
        token: str | None = None,
        most_body_bytes: int = MOST_BODY_BYTES,
        held: Held | None = None,
    ) -> None:
        self._mapper, self._watching, self._delivery = mapper, watching, delivery
        self._token = None if token is None else f"Bearer {token}".encode()
        self.most_body_bytes = most_body_bytes
        self.held = held or Held()
        self._mapping = asyncio.Lock()

    def admit(self, authorization: bytes) -> None:
        """Raise RefusedError if a required token is missing or wrong, or the broker is away."""
        if self._token is not None and not hmac.compare_digest(authorization, self._token):
            raise RefusedError(401, "show the token: OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN")
        if not self._delivery.ready:
            raise RefusedError(503, "the broker is away; try again later")

    async def take(self, signal: Signal, form: Form, encoding: str, body: bytes) -> bytes:
        """Return the response to an export, once its events are published.

        Metrics and logs are accepted and dropped, because agents send them to the same address.

        Raises:
            RefusedError: the export is not acknowledged.
        """
        if signal != "traces":
            return accepted(signal, form)
        tally = Tally()
        events = await self._mapped(form, encoding, body, tally)
        now_ms = time.time_ns() // 1_000_000
        self._watching.saw(tally.sources, now_ms)
        if events:
            await self._deliver(events, tally, now_ms)
        else:
            telemetry.emit(taken(tally, {}, None))
        if tally.rejected:
            sources = sorted({source.service for source in tally.sources})
            told = ", ".join(sources[:3])
            telemetry.emit(telemetry.SpansRejected(told, tally.rejected, rejection_of(tally)))
        return accepted(signal, form, tally)

    async def _mapped(self, form: Form, encoding: str, body: bytes, tally: Tally) -> list[Event]:
        async with self._mapping:
            try:
                whole = unpacked(body, encoding, self.most_body_bytes)
                if len(whole) <= APART_BYTES:
                    return list(self._mapper.events(whole, form, tally))
                return list(await asyncio.to_thread(self._mapper.events, whole, form, tally))
            except BodyError as error:
                raise RefusedError(error.status, error.reason) from error
            except TooManySpansError as error:
                raise RefusedError(413, str(error)) from error
            except NotOtlpError as error:
                raise RefusedError(400, f"this is no export of spans as {form}: {error}") from error

    async def _deliver(self, events: Sequence[Event], tally: Tally, now_ms: int) -> None:
        size = len(events) * EVENT_BYTES
        with self._holding(size):
            try:
                sent = await self._delivery.send(events)
            except KafkaAwayError as error:
                raise RefusedError(503, f"{error}; try again later") from error
        telemetry.emit(taken(tally, sent, (now_ms - oldest_ms(events)) / 1000))

    @contextmanager
    def _holding(self, size: int) -> Iterator[None]:
        self.held.take(size)
        try:
            yield
        finally:
            self.held.give(size)


EVENT_BYTES: Final = 600
"""The approximate memory of an event in transit to the broker."""


def oldest_ms(events: Sequence[Event]) -> int:
    """Return when the first of some calls ended; events come in pairs, in the order in which calls ended."""
    return events[1].occurred_at_ms if len(events) > 1 else events[0].occurred_at_ms


def taken(tally: Tally, sent: dict[str, int], age_seconds: float | None) -> telemetry.SpansTaken:
    """Return the occurrence for an accepted export."""
    counts = {
        "lookup": tally.lookups,
        "submission": tally.submissions,
        "passed_over": tally.passed_over,
        "rejected": tally.rejected,
    }
    return telemetry.SpansTaken(counts, sent, age_seconds)
