"""Follows a log that is still being written: what to send when, and where to continue after a crash.

Theory. A line appears when its call ends. So at any event time there are unknown calls that began before it
and have not ended. If events were sent as their lines appear, the requests of slow calls would arrive behind
the watermark, and an outage of time-outs would be a pile of late records. So the follower holds events back:
at the log's time T it sends all events up to T minus the longest time a call may take (the map's
`lookup_timeout_ms`) and a gateway may buffer lines (`BUFFER_MS`), plus what the watermark allows for disorder
(`out_of_orderness_ms` of the settings). The events sent are then complete and in order of event time, and the
watermark is correct. A call that took longer than the map allows still counts; its request is late.

The log's time is our clock minus the shortest delay with which lines were seen (`skew_ms`): a gateway whose
clock is wrong is followed by its own clock. While catching up with old lines, the log's time is that of the
last line.

Heartbeats are held back like events, and sent for each second up to the same point. So they cover exactly the
time for which the log was read, including time in which the follower was down and the gateway kept writing.

Each step sends at most `STEP_MS` of event time beyond the earliest waiting event; then the broker confirms
it, then the position is saved. So a crash repeats no more than `measure` remembers ids for, and each event
counts once. The position is the first line whose events are not all confirmed.
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
"""How long a gateway may buffer lines."""
STEP_MS: Final = 300_000
FORGET_LINKS_MS: Final = 7 * 86_400_000
"""A link without calls for a week is no longer watched."""
SKEW_KEPT_MS: Final = 600_000
JUDGED_LINES: Final = 1_000
BEATS: Final = ((60_000, 1_000), (3_600_000, 10_000), (86_400_000, 60_000))
"""Length of a step (ms), and the interval of heartbeats (ms) up to it; beyond the last, ten minutes."""
LONGEST_BEAT_MS: Final = 600_000

NoteRejected = Callable[[str, int, str], None]
"""Called with the file's name, the line's number and the reason."""


class Position(Struct, frozen=True):
    """A place in a log identified by its first lines: the byte at which a line begins, and its number."""

    fingerprint: str
    offset: int
    line: int


class FollowState(Struct, frozen=True):
    """Where to continue: positions by path, the time sent up to, the clock's skew, each link's last call."""

    positions: dict[str, Position] = {}
    sent_until_ms: int | None = None
    skew_ms: int | None = None
    links: dict[str, int] = field(default_factory=dict)
    follower: str = ""
    """A unique name of this follower; heartbeats carry it in their ids, so that repeated ones count once."""


class Piece(Struct, frozen=True):
    """Whole lines of a followed log: its path, their start, their bytes, and the start of the next."""

    path: str
    at: Position
    data: bytes
    end: Position


def piece_of(path: str, at: Position, data: bytes) -> Piece:
    """Return the piece of some lines of a log; the last may lack its line break."""
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return Piece(path, at, data, Position(at.fingerprint, at.offset + len(data), at.line + lines))


class _Waiting(Struct, gc=False):
    """A line whose events are not all confirmed, and when its call ended."""

    end_ms: int
    at: Position


class Following:
    """Takes pieces of logs and returns the records to send.

    Order of calls: `take` for each piece, `due` for the records of the next step, and once the broker has
    confirmed these `confirmed`, which returns the state to save. After a crash start with the saved state.
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
        """Whether a new log was started since the state was last saved; if so, save the state at once."""
        self.calls = 0
        self.rejected = 0

    @property
    def late(self) -> int:
        """The number of events that came after later ones had been sent."""
        return self._order.late

    @property
    def until_ms(self) -> int | None:
        """The event time up to which everything was returned by `due`, None before the first call."""
        return self._until_ms

    def prime(self, header: bytes) -> None:
        """Read the header of a CSV log that is followed from a later line."""
        for _ in self._format.lines.of(Block(1, header)):
            pass

    def take(self, piece: Piece, now_ms: int) -> None:
        """Add whole lines, which were read at ``now_ms``.

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
        """Give up if most of a thousand lines cannot be used."""
        self._judged[not used] += 1
        if sum(self._judged) >= JUDGED_LINES:
            good, bad = self._judged
            self._judged = [0, 0]
            if bad > good:
                raise ImportFileError(
                    f"only {good:,} of the last {JUDGED_LINES:,} lines can be used: {reason}"
                )

    def due(self, now_ms: int, *, caught_up: bool) -> list[Record]:
        """Return the records of the next step; none if everything certain has been sent.

        ``caught_up`` says whether the logs were read to their ends at ``now_ms``.
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
        """Return the time up to which all events are known."""
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
        """Yield the time of each heartbeat due before ``target_ms``, and the time it covers (ms)."""
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
        """Return the state to save. Call it once the broker has confirmed everything returned by `due`."""
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
    """Finds where the lines of a piece begin."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._line, self._offset = piece.at.line, 0

    def of(self, line: int) -> Position:
        """Return the position of a line; ask for lines in ascending order."""
        while self._line < line:
            self._offset = self._piece.data.index(b"\n", self._offset) + 1
            self._line += 1
        return Position(self._piece.at.fingerprint, self._piece.at.offset + self._offset, line)


class _Skew:
    """How far the log's clock is behind ours: the shortest delay of any line in about ten minutes."""

    def __init__(self, ms: int | None) -> None:
        self.ms = ms
        self._young: int | None = None
        self._old: int | None = ms
        self._turns_ms: int | None = None

    def see(self, now_ms: int, end_ms: int) -> None:
        """Note a line, read at ``now_ms`` of our clock, whose call ended at ``end_ms`` of the log's."""
        if self._turns_ms is None:
            self._turns_ms = now_ms + SKEW_KEPT_MS
        elif now_ms >= self._turns_ms:
            self._old, self._young = self._young, None
            self._turns_ms = now_ms + SKEW_KEPT_MS
        behind_ms = now_ms - end_ms
        self._young = behind_ms if self._young is None else min(self._young, behind_ms)
        self.ms = self._young if self._old is None else min(self._young, self._old)
