"""The benchmark: loads the workload into the broker once, then runs each subject in its own process.

Two subjects never run at once, except `measure` and `detect` in `end_to_end`. Figures are only compared
within one run, because figures of two machines, or of one machine at different hours, are not comparable.
"""

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.bench.reading import Reading
from streams.bench.subject import Job
from streams.bench.workload import Workload
from streams.kafka.connection import kafka_connection
from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics, declared_topics
from streams.servers.kafka import EmbeddedKafka
from streams.servers.process import tail

FAUST_RECORDS: Final = 100_000
"""The most records that the baseline reads: at its rate a million would take minutes."""
LONGEST_SECONDS: Final = 1_800.0
Tell = Callable[[str, int, int], None]
"""Called with the current task, the amount done, and the total."""


class BenchError(RuntimeError):
    """A subject that did not finish; the message contains the last lines of its log."""


class Figures(msgspec.Struct, frozen=True):
    """One subject's figures. ``events`` are records of the input topics, with heartbeats and duplicates."""

    events: int
    events_per_s: float
    events_per_cpu_s: float
    peak_rss_bytes: int


class BenchResult(msgspec.Struct, frozen=True):
    """The figures of one run, and their ratios of events per CPU-second."""

    events: int
    machine: dict[str, str | int]
    stages: dict[str, Figures]
    references: dict[str, Figures]
    ratios: dict[str, float]


