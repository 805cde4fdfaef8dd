"""`serve` as a process: the application on one port of this host, until it is asked to stop."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from streams.kafka.topics import Topics
from streams.model.exclusion import Exclusion
from streams.record.send import send_decision
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.context import Contact
from streams.serve.names import Names

SERVER: Final[dict[str, Any]] = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": 10,
    "proxy_headers": False,  # by default a caller on this host could name any address as its own
}


async def serve(
    ledger: sa.Engine,
    access: Access,
    listening: socket.socket,
    *,
    connection: Mapping[str, Any] | None = None,
    topics: Topics | None = None,
    second_person: bool = True,
    started: Callable[[int], None] = lambda _: None,
    contacts: Sequence[Contact] = (),
    trail_file: Path | None = None,
    names: Names | None = None,
    public_key: Ed25519PublicKey | None = None,
    proxy: str | None = None,
) -> None:
    """Answer on a bound socket until cancelled or signalled; ``started`` is told its port once it answers.

    With a broker's ``connection`` operators may exclude; without one the interface says that it cannot.
    ``trail_file`` keeps who asked what, where the ledger does not take it, until the next start. Callers'
    addresses are those of their connections, or what the ``proxy`` at one address says in X-Forwarded-For.
    """
    exclude: Callable[[Exclusion], Awaitable[None]] | None = None
    if connection is not None:
        exclude = partial(send_decision, connection, topics=topics)
    server: _Server
    app = create_app(
        ledger,
        access,
        exclude=exclude,
        contacts=contacts,
        trail_file=trail_file,
        second_person=second_person,
        names=names,
        public_key=public_key,
        stopping=lambda: server.should_exit,
    )
    keep_for_good()
    behind = {} if proxy is None else {"proxy_headers": True, "forwarded_allow_ips": proxy}
    server = _Server(uvicorn.Config(app, **SERVER | behind), started)
    serving = asyncio.ensure_future(server.serve([listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True  # it ends its requests, and the trail of who asked is written down
        await serving
        raise


def keep_for_good() -> None:
    """Take what was imported and built so far out of the garbage collector's sight.

    None of it becomes garbage, and looking through it takes 100 ms in the middle of an answer.
    """
    gc.collect()
    gc.freeze()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[int], None]) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and tell where."""
        await super().startup(sockets)
        for one in sockets or ():
            self._told(one.getsockname()[1])
