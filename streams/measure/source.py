"""One source partition of `measure`: its meter, and how much of the meter's output is published.

Its records fall into three ranges of offsets. Those before ``quiet_until`` are published and committed; they
only rebuild the meter's state. For those before ``told_until``, dead letters are published and counts added,
but no measurement covers them yet. The rest are new.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from streams.measure.meter import NOTHING_SEEN_MS, Checkpoint, Meter
from streams.measure.refused import DeadLetter
from streams.model.border import UNREADABLE
from streams.model.canonical import encode
from streams.model.digest import Entry, digest_of
from streams.model.measurement import Measurement, RecordCounts, Source
from streams.model.settings import MeasureSettings


class Progress(Struct, frozen=True, omit_defaults=True):
    """What a commit of a source partition carries besides its offset.

    ``rebuild_offset`` is where rebuilding the state must begin, and ``max_event_ms`` the greatest event time
    before it. ``reached_ms`` is the greatest event time measured; ``digest`` and ``range_begins`` describe
    the last range. ``logged_ms`` is the greatest of the broker's times read (-1 where the broker sets none).
    Dead letters of records before ``told_until`` are published; those after it can only stand in the
    dead-letter partition from ``letters_from`` on. ``partitions`` is the number of partitions of
    `link.measurements` over which links are spread. ``gone_from`` is set if the records from there up to the
    commit are gone and no measurement has reported that yet.
    """

    rebuild_offset: int
    max_event_ms: int = NOTHING_SEEN_MS
    reached_ms: int = NOTHING_SEEN_MS
    logged_ms: int = -1
    range_begins: int = -1
    digest: str = ""
    incarnation: int = 0
    told_until: int = 0
    letters_from: int = 0
    partitions: int = 0
    gone_from: int | None = None


_progress: Final = msgspec.json.Decoder(Progress)


def progress_in(metadata: str) -> Progress:
    """Return the progress in a commit's metadata; without a valid one, everything has to be rebuilt."""
    try:
        return _progress.decode(metadata)
    except UNREADABLE:
        return Progress(0)


class SourceChangedError(Exception):
    """The records before the commit differ from those read then: the log has begun again."""