class Subject:
    """A subject in its own process, which ends with this object's context or with this process."""

    def __init__(self, job: Job, log: Path) -> None:
        self._job, self._log = job, log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "streams.bench.subject", msgspec.json.encode(job).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def reading(self, records: int) -> Reading:
        """Send the number of records to read, and return the reading once they are read."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"%d\n" % records)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{self._job.subject} ended before its last record:\n{tail(self._log)}")
        return msgspec.json.decode(line, type=Reading)


class Bench:
    """One run of the benchmark on a broker, with its own topics, which it removes at the end."""

    def __init__(self, bootstrap_servers: str, events: int, folder: Path, tell: Tell) -> None:
        self._bootstrap, self._folder, self._tell = bootstrap_servers, folder, tell
        self._connection = kafka_connection(bootstrap_servers)
        self._run = f"bench-{uuid.uuid4().hex[:8]}"
        self._topics = Topics().suffixed(self._run)
        self._topics_again, self._topics_e2e = (
            replace(
                Topics().suffixed(f"{self._run}-{use}"),
                lookups=self._topics.lookups,
                submissions=self._topics.submissions,
            )
            for use in ("again", "e2e")
        )
        declared = declared_topics()
        self._source_partitions = declared[Topics().lookups].partitions
        self._measurement_partitions = declared[Topics().measurements].partitions
        self._workload = Workload(events, self._source_partitions)

    def run(self) -> BenchResult:
        """Load the workload, run every subject, and return the figures; raise `BenchError` if one fails."""
        try:
            records = asyncio.run(self._load())
            stages, references = {}, {}
            # A machine's speed drifts, so runs of the two alternate.
            raw = [self._alone("aiokafka_raw", records)]
            measured = []
            for topics in (self._topics, self._topics_again):
                measured.append(self._alone("measure", records, topics))
                raw.append(self._alone("aiokafka_raw", records))
            references["aiokafka_raw"] = _figures(together(raw))
            stages["measure"] = _figures(together(measured))
            pieces = asyncio.run(self._count(self._topics.measurements))
            detected = self._alone("detect", pieces)
            stages["detect"] = _figures(detected, events=records * detected.records // pieces)
            stages["end_to_end"] = self._end_to_end(records)
            baseline = self._alone("faust_idiomatic", min(records, FAUST_RECORDS))
            references["faust_idiomatic"] = _figures(baseline)
        finally:
            asyncio.run(self._remove())
        ratios = {
            f"{stage}_to_{reference}": round(one.events_per_cpu_s / other.events_per_cpu_s, 3)
            for stage, one in stages.items()
            for reference, other in references.items()
        }
        return BenchResult(records, _machine(), stages, references, ratios)

    async def _load(self) -> int:
        for topics in (self._topics, self._topics_again, self._topics_e2e):
            await create_topics(self._connection, topics)
        about = self._workload.dossiers * 5
        return await publish(
            self._workload.records(),
            self._connection,
            topic_names=self._topics.by_declared_name(),
            progress=lambda done: self._tell("load", done, about),
        )

    def _subject(self, name: str, topics: Topics) -> Subject:
        job = Job(
            subject=name,
            bootstrap_servers=self._bootstrap,
            topics=asdict(topics),
            group=f"{self._run}-{name}-{uuid.uuid4().hex[:4]}",
            source_partitions=self._source_partitions,
            measurement_partitions=self._measurement_partitions,
        )
        return Subject(job, self._folder / f"{job.group}.log")

    def _alone(self, name: str, records: int, topics: Topics | None = None) -> Reading:
        self._tell(name, 0, records)
        with self._subject(name, topics or self._topics) as subject:
            reading = subject.reading(records)
        self._tell(name, records, records)
        return reading

    def _end_to_end(self, records: int) -> Figures:
        """Run both stages at once on the same records; CPU time and memory are the sums of both."""
        self._tell("end_to_end", 0, records)
        with (
            self._subject("detect", self._topics_e2e) as detect,
            self._subject("measure", self._topics_e2e) as measure,
        ):
            measured = measure.reading(records)
            detected = detect.reading(asyncio.run(self._count(self._topics_e2e.measurements)))
        self._tell("end_to_end", records, records)
        return _figures(
            Reading(
                records=measured.records,
                started_seconds=measured.started_seconds,
                ended_seconds=max(measured.ended_seconds, detected.ended_seconds),
                cpu_seconds=measured.cpu_seconds + detected.cpu_seconds,
                peak_rss_bytes=measured.peak_rss_bytes + detected.peak_rss_bytes,
            )
        )

    async def _count(self, topic: str) -> int:
        """Return how many records a topic holds."""
        reader = AIOKafkaConsumer(**self._connection)
        await reader.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(self._measurement_partitions)]
            return sum((await reader.end_offsets(partitions)).values())
        finally:
            await reader.stop()

    async def _remove(self) -> None:
        admin = AIOKafkaAdminClient(**self._connection)
        await admin.start()
        try:
            own = [name for name in await admin.list_topics() if self._run in name]
            await admin.delete_topics(own)
        finally:
            await admin.close()


def together(readings: Sequence[Reading]) -> Reading:
    """Return the mean of several runs over the same records, with the highest peak memory."""
    runs = len(readings)
    return Reading(
        records=sum(reading.records for reading in readings) // runs,
        started_seconds=0.0,
        ended_seconds=sum(reading.ended_seconds - reading.started_seconds for reading in readings) / runs,
        cpu_seconds=sum(reading.cpu_seconds for reading in readings) / runs,
        peak_rss_bytes=max(reading.peak_rss_bytes for reading in readings),
    )


def _figures(reading: Reading, events: int | None = None) -> Figures:
    """Return the figures of a reading; pass ``events`` if its records represent several events each."""
    count = reading.records if events is None else events
    return Figures(
        events=count,
        events_per_s=round(count / (reading.ended_seconds - reading.started_seconds), 1),
        events_per_cpu_s=round(count / reading.cpu_seconds, 1),
        peak_rss_bytes=reading.peak_rss_bytes,
    )


def _machine() -> dict[str, str | int]:
    return {
        "cpus": os.cpu_count() or 1,
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


@contextmanager
def broker() -> Iterator[str]:
    """Yield the address of the broker named by the environment, or of an embedded one for this run."""
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    with (
        tempfile.TemporaryDirectory(prefix="portallink-bench-") as folder,
        EmbeddedKafka(Path(folder), port=0) as kafka,
    ):
        yield kafka.bootstrap_servers


def run_bench(events: int, tell: Tell, bootstrap_servers: str | None = None) -> BenchResult:
    """Run the benchmark with about ``events`` events on a named broker, or on the one `broker` gives.

    Raises `BenchError` if a subject fails, ValueError for too few events.
    """
    with tempfile.TemporaryDirectory(prefix="portallink-bench-") as folder:
        if bootstrap_servers is not None:
            return Bench(bootstrap_servers, events, Path(folder), tell).run()
        with broker() as found:
            return Bench(found, events, Path(folder), tell).run()


def as_json(result: BenchResult) -> dict[str, Any]:
    """Return a result as plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(result)
    return plain
