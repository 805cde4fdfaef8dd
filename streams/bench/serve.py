"""`portallink bench serve`: how long pages and summaries take over ten years of a hundred links.

The application answers over a real socket. After one warm-up request, the client sends requests one after
another, each kind several times about random links and months. Only production's own caches are used, and no
request carries an ETag, so every answer is computed again. Times cover whole requests: p50, p95 and maximum,
in milliseconds. CPU time is comparable even on a machine that does other work: mean and p95 of the server
(without the client's thread), and the mean of a local database server's sessions. Answers come compressed, as
a browser asks for them; their greatest size counts.
"""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import count
from typing import Any, Final
from urllib.request import Request, urlopen

import psutil
import sqlalchemy as sa
import uvicorn

from streams import telemetry
from streams.bench.ledger_fill import Size, fill
from streams.ledger.store.database import open_ledger, reading, writing
from streams.ledger.store.rows import upsert
from streams.ledger.store.schema import links, outage_scopes, outages, positions
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.serve.shell import keep_for_good

Progress = Callable[[str], None]
Kinds = Mapping[str, Callable[[], str]]

MILLISECONDS: Final = 1000


def bench_serve(
    ledger_url: str,
    size: Size | None = None,
    *,
    times: int = 40,
    seed: int = 1,
    progress: Progress = lambda _: None,
) -> Mapping[str, Any]:
    """Fill a ledger if it is empty, and query it; return ``questions.<kind>`` in ms, and sizes."""
    size = size or Size()
    telemetry.configure("serve", level="error")
    engine = open_ledger(ledger_url, create=True)
    try:
        progress("filling the ledger")
        began = time.perf_counter()
        rows = _filled(engine, size, seed)
        filled_seconds = time.perf_counter() - began
        with _served(engine) as base:
            kinds = _kinds(engine, size, random.Random(seed))  # noqa: S311 - a made-up reader
            questions = _ask(base, kinds, times, _sessions(engine), progress)
    finally:
        engine.dispose()
    return {
        "database": engine.dialect.name,
        "rows": dict(rows),
        "filled_seconds": round(filled_seconds, 1),
        "questions": questions,
        "worst_p95_ms": max(one["p95_ms"] for one in questions.values()),
        "worst_cpu_ms": max(one["cpu_ms"] + one["database_cpu_ms"] for one in questions.values()),
        "worst_kilobytes": max(one["kilobytes"] for one in questions.values()),
    }


def _filled(engine: sa.Engine, size: Size, seed: int) -> Mapping[str, int]:
    with reading(engine) as connection:
        if connection.scalar(sa.select(sa.func.count()).select_from(links)):
            held = connection.scalar(sa.select(sa.func.count()).select_from(outages))
            return {"outages": int(held or 0)}
    rows = fill(engine, size, seed)
    if engine.dialect.name == "postgresql":
        # Autovacuum would do this within a minute: update statistics, and mark pages all-visible.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
    return rows


