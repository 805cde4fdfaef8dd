"""The meter of one source partition: a pure function of its log, cut by event time.

Theory. The *watermark* of a partition is the greatest event time seen less ``out_of_orderness_ms``: a
claim that nothing older is still to come. Whenever it crosses a slot boundary the meter *cuts*: it emits
one measurement for all records since the last cut. The record that moved the watermark is the last one
of its range. Where cuts fall, and what they hold, depends on the records alone: not on batches, not on
restarts, not on other partitions. So a measurement emitted twice is the same to the byte, and the
receiver drops the second by its offsets: an exactly-once effect without transactions.

State is a function of the log too. What is remembered (ids, expired requests) lives in *generations* of
``generation_ms`` of watermark progress, the two newest being kept. Requests that are still open reach back
by ``lookup_timeout_ms`` more. A state is therefore rebuilt exactly by reading again, quietly, from a little
before the third newest generation up to the last cut; that offset, with the greatest event time at that
point, is the `Checkpoint` that goes into the offset commit.
"""

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Final

import msgspec

from streams.measure.decode import DECODERS, control_in, reason_for
from streams.measure.lookups import LookupSums
from streams.measure.refused import DeadLetter, implausible
from streams.measure.submissions import SubmissionSums, Unsummed
from streams.model.digest import BLOCK_RECORDS, Entry, RangeDigest, digest_of_block
from streams.model.events import FAILURES, Heartbeat, LookupCompleted
from streams.model.measurement import Measurement, RecordCounts, Source
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS

NOTHING_SEEN_MS: Final = -(1 << 62)


class Checkpoint(msgspec.Struct, frozen=True):
    """From where to read again, and the greatest event time before that point."""

    rebuild_offset: int
    max_event_ms: int = NOTHING_SEEN_MS


