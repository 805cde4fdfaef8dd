"""Capture topics into a log: what is on the broker now, partition by partition, in whole segments.

The ranges are fixed at the start and stored; a capture that was stopped, killed or ran out of disk space
resumes after its last whole segment when it is run again. A record that was itself replayed carries its
original broker time in a header, and that is what is captured. A value of null is captured as an empty one.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka.read import RereadError, read_range, record_of
from streams.logs.folder import (
    FORMAT,
    MANIFEST,
    VERSION,
    FileFormat,
    Manifest,
    Range,
    read_manifest,
    write_manifest,
    write_segment,
)
from streams.logs.pseudonym import Pseudonymiser
from streams.model.record import Record
from streams.model.settings import Settings
from streams.model.topics import RULES

SEGMENT_RECORDS: Final = 50_000
SEGMENT_BYTES: Final = 64 * 1024 * 1024


class CaptureError(RuntimeError):
    """A capture that cannot start or resume; the message says why and what to do."""


class Wish(NamedTuple):
    """What to capture of a topic; `partition` None means all, and offsets None mean no bound."""

    topic: str
    partition: int | None = None
    first_offset: int | None = None
    next_offset: int | None = None


class Progress(NamedTuple):
    """The progress of a capture, in offsets over all ranges."""

    done: int
    total: int
    records: int


async def capture(
    folder: Path,
    connection: Mapping[str, Any],
    wishes: Sequence[Wish],
    *,
    file_format: FileFormat = "ndjson",
    since_ms: int | None = None,
    until_ms: int | None = None,
    pseudonymiser: Pseudonymiser | None = None,
    progress: Callable[[Progress], None] | None = None,
    topic_names: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> Manifest:
    """Capture the wanted ranges into a folder, or resume a capture there; return its manifest.

    Topics are named, here and in the log, by the keys of ``topic_names``, whose values are the names on
    the broker; a topic without one has the same name there. ``[since_ms, until_ms)`` selects by the broker's
    time; rules are always captured in full, because they judge later records.

    Raises:
        CaptureError: the capture cannot start or resume.
        OSError: writing failed; all whole segments are kept.
        LogFileError: the folder holds something else.
    """
    names = topic_names or {}
    consumer = AIOKafkaConsumer(
        **connection,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=8 * 1024 * 1024,
        fetch_max_wait_ms=100,
    )
    try:
        await consumer.start()
        ranges = await _ranges(consumer, wishes, await _partitions(connection), since_ms, names)
        manifest = _begin(
            folder,
            Manifest(
                format=FORMAT,
                version=VERSION,
                file_format=file_format,
                ranges=ranges,
                since_ms=since_ms,
                until_ms=until_ms,
                pseudonym_key=pseudonymiser.key_name if pseudonymiser else None,
                settings=settings,
            ),
        )
        for wanted in manifest.ranges:
            await _capture_range(consumer, folder, manifest, wanted, pseudonymiser, progress, names)
    except KafkaError as error:
        raise CaptureError(f"the records cannot be read from the broker: {error!r}") from error
    finally:
        await consumer.stop()
    return manifest


def _begin(folder: Path, wanted: Manifest) -> Manifest:
    """Return the manifest to continue with: that of the folder if it has one, otherwise a new one."""
    if not (folder / MANIFEST).exists():
        folder.mkdir(parents=True, exist_ok=True)
        if strangers := sorted(path.name for path in folder.iterdir() if not path.name.endswith(".partial")):
            raise CaptureError(
                f"{folder} is not empty ({strangers[0]}) and not a captured log; name another folder"
            )
        write_manifest(folder, wanted)
        return wanted
    begun = read_manifest(folder)
    for name in ("file_format", "since_ms", "until_ms", "pseudonym_key"):
        if getattr(begun, name) != getattr(wanted, name):
            raise CaptureError(
                f"{folder} was started with {name} {getattr(begun, name)}, not {getattr(wanted, name)}; "
                "resume with the same options, or name another folder"
            )
    begun.settings = wanted.settings
    known = {(part.topic, part.partition): part for part in begun.ranges}
    for part in wanted.ranges:
        old = known.get((part.topic, part.partition))
        if old is None:
            begun.ranges.append(part)
            continue
        if part.first_offset > old.next_offset:
            raise CaptureError(
                f"{part.topic}/{part.partition}: offsets {old.next_offset} to {part.first_offset - 1} are "
                "gone from the broker, or not requested: that would leave a gap; name another folder"
            )
        old.end_offset = max(old.end_offset, part.end_offset)
    begun.ranges.sort(key=lambda part: (part.topic, part.partition))
    return begun


async def _partitions(connection: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the partitions of every topic; a consumer without a subscription does not know them."""
    admin = AIOKafkaAdminClient(**connection)
    try:
        await admin.start()
        described = await admin.describe_topics()
    finally:
        await admin.close()
    return {topic["topic"]: sorted(part["partition"] for part in topic["partitions"]) for topic in described}


