"""A log that is still being written, followed: what is sent when, and from where to go on after a crash.

Theory. A line appears when its call ends, so when an event time is reached, the calls that are still under
way are unknown: their requests lie before it. Were events sent as their lines come, the requests of slow
calls would come behind the watermark, and an outage of time-outs would be a heap of late records. So the
follower holds back: at the log's time T it sends all events up to T less the longest that a call may take
(the map's `lookup_timeout_ms`) and that a gateway keeps lines in its buffer (`BUFFER_MS`), plus what the
watermark allows for disorder (`out_of_orderness_ms` of the settings). What is sent is then complete and in
the order of event time, and the watermark says the truth. A call that took longer than the map allows still
counts; its request is late.

The log's time is the clock's, less the least distance that lines were seen to be behind it (`skew_ms`): a
gateway whose clock is wrong is followed by its own. While old lines are being caught up with, the log's time
is that of the last line.

Heartbeats are held back as events are, and sent for each second up to there, so they vouch for what was
really read: also for the time in which the follower was down and the gateway went on writing.

Each step sends at most `STEP_MS` of event time beyond the earliest event that waits; then the broker confirms
it, then the position is saved. So a crash repeats no more than `measure` remembers ids for, and it counts
each event once. The position is the first line of which not all is confirmed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct, field

from streams.ingest.gateway.files import identity
from streams.ingest.gateway.formats import Format
from streams.ingest.gateway.order import SPAN_MS, Log, TimeOrder
from streams.ingest.mapping.mapper import Mapper
from streams.ingest.tally import ImportFileError
from streams.ingest.values import RejectedRecordError
from streams.intake.lines import Block
from streams.intake.split import Damage
from streams.model.record import Record

BUFFER_MS: Final = 5_000
"""How long a gateway may keep lines in its buffer."""
STEP_MS: Final = 300_000
FORGET_LINKS_MS: Final = 7 * 86_400_000
"""A link that nobody called for a week is watched no more."""
SKEW_KEPT_MS: Final = 600_000
JUDGED_LINES: Final = 1_000
BEATS: Final = ((60_000, 1_000), (3_600_000, 10_000), (86_400_000, 60_000))
"""Up to which span heartbeats are how far apart; beyond the last every ten minutes."""
LONGEST_BEAT_MS: Final = 600_000

NoteRejected = Callable[[str, int, str], None]
"""Takes the file's name, the line and the reason."""


class Position(Struct, frozen=True):
    """A place in a log that is named by its first lines: the byte at which a line begins, and its number."""

    fingerprint: str
    offset: int
    line: int


class FollowState(Struct, frozen=True):
    """From where to go on: positions by path, how far was sent, the log's clock, each link's last call."""

    positions: dict[str, Position] = {}
    sent_until_ms: int | None = None
    skew_ms: int | None = None
    links: dict[str, int] = field(default_factory=dict)
    follower: str = ""
    """A name of this follower alone: heartbeats carry it in their ids, so that repeated ones count once."""


class Piece(Struct, frozen=True):
    """Whole lines of a followed log: its path, where they begin, their bytes, where the next ones begin."""

    path: str
    at: Position
    data: bytes
    end: Position


def piece_of(path: str, at: Position, data: bytes) -> Piece:
    """Return lines that stand in a log as they are; the last may have no break."""
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return Piece(path, at, data, Position(at.fingerprint, at.offset + len(data), at.line + lines))


class _Waiting(Struct, gc=False):
    """A line of which not all is confirmed, and when its call ended."""

    end_ms: int
    at: Position