class Meter:
    """Turns the records of one partition, in offset order, into measurements and dead letters.

    ``topic`` is the declared name, not the broker's, so that results do not depend on the latter; a topic
    without events raises `KeyError`. Call `feed` with records, then collect what it appended to
    `measurements` and `dead_letters` and clear those lists. `checkpoint` belongs to the last measurement
    emitted, and `next_offset` is where that measurement's range ended.

    Each range begins where the one before it ended, whatever offsets the log leaves out (those of
    transactions or compaction). So a range that does not begin where its predecessor ended shows that records
    are missing. ``incarnation`` counts how often the log began again under the same name.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        settings: MeasureSettings,
        checkpoint: Checkpoint | None = None,
        incarnation: int = 0,
    ) -> None:
        if settings.lookup_timeout_ms % settings.slot_ms:
            raise ValueError("lookup_timeout_ms must be a multiple of slot_ms")
        self.settings = settings
        self.measurements: list[Measurement] = []
        self.dead_letters: list[DeadLetter] = []
        self._topic, self._partition, self._incarnation = topic, partition, incarnation
        self._slot_ms, self._lateness_ms = settings.slot_ms, settings.out_of_orderness_ms
        self._decode = DECODERS[topic]
        self._sums: LookupSums | SubmissionSums
        self._sums = LookupSums(settings) if topic == LOOKUPS else SubmissionSums(settings)
        self._now, self._change_ms = settings, _first_change_ms(settings, NOTHING_SEEN_MS)
        """The settings in force, and the watermark at which the next ones apply."""
        start = checkpoint or Checkpoint(0)
        self._max_event_ms = start.max_event_ms
        self._next_cut_ms = NOTHING_SEEN_MS
        self._closed_ms = NOTHING_SEEN_MS
        self._schedule()
        self._young: dict[str, str | None] = {}
        self._old: dict[str, str | None] = {}
        """Event ids with their outcome, None if the event was not a completion."""
        self._position = 0
        self._generation_ends_ms = self._end_of_generation()
        self._generation_starts = [start, start, start]
        self._range_starts = deque([(self._closed_ms, start)])
        """Where the recent ranges began; the first one precedes every request that is still open."""
        self._open_ms = settings.lookup_timeout_ms + settings.out_of_orderness_ms + 2 * settings.slot_ms
        self.next_offset: int | None = None
        self.gone_from: int | None = 0 if start.rebuild_offset else None
        """The first of the missing records just before the current range; None if none are missing."""
        self._range_begins = start.rebuild_offset or None
        """Where the current range begins; None at the beginning of a log, until its first record."""
        self.conflicts = 0
        """Failures whose event id was used before for something else. Such a failure still counts: an answer
        sent earlier under a stolen id must not hide it."""
        self._done = RecordCounts()
        self._empty_range()

    @property
    def watermark_ms(self) -> int:
        """The watermark in epoch milliseconds: older events are late."""
        return self._max_event_ms - self.settings.out_of_orderness_ms

    @property
    def checkpoint(self) -> Checkpoint:
        """From where to rebuild the state that holds at `next_offset`."""
        return self._generation_starts[0]

    @property
    def cut_totals(self) -> RecordCounts:
        """How every record up to the last cut ended."""
        return copy(self._done)

    def totals(self) -> RecordCounts:
        """Return how every record fed so far ended, also those after the last cut."""
        here = self._counts
        applied = self.pending_records - here.duplicate - here.late - here.dead_letter
        return self._done + msgspec.structs.replace(here, applied=applied)

    @property
    def pending_records(self) -> int:
        """How many records have been read since the last cut."""
        return self._flushed + len(self._block)

    def feed(self, entries: Sequence[Entry]) -> None:
        """Process records in offset order. The hot path: one iteration per record.

        Here a record is decoded, checked and placed in event time. A separate loop (`LookupSums.apply`) sums
        the accepted events of a range, which is faster than a call per record.
        """
        settings, sums = self.settings, self._sums
        decode: Callable[[bytes], Any] = self._decode  # decoder and sums belong to the same topic
        earliest_ms, skew_ms = settings.earliest_event_ms, self._now.max_clock_skew_ms
        max_bytes, lateness_ms = settings.max_value_bytes, settings.out_of_orderness_ms
        counts, young, old, known = self._counts, self._young, self._old, sums.known
        max_event_ms, next_cut_ms = self._max_event_ms, self._next_cut_ms
        start = 0
        accepted: list[Any] = []
        for index, entry in enumerate(entries, 1):
            _, logged_at_ms, key, value = entry
            try:
                event = decode(value)
            except (ValueError, TypeError, RecursionError) as error:
                self._refuse(entry, *reason_for(value, error, max_bytes))
                continue
            event_ms, event_id = event.occurred_at_ms, event.event_id
            is_beat = type(event) is Heartbeat
            if (
                not earliest_ms <= event_ms <= logged_at_ms + skew_ms
                or len(value) > max_bytes
                or not (is_beat or key is None or key == event.dossier_id.encode())
                or ((b"\\" in value or b"\xc2" in value) and control_in(event))
            ):
                self._refuse(entry, *implausible(event, entry, settings, skew_ms))
                continue
            if event_id is not None:
                outcome = event.outcome if type(event) is LookupCompleted else None
                if (event_id in young or event_id in old) and not self._overrules(event_id, outcome):
                    counts.duplicate += 1
                    continue
                young[event_id] = outcome
            if not (
                sums.admits_all(event.links)
                if is_beat
                else known is None or event.link in known or sums.admits(event.link)
            ):
                self._refuse(entry, "too_many_links", f"more than {self._now.max_links} links")
                continue
            accepted.append(event)
            if event_ms > max_event_ms:
                max_event_ms = event_ms
                if event_ms >= next_cut_ms:
                    self._max_event_ms = event_ms
                    self._hold(entries[start:index])
                    start = index
                    sums.apply(accepted)
                    accepted = []
                    self._cut(entry[0] + 1)
                    counts, young, old, known = self._counts, self._young, self._old, sums.known
                    next_cut_ms, skew_ms = self._next_cut_ms, self._now.max_clock_skew_ms
            elif event_ms < max_event_ms - lateness_ms:
                counts.late += 1
                sums.mark_late(event)
        self._max_event_ms = max_event_ms
        if entries:
            self._position = entries[-1][0] + 1
        sums.apply(accepted)
        self._hold(entries[start:] if start else entries)

    def _overrules(self, event_id: str, outcome: str | None) -> bool:
        """Return whether an event with a known id counts anyway: a failure under another event's id."""
        known = self._young.get(event_id) or self._old.get(event_id)
        self._young[event_id] = known  # so that the state depends on the last two generations alone
        if outcome not in FAILURES or known in FAILURES:
            return False
        self.conflicts += 1
        return True

    def end_range(self, next_offset: int) -> None:
        """Cut now, before a gap of missing records; the next range begins after it.

        ``next_offset`` is the first offset that is still there. Call it between two calls of `feed`.
        """
        gone_from = self._position or self.next_offset
        if self.pending_records:
            self._cut(self._position)
        elif self.gone_from is not None:
            gone_from = self.gone_from
        self._begin_range(next_offset)
        self.gone_from = gone_from

    def restart_range(self, next_offset: int, reached_ms: int) -> None:
        """Begin a range here and drop what was read since the last cut, which was published before.

        ``reached_ms`` is the greatest event time published. Needed when the state could be rebuilt only in
        part.
        """
        self._max_event_ms = max(self._max_event_ms, reached_ms)
        self._schedule()
        self._sums.close(self._closed_ms)
        self._sums.drain(self._closed_ms)
        self._begin_range(next_offset)

    def _cut(self, next_offset: int) -> None:
        """Emit the measurement of everything since the last cut, up to ``next_offset``."""
        closed_before_ms, sums = self._closed_ms, self._sums
        self._schedule()
        sums.close(self._closed_ms)
        counts, source = self._finish_counts(), self._source(next_offset)
        self.measurements.append(
            Measurement(
                source,
                self.watermark_ms,
                counts,
                *sums.drain(closed_before_ms),
                settings=self._now.digest,
                gone_from=self.gone_from,
            )
        )
        self._begin_range(next_offset)

    def _schedule(self) -> None:
        """Note which slots the watermark has closed, and at which event time the next one closes."""
        slot_ms, lateness_ms = self._slot_ms, self._lateness_ms
        watermark_ms = self._max_event_ms - lateness_ms
        self._closed_ms = closed_ms = watermark_ms - watermark_ms % slot_ms
        self._next_cut_ms = closed_ms + slot_ms + lateness_ms
        if closed_ms >= self._change_ms:
            self._now = self.settings.at(closed_ms)
            self._change_ms = _first_change_ms(self.settings, closed_ms)
            self._sums.max_links = self._now.max_links

    def _turn_generation(self) -> None:
        """Forget the older generation, now that the watermark has entered a new one."""
        self._generation_ends_ms = self._end_of_generation()
        self._old, self._young = self._young, {}
        self._sums.rotate()
        self._generation_starts = [*self._generation_starts[1:], self._range_starts[0][1]]

    def _end_of_generation(self) -> int:
        """Return the closed time, in ms, at which the next generation begins."""
        generation_ms = self.settings.generation_ms
        return (self._closed_ms // generation_ms + 1) * generation_ms

    def _begin_range(self, offset: int) -> None:
        """Begin a range at an offset; turn to the next generation if the watermark has entered it."""
        self.next_offset = self._range_begins = offset
        self.gone_from = None
        self._empty_range()
        starts = self._range_starts
        starts.append((self._closed_ms, Checkpoint(offset, self._max_event_ms)))
        while len(starts) > 1 and starts[1][0] <= self._closed_ms - self._open_ms:
            starts.popleft()
        if self._closed_ms >= self._generation_ends_ms:
            self._turn_generation()

    def _empty_range(self) -> None:
        self._flushed = 0
        self._block: list[Entry] = []
        self._digest: RangeDigest | None = None
        self._counts = RecordCounts()

    def _finish_counts(self) -> RecordCounts:
        """Return how the records of the range ended, now that it is whole."""
        counts = self._counts
        counts.applied = self._flushed + len(self._block)
        done = self._done
        if counts.duplicate or counts.late or counts.dead_letter:
            counts.applied -= counts.duplicate + counts.late + counts.dead_letter
            done.duplicate += counts.duplicate
            done.late += counts.late
            done.dead_letter += counts.dead_letter
        done.applied += counts.applied
        return counts

    def _source(self, next_offset: int) -> Source:
        """Return the range that ends here, with its digest."""
        block = self._block
        if self._digest is None:
            first_offset, digest = block[0][0], digest_of_block(block)
        else:
            if block:
                self._digest.add_block(block)
            first_offset, digest = self._first_offset, self._digest.hexdigest()
        if self._range_begins is not None:
            first_offset = self._range_begins
        elif first_offset > 0:
            self.gone_from = 0
        return Source(self._topic, self._partition, first_offset, next_offset, digest, self._incarnation)

    def _hold(self, entries: Sequence[Entry]) -> None:
        """Add records to the range. Its digest uses blocks of fixed size, however many come at once."""
        self._block += entries
        while len(self._block) >= BLOCK_RECORDS:
            if self._digest is None:
                self._digest = RangeDigest()
                self._first_offset = self._block[0][0]
            self._flushed += BLOCK_RECORDS
            self._digest.add_block(self._block[:BLOCK_RECORDS])
            del self._block[:BLOCK_RECORDS]

    def _refuse(self, entry: Entry, reason: str, detail: str) -> None:
        offset, logged_at_ms, key, value = entry
        self._counts.dead_letter += 1
        self.dead_letters.append(DeadLetter(offset, logged_at_ms, reason, detail, key, value))


def _first_change_ms(settings: MeasureSettings, after_ms: int) -> int:
    """Return when the settings change next."""
    return next((from_ms for from_ms, _ in settings.changes if from_ms > after_ms), 1 << 62)


class SubmissionCounter(Meter):
    """A meter of submissions that counts how each record ended and makes no measurements."""

    def __init__(self, partition: int, settings: MeasureSettings) -> None:
        super().__init__(SUBMISSIONS, partition, settings)
        self._sums = Unsummed(settings)

    def _cut(self, next_offset: int) -> None:
        self._schedule()
        self._finish_counts()
        self._begin_range(next_offset)

    def _hold(self, entries: Sequence[Entry]) -> None:
        self._flushed += len(entries)