async def _ranges(
    consumer: AIOKafkaConsumer,
    wishes: Sequence[Wish],
    present: Mapping[str, list[int]],
    since_ms: int | None,
    names: Mapping[str, str],
) -> list[Range]:
    ranges = []
    for wish in wishes:
        topic = names.get(wish.topic, wish.topic)
        partitions = present.get(topic)
        if not partitions:
            raise CaptureError(f"topic {topic} is not on the broker")
        if wish.partition is not None and wish.partition not in partitions:
            raise CaptureError(f"topic {topic} has no partition {wish.partition}")
        chosen = partitions if wish.partition is None else [wish.partition]
        ranges += [await _range(consumer, wish, TopicPartition(topic, each), since_ms) for each in chosen]
    return sorted(ranges, key=lambda part: (part.topic, part.partition))


async def _range(
    consumer: AIOKafkaConsumer, wish: Wish, source: TopicPartition, since_ms: int | None
) -> Range:
    begin = (await consumer.beginning_offsets([source]))[source]
    end = (await consumer.end_offsets([source]))[source]
    if wish.first_offset is not None and wish.first_offset < begin:
        raise CaptureError(
            f"{source.topic}/{source.partition}: the broker's first offset is {begin}, "
            f"{wish.first_offset} is gone by retention"
        )
    first = begin if wish.first_offset is None else min(wish.first_offset, end)
    end = end if wish.next_offset is None else min(wish.next_offset, end)
    if since_ms is not None and wish.topic != RULES:
        # A record's broker time is never after it was appended, so no earlier offset can be in the period.
        found = (await consumer.offsets_for_times({source: since_ms}))[source]
        first = max(first, end if found is None else min(found.offset, end))
    return Range(wish.topic, source.partition, first, max(first, end), first)


async def _capture_range(
    consumer: AIOKafkaConsumer,
    folder: Path,
    manifest: Manifest,
    wanted: Range,
    pseudonymiser: Pseudonymiser | None,
    progress: Callable[[Progress], None] | None,
    names: Mapping[str, str],
) -> None:
    source = TopicPartition(names.get(wanted.topic, wanted.topic), wanted.partition)
    async for records, next_offset in _segments(consumer, wanted, source):
        kept = [
            record if pseudonymiser is None else pseudonymiser.record(record)
            for record in records
            if record.topic == RULES
            or (
                (manifest.since_ms is None or record.logged_at_ms >= manifest.since_ms)
                and (manifest.until_ms is None or record.logged_at_ms < manifest.until_ms)
            )
        ]
        if kept:
            manifest.segments.append(write_segment(folder, manifest.file_format, kept))
        wanted.next_offset = next_offset
        write_manifest(folder, manifest)
        if progress is not None:
            done = sum(part.next_offset - part.first_offset for part in manifest.ranges)
            total = sum(part.end_offset - part.first_offset for part in manifest.ranges)
            progress(Progress(done, total, manifest.records))


async def _segments(
    consumer: AIOKafkaConsumer, wanted: Range, source: TopicPartition
) -> AsyncIterator[tuple[list[Record], int]]:
    """Yield a range's records one segment at a time, each with the offset at which to resume."""
    if wanted.next_offset >= wanted.end_offset:
        return
    records: list[Record] = []
    size = 0
    try:
        async for messages in read_range(consumer, source, wanted.next_offset, wanted.end_offset):
            for message in messages:
                records.append(record_of(message, wanted.topic))
                size += len(records[-1].value)
                if len(records) >= SEGMENT_RECORDS or size >= SEGMENT_BYTES:
                    yield records, message.offset + 1
                    records, size = [], 0
    except RereadError as error:
        raise CaptureError(str(error)) from error
    yield records, wanted.end_offset
