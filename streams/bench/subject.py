"""Runs one subject of the benchmark in its own process: `python -m streams.bench.subject JOB`.

``JOB`` is a `Job` as JSON. The number of records to read arrives as a line on stdin once it is known; the
`Reading` goes to stdout as one line of JSON. The process ends when its stdin is closed, so at the latest with
its parent.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
import msgspec
from aiokafka import AIOKafkaConsumer

from streams import telemetry
from streams.bench.faust_reference import make_reference
from streams.bench.reading import Goal, Reading, read_until
from streams.detect.app import make_app
from streams.kafka.connection import kafka_connection
from streams.kafka.topics import Topics
from streams.measure.stage import Measure
from streams.model.settings import MeasureSettings
from streams.telemetry.contract import RECORDS
from streams.telemetry.labels import RESULTS

POLL_RECORDS: Final = 500
RESULT_FD: Final = 9


class Job(msgspec.Struct, frozen=True):
    """What a process runs: the subject, the actual topic names and the consumer group."""

    subject: str
    bootstrap_servers: str
    topics: dict[str, str]
    group: str
    source_partitions: int
    measurement_partitions: int


def records_metered() -> int:
    """Return how many records this process's stage has read, according to its metrics."""
    telemetry_now = telemetry.current()
    values = (telemetry_now.store.value(RECORDS, (telemetry_now.stage, result)) for result in RESULTS)
    return int(sum(value or 0 for value in values))


async def measure(job: Job, goal: Goal) -> Reading:
    """Run `measure` until it has read everything, and published and committed the results."""
    telemetry.configure("measure", level="error")
    stage = Measure(
        kafka_connection(job.bootstrap_servers),
        MeasureSettings(),
        topics=Topics(**job.topics),
        group=job.group,
        max_records=POLL_RECORDS,
    )
    running = asyncio.ensure_future(stage.run())

    async def stop() -> None:
        running.cancel()
        await asyncio.wait([running])

    watching = asyncio.ensure_future(read_until(goal, records_metered, stop))
    await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
    if running.done() and not running.cancelled():
        running.result()  # raises: it ends by itself only on an error
    return await watching


async def aiokafka_raw(job: Job, goal: Goal) -> Reading:
    """Read the same records with `getmany` and ignore them: the upper limit."""
    topics = Topics(**job.topics)
    consumer = AIOKafkaConsumer(
        topics.lookups,
        topics.submissions,
        group_id=job.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **kafka_connection(job.bootstrap_servers),
    )
    await consumer.start()
    read = 0
    watching = asyncio.ensure_future(read_until(goal, lambda: read))
    try:
        while not watching.done():
            batches = await consumer.getmany(timeout_ms=200, max_records=POLL_RECORDS)
            read += sum(map(len, batches.values()))
            await asyncio.sleep(0)  # as `measure` does: polls of prefetched records never yield
    finally:
        await consumer.stop()
    return await watching


def run_faust(app: Any, count: Callable[[], int], goal: Goal) -> None:
    """Run a Faust application under its worker, with a task that writes the reading."""

    async def watch() -> None:
        write(await read_until(goal, count))

    app.task(watch)
    worker = faust.Worker(app, loglevel="error", redirect_stdouts=False)
    worker.execute_from_commandline()


def detect(job: Job, goal: Goal) -> None:
    """Run `detect` over measurements."""
    telemetry.configure("detect", level="error")
    app = make_app(
        kafka_connection(job.bootstrap_servers),
        partitions=job.measurement_partitions,
        topics=Topics(**job.topics),
        app_id=job.group,
    )
    run_faust(app, records_metered, goal)


def faust_idiomatic(job: Job, goal: Goal) -> None:
    """Run the baseline."""
    connection = kafka_connection(job.bootstrap_servers)
    app, count = make_reference(connection, Topics(**job.topics), job.group, job.source_partitions)
    run_faust(app, count, goal)


ON_OWN_LOOP: Final[dict[str, Callable[[Job, Goal], Awaitable[Reading]]]] = {
    "measure": measure,
    "aiokafka_raw": aiokafka_raw,
}
AS_WORKER: Final[dict[str, Callable[[Job, Goal], None]]] = {
    "detect": detect,
    "faust_idiomatic": faust_idiomatic,
}


def write(reading: Reading) -> None:
    """Write the result to the process that started this one."""
    os.write(RESULT_FD, msgspec.json.encode(reading) + b"\n")


def keep_stdout() -> None:
    """Keep a copy of stdout for the result, because a Faust worker prints a banner there."""
    os.dup2(1, RESULT_FD)
    os.dup2(2, 1)


def listen(goal: Goal) -> None:
    """Read the goal from stdin; end the process when stdin is closed."""
    for line in sys.stdin:
        goal.records = int(line)
    os._exit(0)


def main() -> None:
    """Run the job given on the command line; the process ends when its stdin is closed."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    keep_stdout()
    goal = Goal()
    listener = threading.Thread(target=listen, args=(goal,), daemon=True)
    listener.start()
    if job.subject in AS_WORKER:
        AS_WORKER[job.subject](job, goal)
        return

    async def run() -> Reading:
        return await ON_OWN_LOOP[job.subject](job, goal)

    write(asyncio.run(run()))
    listener.join()


if __name__ == "__main__":
    main()
