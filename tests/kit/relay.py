"""A relay between a client and a server on the loopback interface that can be slow, cut, or hang."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Self

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 64 * 1024


class Relay:
    """Passes bytes on from `port` to a server's port, in a thread of its own, while the context lasts."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._delay_seconds = 0.0
        self._closed = False
        self._passing: asyncio.Event
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._passing = asyncio.Event()
        self._passing.set()
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def pass_all(self) -> None:
        """Pass everything on at once, as at the beginning."""
        self._closed, self._delay_seconds = False, 0.0
        self._loop.call_soon_threadsafe(self._passing.set)

    def delay(self, seconds: float) -> None:
        """Hold back each piece for so long."""
        self._delay_seconds = seconds

    def hang(self) -> None:
        """Pass nothing on, and keep the connections open."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def cut(self) -> None:
        """Close all connections, and every new one."""
        self._closed = True
        self._call(self._close_all())

    async def _end(self) -> None:
        self._server.close()
        await self._close_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # transports close at the loop's next turns

    async def _close_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            if not self._closed:
                there, to = await asyncio.open_connection(LOOPBACK, self._to_port)
                self._writers.add(to)
                await asyncio.wait(
                    [asyncio.ensure_future(self._pass(*way)) for way in ((reader, to), (there, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                to.transport.abort()
                self._writers.discard(to)
        writer.transport.abort()
        self._writers.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(CHUNK_BYTES):
                await self._passing.wait()
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                writer.write(piece)
                await writer.drain()
