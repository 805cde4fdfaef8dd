"""Measures a working process from its first record to its last: wall time and CPU time."""

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

SAMPLE_SECONDS: Final = 0.02


class Reading(Struct, frozen=True):
    """One process from ``started_seconds`` to ``ended_seconds`` (monotonic clock, one for all processes).

    ``records`` were read between the two instants, and ``cpu_seconds`` (user and system, all threads) used.
    """

    records: int
    started_seconds: float
    ended_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


class Goal:
    """The number of records to read; None until known."""

    records: int | None = None


async def read_until(
    goal: Goal, count: Callable[[], int], finish: Callable[[], Awaitable[None]] | None = None
) -> Reading:
    """Watch ``count`` from the first record until the goal is reached and ``finish`` is done.

    Interpreter start, imports and joining the group happen before the first record and do not count.
    """
    while not (first := count()):  # noqa: ASYNC110 - the subjects cannot notify us
        await asyncio.sleep(SAMPLE_SECONDS / 4)
    started, cpu = time.monotonic(), time.process_time()
    while goal.records is None or count() < goal.records:  # noqa: ASYNC110 - as above
        await asyncio.sleep(SAMPLE_SECONDS)
    if finish is not None:
        await finish()
    return Reading(
        records=count() - first,
        started_seconds=started,
        ended_seconds=time.monotonic(),
        cpu_seconds=time.process_time() - cpu,
        peak_rss_bytes=peak_rss_bytes(),
    )


def peak_rss_bytes() -> int:
    """Return the peak resident size of this process.

    On Linux a child inherits ``ru_maxrss`` from its parent through fork and exec; the status file starts
    anew.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