@contextmanager
def _served(engine: sa.Engine) -> Iterator[str]:
    """Serve the ledger on a free port; yield the address."""
    app = create_app(engine, Access([], "auditor"), limit=RateLimit(10_000, 10_000))
    keep_for_good()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _kinds(engine: sa.Engine, size: Size, rng: random.Random) -> Kinds:
    """Return, by name, a function that makes the next request of each kind."""
    with reading(engine) as connection:
        ids: list[str] = list(
            connection.scalars(sa.select(outages.c.outage_id).order_by(outages.c.outage_id))
        )
        names: list[str] = list(connection.scalars(sa.select(links.c.link).order_by(links.c.link)))
        agencies: list[str] = list(
            connection.scalars(
                sa.select(outage_scopes.c.name)
                .distinct()
                .where(outage_scopes.c.scope == "agency")
                .order_by(outage_scopes.c.name)
            )
        )
    first = date(size.first_year, 1, 1)
    last = first + timedelta(days=size.days)
    records = count(1)

    def after_a_record() -> str:
        # The front page is made again whenever the ledger has read on.
        with writing(engine) as connection:
            row = {"topic": "bench", "partition": 0, "next_offset": next(records), "chain": b""}
            upsert(connection, positions, [row])
        return "/"

    def month() -> str:
        return f"{first + timedelta(days=rng.randrange(size.days - 31)):%Y-%m}"

    def decade() -> str:
        return f"from={first + timedelta(days=rng.randrange(30))}&to={last}"

    def link() -> str:
        return rng.choice(names)

    def agency() -> str:
        return rng.choice(agencies)

    return {
        "page now": lambda: "/",
        "page now, after a record": after_a_record,
        "page month": lambda: f"/history?month={month()}",
        "page decade": lambda: f"/history?{decade()}&calendar=office-hours",
        "page link": lambda: f"/link?link={link()}&month={month()}&calendar=office-hours",
        "page link, decade": lambda: f"/link?link={link()}&{decade()}",
        "page outage": lambda: f"/outages/{rng.choice(ids)}",
        "page report of a link": lambda: f"/report?link={link()}&month={month()}",
        "page report": lambda: f"/report?month={month()}",
        "page report, decade": lambda: f"/report?{decade()}",
        "page exclusions": lambda: "/exclusions",
        "page proof": lambda: "/proof",
        "summary month": lambda: f"/api/v1/summary?month={month()}&calendar=office-hours",
        "summary decade": lambda: f"/api/v1/summary?{decade()}",
        "summary decade, a link": lambda: f"/api/v1/summary?{decade()}&link={link()}",
        "summary decade, an agency": lambda: f"/api/v1/summary?{decade()}&agency={agency()}",
        "summary to the minute": lambda: (
            f"/api/v1/summary?from={last - timedelta(days=300)}T07:{rng.randrange(10, 60)}"
            f"&to={last - timedelta(days=1)}T16:23"
        ),
        "summary decade, as of": lambda: (
            f"/api/v1/summary?{decade()}&as_of={last - timedelta(days=9)}T10:{rng.randrange(10, 60)}"
        ),
        "outages, a link": lambda: f"/api/v1/outages?{decade()}&link={link()}&limit=100",
        "outages, all links": lambda: f"/api/v1/outages?{decade()}&limit=100&min_seconds=600",
        "outages, an agency": lambda: f"/api/v1/outages?{decade()}&limit=100&agency={agency()}",
        "incidents": lambda: f"/api/v1/incidents?month={month()}",
        "incidents, decade": lambda: f"/api/v1/incidents?{decade()}&link={link()}",
    }


def _ask(
    base: str, kinds: Kinds, times: int, sessions: Callable[[], float], progress: Progress
) -> dict[str, dict[str, float]]:
    measured = {}
    _asked(base + "/")  # warm up
    for kind, address in kinds.items():
        progress(kind)
        before = sessions()
        taken = [_asked(base + address()) for _ in range(times)]
        database_ms = (sessions() - before) * MILLISECONDS / times
        walls, cpus, sizes = (sorted(column) for column in zip(*taken, strict=True))
        place = min(times - 1, int(times * 0.95))
        figures = {
            "p50_ms": walls[times // 2],
            "p95_ms": walls[place],
            "max_ms": walls[-1],
            "cpu_ms": sum(cpus) / times,
            "cpu_p95_ms": cpus[place],
            "database_cpu_ms": database_ms,
            "kilobytes": sizes[-1],
        }
        measured[kind] = {name: round(value, 1) for name, value in figures.items()}
    return measured


def _asked(address: str) -> tuple[float, float, float]:
    """Return an answer's duration and the server's CPU time in ms, and its size in kilobytes.

    The server's CPU time is that of this process without this thread.
    """
    headers = {"Accept-Language": "vi", "Accept-Encoding": "gzip"}
    began, all_cpu, own_cpu = time.perf_counter(), time.process_time(), time.thread_time()
    with urlopen(Request(address, headers=headers)) as answer:  # noqa: S310 - our own
        size = len(answer.read())
    ended = time.perf_counter()
    cpu = (time.process_time() - all_cpu) - (time.thread_time() - own_cpu)
    return (ended - began) * MILLISECONDS, cpu * MILLISECONDS, size / 1000


def _sessions(engine: sa.Engine) -> Callable[[], float]:
    """Return a function for the CPU seconds of a local PostgreSQL server so far; 0.0 for other databases."""
    if engine.dialect.name != "postgresql":
        return lambda: 0.0
    with reading(engine) as connection:
        own = int(connection.scalar(sa.text("select pg_backend_pid()")) or 0)
    try:
        postmaster = psutil.Process(own).parent()
    except psutil.NoSuchProcess:
        postmaster = None  # on another machine
    if postmaster is None or "postgres" not in postmaster.name():
        return lambda: 0.0

    def spent() -> float:
        # Sessions that ended are included in their parent's sum of children.
        total = postmaster.cpu_times()
        seconds = float(total.children_user + total.children_system)
        for child in postmaster.children():
            try:
                one = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            seconds += float(one.user + one.system)
        return seconds

    return spent
