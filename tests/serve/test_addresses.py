"""By which address a caller is counted."""

import asyncio
import socket

import httpx
import pytest
import sqlalchemy as sa

from streams import telemetry
from streams.serve.access import Access
from streams.serve.limit import RateLimit
from streams.serve.shell import serve


def statuses(ledger: sa.Engine, monkeypatch, proxy: str | None) -> list[int]:
    """Return the answers to callers that name another address each time, of a server that admits three."""
    telemetry.configure("serve", level="error")
    monkeypatch.setattr("streams.serve.app.RateLimit", lambda: RateLimit(per_second=0.01, burst=3))

    async def ask(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for number in range(6):
                headers = {"X-Forwarded-For": f"192.0.2.{number}"}
                found.append((await client.get("/api/v1/links", headers=headers)).status_code)

    async def run() -> None:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.ensure_future(
                serve(ledger, Access([], None), listening, started=port.set_result, proxy=proxy)
            )
            await asyncio.wait([serving, port], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            await ask(port.result())
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    found: list[int] = []
    asyncio.run(run())
    return found


@pytest.mark.parametrize(("proxy", "last"), [(None, 429), ("127.0.0.1", 401)])
def test_a_caller_cannot_name_its_own_address(month_ledger: sa.Engine, monkeypatch, proxy, last) -> None:
    """X-Forwarded-For changes nothing, unless it comes from the proxy that was named."""
    assert statuses(month_ledger, monkeypatch, proxy) == [401, 401, 401, last, last, last]