class Following:
    """Takes pieces of logs and says what to send.

    Order of calls: `take` for each piece, `due` for the records of the next step, and once the broker has
    confirmed them `confirmed`, which gives the state to save. Begin with the saved state after a crash.
    """

    def __init__(
        self,
        mapper: Mapper,
        partitions: int,
        hold_ms: int,
        state: FollowState | None = None,
        note: NoteRejected = lambda *_: None,
    ) -> None:
        state = state or FollowState()
        self._follower = state.follower
        self._mapper, self._hold_ms, self._note = mapper, hold_ms, note
        self._format = Format(mapper.said, mapper.fields)
        self._order = TimeOrder(hold_ms)
        self._log = Log(partitions)
        self._log.submissions = mapper.said.submissions is not None
        self._read: dict[str, Position] = dict(state.positions)
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._links = dict(state.links)
        self._until_ms = state.sent_until_ms
        self._beat_ms = state.sent_until_ms
        self._skew = _Skew(state.skew_ms)
        self._judged = [0, 0]
        self.began = False
        """Whether another log was begun since the state was last saved: save it, so that it is looked for."""
        self.calls = 0
        self.rejected = 0

    @property
    def late(self) -> int:
        """Events that came when later ones had been sent."""
        return self._order.late

    @property
    def until_ms(self) -> int | None:
        """Up to which event time everything was given out, None before the first call."""
        return self._until_ms

    def prime(self, header: bytes) -> None:
        """Read the header of a CSV log that is followed from a later line on."""
        for _ in self._format.lines.of(Block(1, header)):
            pass

    def take(self, piece: Piece, now_ms: int) -> None:
        """Take in whole lines, read at a time of the clock.

        Raises:
            ImportFileError: most of the last lines could not be used, so the map does not fit the log.
        """
        before = self._read.get(piece.path)
        self.began = self.began or before is None or before.fingerprint != piece.at.fingerprint
        self._read[piece.path] = piece.end
        waiting = self._waiting.setdefault(piece.path, deque())
        starts = _Starts(piece)
        for entry in self._format.lines.of(Block(piece.at.line, piece.data)):
            if isinstance(entry, Damage):
                self._reject(piece.path, entry.line, entry.reason)
                continue
            line, index, values = entry
            try:
                events = self._mapper.events(values, identity(piece.at.fingerprint, line, index))
            except RejectedRecordError as error:
                self._reject(piece.path, line, str(error))
                continue
            self._judge(used=True)
            if not events:
                continue
            self.calls += 1
            self._order.add(events)
            end_ms = max(event.occurred_at_ms for event in events)
            waiting.append(_Waiting(end_ms, starts.of(line)))
            self._skew.see(now_ms, end_ms)
            for event in events:
                link = getattr(event, "link", None)
                if link is not None:
                    self._links[link] = max(self._links.get(link, 0), end_ms)
            if self._until_ms is None:
                self._until_ms = self._beat_ms = events[0].occurred_at_ms // SPAN_MS * SPAN_MS

    def _reject(self, path: str, line: int, reason: str) -> None:
        self.rejected += 1
        self._note(path, line, reason)
        self._judge(used=False, reason=reason)

    def _judge(self, *, used: bool, reason: str = "") -> None:
        """Give up where most of a thousand lines cannot be used."""
        self._judged[not used] += 1
        if sum(self._judged) >= JUDGED_LINES:
            good, bad = self._judged
            self._judged = [0, 0]
            if bad > good:
                raise ImportFileError(
                    f"only {good:,} of the last {JUDGED_LINES:,} lines can be used: {reason}"
                )

    def due(self, now_ms: int, *, caught_up: bool) -> list[Record]:
        """Return what to send next; nothing where all that is certain was sent.

        ``caught_up`` is whether the logs were read to their ends at ``now_ms``.
        """
        if self._until_ms is None:
            return []
        target_ms = self._target_ms(now_ms, caught_up=caught_up)
        earliest_ms = self._order.earliest_ms
        if earliest_ms is not None:
            target_ms = min(target_ms, max(earliest_ms, self._until_ms) + STEP_MS)
        target_ms = target_ms // SPAN_MS * SPAN_MS
        if target_ms <= self._until_ms:
            return []
        records = list(self._step(target_ms))
        self._until_ms = target_ms
        return records

    def _target_ms(self, now_ms: int, *, caught_up: bool) -> int:
        """Return up to which time everything is known."""
        if not caught_up or self._skew.ms is None:
            return self._order.reached_ms - self._hold_ms - BUFFER_MS
        return now_ms - self._skew.ms - self._hold_ms

    def _step(self, target_ms: int) -> Iterator[Record]:
        beats = self._beats(target_ms)
        beat = next(beats, None)
        for entry in self._order.until(target_ms):
            while beat is not None and beat[0] <= entry[0]:
                yield from self._beat(*beat)
                beat = next(beats, None)
            yield from self._log.records((entry,))
        while beat is not None:
            yield from self._beat(*beat)
            beat = next(beats, None)

    def _beat(self, at_ms: int, apart_ms: int) -> Iterator[Record]:
        event_id = f"{self._follower}-{at_ms}-{apart_ms}"
        return self._log.heartbeats(at_ms, self._watched(at_ms), apart_ms, event_id)

    def _beats(self, target_ms: int) -> Iterator[tuple[int, int]]:
        """Yield when heartbeats are due, and for how long each vouches; all before a time."""
        assert self._beat_ms is not None
        span_ms = target_ms - self._beat_ms
        apart_ms = next((apart for longest, apart in BEATS if span_ms <= longest), LONGEST_BEAT_MS)
        while self._beat_ms < target_ms:
            apart_ms = min(apart_ms, target_ms - self._beat_ms)
            yield self._beat_ms, apart_ms
            self._beat_ms += apart_ms

    def _watched(self, at_ms: int) -> list[str]:
        stale = [link for link, seen_ms in self._links.items() if at_ms - seen_ms > FORGET_LINKS_MS]
        for link in stale:
            del self._links[link]
        return list(self._links)

    def confirmed(self) -> FollowState:
        """Return the state to save, once the broker has confirmed all that was given out."""
        self.began = False
        until_ms = self._until_ms
        if until_ms is not None:
            for waiting in self._waiting.values():
                while waiting and waiting[0].end_ms < until_ms:
                    waiting.popleft()
        first = {path: waiting[0].at for path, waiting in self._waiting.items() if waiting}
        positions = self._read | first
        return FollowState(positions, until_ms, self._skew.ms, dict(self._links), self._follower)


class _Starts:
    """Where the lines of a piece begin."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._line, self._offset = piece.at.line, 0

    def of(self, line: int) -> Position:
        """Return the position of a line; lines are asked for in order."""
        while self._line < line:
            self._offset = self._piece.data.index(b"\n", self._offset) + 1
            self._line += 1
        return Position(self._piece.at.fingerprint, self._piece.at.offset + self._offset, line)


class _Skew:
    """How far the log's clock is behind ours: the least distance of the lines of some ten minutes."""

    def __init__(self, ms: int | None) -> None:
        self.ms = ms
        self._young: int | None = None
        self._old: int | None = ms
        self._turns_ms: int | None = None

    def see(self, now_ms: int, end_ms: int) -> None:
        """Take in a line that was read at a time of ours and ended at one of its own."""
        if self._turns_ms is None:
            self._turns_ms = now_ms + SKEW_KEPT_MS
        elif now_ms >= self._turns_ms:
            self._old, self._young = self._young, None
            self._turns_ms = now_ms + SKEW_KEPT_MS
        behind_ms = now_ms - end_ms
        self._young = behind_ms if self._young is None else min(self._young, behind_ms)
        self.ms = self._young if self._old is None else min(self._young, self._old)
