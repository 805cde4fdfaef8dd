"""What is read off a process at work: from its first record to its last, its time and its CPU time."""

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

    ``records`` were read between the two instants, ``cpu_seconds`` (user and system, all threads) spent.
    """

    records: int
    started_seconds: float
    ended_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


class Goal:
    """How many records there are to read; None until it is known."""

    records: int | None = None


async def read_until(
    goal: Goal, count: Callable[[], int], finish: Callable[[], Awaitable[None]] | None = None
) -> Reading:
    """Watch ``count`` from the first record until the goal is reached and ``finish`` is done.

    Interpreter start, imports and the joining of a group lie before the first record, so outside.
    """
    while not (first := count()):  # noqa: ASYNC110 - the subjects are as they are, and tell nobody
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
    """Return the greatest resident size of this process so far.

    Linux hands ``ru_maxrss`` down from the parent through fork and exec; the status file starts afresh.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
