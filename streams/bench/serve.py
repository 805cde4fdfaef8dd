"""`portallink bench serve`: how long any page or summary takes over ten years of a hundred links.

The application answers over a real socket; the client asks one question after the other, each kind several
times about random links and months. Times are whole requests, p50, p95 and greatest, in milliseconds.
"""

import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any
from urllib.request import Request, urlopen

import sqlalchemy as sa
import uvicorn

from streams import telemetry
from streams.bench.ledger_fill import Size, fill
from streams.ledger.database import open_ledger, reading
from streams.ledger.schema import outages
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit

Progress = Callable[[str], None]


def bench_serve(
    ledger_url: str,
    size: Size | None = None,
    *,
    times: int = 30,
    seed: int = 1,
    progress: Progress = lambda _: None,
) -> Mapping[str, Any]:
    """Fill an empty ledger and ask it; return ``questions.<kind>.{p50,p95,max}_ms``, and sizes."""
    size = size or Size()
    telemetry.configure("serve", level="error")
    engine = open_ledger(ledger_url, create=True)
    progress("filling the ledger")
    began = time.perf_counter()
    rows = fill(engine, size, seed)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))
    filled_seconds = time.perf_counter() - began
    app = create_app(engine, Access([], "auditor"), limit=RateLimit(10_000, 10_000))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            base = f"http://127.0.0.1:{listening.getsockname()[1]}"
            questions = _ask(base, engine, size, times, random.Random(seed), progress)  # noqa: S311
        finally:
            server.should_exit = True
            thread.join()
            engine.dispose()
    return {
        "database": engine.dialect.name,
        "rows": dict(rows),
        "filled_seconds": round(filled_seconds, 1),
        "questions": questions,
        "worst_p95_ms": max(one["p95_ms"] for one in questions.values()),
    }


def _ask(
    base: str, engine: sa.Engine, size: Size, times: int, rng: random.Random, progress: Progress
) -> dict[str, dict[str, float]]:
    with reading(engine) as connection:
        ids = list(connection.scalars(sa.select(outages.c.outage_id).limit(5_000)))
        names = list(connection.scalars(sa.select(outages.c.link).distinct()))
    first = date(size.first_year, 1, 1)
    last = first + timedelta(days=size.days)

    def month() -> str:
        return f"{first + timedelta(days=rng.randrange(size.days - 31)):%Y-%m}"

    decade = f"from={first}&to={last}"
    kinds: dict[str, Callable[[], str]] = {
        "page month": lambda: f"/?month={month()}",
        "page link": lambda: f"/link?link={rng.choice(names)}&month={month()}&calendar=office-hours",
        "page outage": lambda: f"/outages/{rng.choice(ids)}",
        "page report of a link": lambda: f"/report?link={rng.choice(names)}&month={month()}",
        "summary month": lambda: f"/api/v1/summary?month={month()}&calendar=office-hours",
        "summary decade": lambda: f"/api/v1/summary?{decade}",
        "summary decade, one agency": lambda: f"/api/v1/summary?{decade}&agency=agency-{rng.randrange(40)}",
        "summary to the minute": lambda: (
            f"/api/v1/summary?from={last - timedelta(days=300)}T07:41&to={last - timedelta(days=1)}T16:23"
        ),
        "summary decade, as of": lambda: f"/api/v1/summary?{decade}&as_of={last - timedelta(days=9)}T10:17",
        "outages, a page": lambda: f"/api/v1/outages?{decade}&link={rng.choice(names)}&limit=100",
        "outages, all links": lambda: f"/api/v1/outages?{decade}&limit=100&min_seconds=600",
        "incidents": lambda: f"/api/v1/incidents?month={month()}",
    }
    measured = {}
    for kind, address in kinds.items():
        progress(kind)
        taken = sorted(_milliseconds(base + address()) for _ in range(times))
        measured[kind] = {
            "p50_ms": round(taken[len(taken) // 2], 1),
            "p95_ms": round(taken[min(len(taken) - 1, int(len(taken) * 0.95))], 1),
            "max_ms": round(taken[-1], 1),
        }
    return measured


def _milliseconds(address: str) -> float:
    began = time.perf_counter()
    with urlopen(Request(address, headers={"Accept-Language": "vi"})) as answer:  # noqa: S310 - our own
        answer.read()
    return (time.perf_counter() - began) * 1000