class SourcePartition:
    """One assigned partition. Feed it, publish what `take` returns, then call `published`.

    ``committed`` is the group's commit, None without one; ``beginning`` is the first offset still available;
    ``told`` holds ``(offset, logged_at_ms)`` of the records after the commit that already have a dead letter.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        settings: MeasureSettings,
        *,
        progress: Progress | None = None,
        committed: int | None = None,
        beginning: int = 0,
        told: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self._settings, self._topic, self._partition, self._told = settings, topic, partition, told
        self.progress = progress or Progress(beginning)
        self.quiet_until = committed or 0
        self.told_until = max(self.progress.told_until, self.quiet_until)
        self.lost: tuple[int, int] | None = None
        self.rebuilt_from: int | None = None
        self.partial = False
        first = beginning
        checkpoint = Checkpoint(beginning)
        if committed is not None:
            first = max(self.progress.rebuild_offset, beginning)
            checkpoint = Checkpoint(first, self.progress.max_event_ms)
            self.rebuilt_from = first
            self.partial = first > self.progress.rebuild_offset
            if beginning > committed:
                self.lost = committed, beginning
                checkpoint = Checkpoint(beginning, self.progress.reached_ms)
                self.quiet_until = beginning
        self.next_offset = first
        self.meter = Meter(topic, partition, settings, checkpoint, self.progress.incarnation)
        self._counted = RecordCounts()
        self._last: Source | None = None
        self._tail: list[Entry] = []
        """The records of the last committed range, as read again now."""
        self._read_from = first
        """The offset from which nothing was missing while the state was rebuilt."""
        self._rebuilding = first < self.quiet_until
        self.commit_offset = committed if committed is not None else beginning
        self.committed: tuple[int, Progress] | None = None
        if self.lost is not None:
            self.commit_offset = beginning
            reached_ms = self.progress.reached_ms
            gone_from = self.lost[0] if self.progress.gone_from is None else self.progress.gone_from
            self.progress = replace(
                self.progress,
                rebuild_offset=beginning,
                max_event_ms=reached_ms,
                digest="",
                range_begins=-1,
                gone_from=gone_from,
            )
        if not self._rebuilding:
            self.meter.gone_from = self.progress.gone_from

    def begin_again(self, first: int) -> None:
        """Continue at offset ``first`` of a log that began again under the same name.

        Commit this before publishing anything from the new log, so that a successor decides the same way.
        """
        reached_ms, incarnation = self.progress.reached_ms, self.progress.incarnation + 1
        self.progress = replace(
            self.progress,
            rebuild_offset=first,
            max_event_ms=reached_ms,
            reached_ms=reached_ms,
            digest="",
            range_begins=-1,
            incarnation=incarnation,
            told_until=first,
            gone_from=None,
        )
        self.meter = Meter(
            self._topic, self._partition, self._settings, Checkpoint(first, reached_ms), incarnation
        )
        self.next_offset = self.quiet_until = self.told_until = self.commit_offset = first
        self._told = frozenset()
        self._counted, self._rebuilding = RecordCounts(), False

    def skip_to(self, first: int) -> None:
        """Continue at ``first`` because the records before it are gone; what was read becomes a range."""
        if self._rebuilding:
            self._read_from = first
            if first < self.quiet_until:
                self.next_offset = first
                return
            self._finish_rebuilding(self.quiet_until)
        self.meter.end_range(first)
        self.next_offset = first
        self.told_until = max(self.told_until, first)

    def feed(self, entries: Sequence[Entry]) -> None:
        """Process records in offset order; raise `SourceChangedError` if the log was replaced."""
        if self._rebuilding:
            old = [entry for entry in entries if entry[0] < self.quiet_until]
            self._rebuild(old)
            entries = entries[len(old) :]
            if entries or self.next_offset >= self.quiet_until:
                self._finish_rebuilding(self.quiet_until)
        if entries and entries[0][0] < self.told_until:
            told = [entry for entry in entries if entry[0] < self.told_until]
            self.meter.feed(told)
            self.meter.dead_letters.clear()
            self._counted = self.meter.totals()
            self.next_offset = told[-1][0] + 1
            entries = entries[len(told) :]
        if entries:
            self.meter.feed(entries)
            self.next_offset = entries[-1][0] + 1

    def _rebuild(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        meter = self.meter
        meter.feed(entries)
        if meter.measurements:
            self._last = meter.measurements[-1].source
        if self.progress.digest:
            self._tail += [entry for entry in entries if entry[0] >= self.progress.range_begins]
        meter.measurements.clear()
        meter.dead_letters.clear()
        self._counted = meter.totals()
        self.next_offset = entries[-1][0] + 1

    def _finish_rebuilding(self, until: int) -> None:
        """Check the rebuilt state against the commit, and continue from there."""
        if not self._rebuilding:
            return
        self._rebuilding = False
        meter, last, known, tail = self.meter, self._last, self.progress, self._tail
        self._tail = []
        if known.digest and known.range_begins >= self._read_from and digest_of(tail) != known.digest:
            raise SourceChangedError
        if last is None or last.next_offset != self.quiet_until:
            # Rebuilt only in part, or committed by a version that cuts elsewhere: the rest was published.
            meter.restart_range(until, known.reached_ms)
            meter.measurements.clear()
            meter.dead_letters.clear()
            self._counted = meter.totals()
        meter.gone_from = known.gone_from

    def take(self) -> tuple[list[Measurement], list[DeadLetter], RecordCounts]:
        """Return what is to be published, and how the new records ended."""
        meter = self.meter
        measurements = list(meter.measurements)
        letters = [one for one in meter.dead_letters if (one.offset, one.logged_at_ms) not in self._told]
        meter.measurements.clear()
        meter.dead_letters.clear()
        totals = meter.totals()
        fresh, self._counted = totals - self._counted, totals
        return measurements, letters, fresh

    def published(self, last: Measurement | None, logged_ms: int, letters_from: int, partitions: int) -> None:
        """Record that everything taken has been sent; ``last`` is the last measurement, if any.

        ``logged_ms`` is the latest broker time read.
        """
        told_until = max(self.told_until, self.next_offset)
        changed: dict[str, int | str | None] = {
            "told_until": told_until,
            "logged_ms": logged_ms,
            "letters_from": letters_from,
            "partitions": partitions,
            # A meter that is being rebuilt does not know the range in the commit yet.
            "gone_from": self.progress.gone_from if self._rebuilding else self.meter.gone_from,
        }
        measured_until = self.meter.next_offset
        if measured_until is not None and measured_until > self.commit_offset:
            checkpoint = self.meter.checkpoint
            self.commit_offset = measured_until
            changed |= {
                "rebuild_offset": checkpoint.rebuild_offset,
                "max_event_ms": checkpoint.max_event_ms,
                "range_begins": -1,
                "digest": "",
            }
            if last is not None and last.source.next_offset == measured_until:
                changed |= {
                    "reached_ms": last.watermark_ms + self._settings.out_of_orderness_ms,
                    "range_begins": last.source.first_offset,
                    "digest": last.source.digest,
                }
        self.progress = replace(self.progress, **changed)

    @property
    def past_told(self) -> bool:
        """Whether progress has passed every record that had a dead letter when the partition was assigned."""
        return self.progress.told_until > max((offset for offset, _ in self._told), default=-1)

    @property
    def to_commit(self) -> tuple[int, str] | None:
        """Offset and metadata of the progress so far, None if they are committed already."""
        if self.committed == (self.commit_offset, self.progress):
            return None
        return self.commit_offset, encode(self.progress).decode()

    def note_committed(self) -> None:
        """Note that `to_commit` is committed."""
        self.committed = self.commit_offset, self.progress
