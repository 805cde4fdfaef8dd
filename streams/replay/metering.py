"""Meter a log: turn its records, in log order, into batches with blocks of measurements.

A batch is plain data, so that it may come from another process; batch sizes change no result.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from streams.measure.decode import DECODERS
from streams.measure.meter import Meter, SubmissionCounter
from streams.measure.refused import DeadLetter
from streams.model.digest import Entry
from streams.model.measurement import RecordCounts
from streams.model.record import ByPartition
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, RULES, SUBMISSIONS
from streams.replay.packed import pack


class Block(Struct, array_like=True):
    """Consecutive measurements of one partition, packed by `streams.replay.packed`."""

    topic: str
    partition: int
    rows: int
    data: bytes


class Batch(Struct, array_like=True, tag="batch"):
    """The results of some consecutive records of a log.

    ``read`` counts the records, ``ignored`` those of topics without events, ``records`` how the measured ones
    ended. ``rules`` are the records of `link.rules`; ``lookups`` counts the applied records of `npd.lookups`.
    Only the last batch sets ``partitions`` (those of `npd.lookups`), ``pending`` (the number of records after
    the last cuts) and ``pending_dead_letters`` (how many of these were refused).
    """

    read: int
    ignored: int = 0
    records: RecordCounts = field(default_factory=RecordCounts)
    blocks: list[Block] = field(default_factory=list)
    dead_letters: list[tuple[str, int, DeadLetter]] = field(default_factory=list)
    rules: list[tuple[int, Entry]] = field(default_factory=list)
    pending: int = 0
    pending_dead_letters: int = 0
    lookups: int = 0
    partitions: list[int] | None = None


def metered(
    chunks: Iterable[ByPartition], settings: MeasureSettings, *, lookups_only: bool = False
) -> Iterator[Batch]:
    """Yield a batch for each chunk of records, and a final one.

    With ``lookups_only`` other events are counted but not measured.
    """
    meters: dict[tuple[str, int], Meter] = {}
    for chunk in chunks:
        batch = Batch(sum(map(len, chunk.values())))
        for (topic, partition), entries in chunk.items():
            if topic == RULES:
                batch.rules += [(partition, entry) for entry in entries]
            elif topic not in DECODERS:
                batch.ignored += len(entries)
            else:
                meter = meters.get((topic, partition))
                if meter is None:
                    counted = lookups_only and topic == SUBMISSIONS
                    meter = (
                        SubmissionCounter(partition, settings)
                        if counted
                        else Meter(topic, partition, settings)
                    )
                    meters[topic, partition] = meter
                before = meter.cut_totals
                meter.feed(entries)
                ended = meter.cut_totals - before
                batch.records += ended
                if topic == LOOKUPS:
                    batch.lookups += ended.applied + ended.late
                _collect(batch, topic, partition, meter)
        yield batch
    yield Batch(
        0,
        pending=sum(meter.pending_records for meter in meters.values()),
        pending_dead_letters=sum(
            (meter.totals() - meter.cut_totals).dead_letter for meter in meters.values()
        ),
        partitions=sorted(partition for topic, partition in meters if topic == LOOKUPS),
    )


def _collect(batch: Batch, topic: str, partition: int, meter: Meter) -> None:
    """Move a meter's output into the batch."""
    if measurements := meter.measurements:
        batch.blocks.append(Block(topic, partition, len(measurements), pack(measurements)))
        measurements.clear()
    if meter.dead_letters:
        batch.dead_letters += [(topic, partition, letter) for letter in meter.dead_letters]
        meter.dead_letters.clear()
