"""OTLP over HTTP: an ASGI application with three paths."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from streams import telemetry
from streams.collect.answers import CONTENT_TYPES, RETRY_SECONDS, SIGNALS, Signal, form_of, refused
from streams.collect.bodies import too_large
from streams.collect.receiver import Receiver, RefusedError
from streams.ingest.otlp.export import Form

Message = MutableMapping[str, Any]
BODY_SECONDS: Final = 30.0
"""The longest time that a sender may take to send its request."""
PATHS: Final[dict[str, Signal]] = {f"/v1/{signal}": signal for signal in SIGNALS}
RETRY_LATER: Final = frozenset({429, 503})
MOST_HEADER_BYTES: Final = 64


class HttpReceiver:
    """The application; it is called once per request."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        form: Form = form_of(content_type) or "json"
        signal = PATHS.get(scope["path"].rstrip("/"))
        status, reason, more = 200, "", []
        try:
            body = await self._answer(scope, headers, form_of(content_type), signal, receive)
        except RefusedError as error:
            status, reason = error.status, error.reason
            body = refused(status, reason, form)
            if status in RETRY_LATER:
                more.append((b"retry-after", b"%d" % RETRY_SECONDS))
            if status == 401:
                more.append((b"www-authenticate", b"Bearer"))
            if status == 405:
                more.append((b"allow", b"POST"))
        telemetry.emit(telemetry.ExportAnswered("http", signal or "unknown", status, reason))
        more += [
            (b"content-type", CONTENT_TYPES[form].encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": status, "headers": more})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self,
        scope: Message,
        headers: dict[bytes, bytes],
        form: Form | None,
        signal: Signal | None,
        receive: Callable[[], Awaitable[Message]],
    ) -> bytes:
        if signal is None:
            raise RefusedError(404, f"only {', '.join(PATHS)} are served here")
        if scope["method"] != "POST":
            raise RefusedError(405, "exports are sent by POST")
        self._receiver.admit(headers.get(b"authorization", b""))
        if form is None:
            raise RefusedError(415, f"Content-Type is one of {', '.join(CONTENT_TYPES.values())}")
        encoding = headers.get(b"content-encoding", b"")[:MOST_HEADER_BYTES].decode("latin-1").strip().lower()
        pieces: list[bytes] = []
        held = self._receiver.held
        try:
            await self._read(headers, receive, pieces)
            return await self._receiver.take(signal, form, encoding, b"".join(pieces))
        finally:
            held.give(sum(map(len, pieces)))

    async def _read(
        self, headers: dict[bytes, bytes], receive: Callable[[], Awaitable[Message]], pieces: list[bytes]
    ) -> None:
        """Read a body into ``pieces``, and count their bytes as held."""
        most_bytes = self._receiver.most_body_bytes
        told = headers.get(b"content-length", b"0")
        if told.isdigit() and int(told) > most_bytes:
            raise RefusedError(413, too_large(most_bytes).reason)
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "the sender hung up")
                    piece = message.get("body", b"")
                    self._receiver.held.take(len(piece))
                    pieces.append(piece)
                    size += len(piece)
                    if size > most_bytes:
                        raise RefusedError(413, too_large(most_bytes).reason)
                    if not message.get("more_body"):
                        return
        except TimeoutError as error:
            raise RefusedError(408, f"the request did not come within {BODY_SECONDS:g} s") from error
