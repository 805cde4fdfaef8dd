"""What remains of forgotten facts: sums from which the figures of every spell still follow exactly.

Trouble may last, or resume, for longer than its facts are kept, and later verdicts may still divide it
differently. But when facts are forgotten, every edge among them is known: no spell found later begins or ends
anywhere else before the oldest fact kept. These edges are the *cuts*. A minute between two cuts lies in a
spell entirely or not at all, so all minutes between the same two cuts are summed. A minute divided by a cut
is kept as it is.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from streams.detect.link.minute import MINUTE_MS, Minute
from streams.detect.link.totals import Totals, copied

FAR: Final = 1 << 62


class Piece(Struct, array_like=True):
    """The sum of some minutes, all of whose requests were made in ``[from_ms, to_ms)``, between two cuts."""

    from_ms: int
    to_ms: int
    totals: Totals


class Remains(Struct, array_like=True):
    """Forgotten facts of spells that are not over. Call `take` before any other method."""

    minutes: dict[int, Minute] = field(default_factory=dict)
    """The minutes divided by a cut, by their starts."""
    pieces: list[Piece] = field(default_factory=list)
    """The sums of the other minutes, one for each pair of neighbouring cuts."""
    slow_ms: dict[int, int | None] = field(default_factory=dict)
    """The slowness limit (ms) at each cut, None if unknown."""

    def take(self, forgotten: Iterable[tuple[int, Minute]], cuts: Sequence[int]) -> None:
        """Add forgotten minutes, and sum up those that none of the ``cuts`` (ascending) divides."""
        self.minutes.update(forgotten)
        sums: dict[int, Piece] = {}
        for piece in self.pieces:
            _add(sums, bisect_right(cuts, piece.from_ms), piece)
        for minute_ms, minute in sorted(self.minutes.items()):
            from_ms, to_ms = _first_asked_ms(minute_ms, minute), minute_ms + MINUTE_MS
            between = bisect_right(cuts, from_ms)
            if between < len(cuts) and cuts[between] < to_ms:
                continue
            totals = Totals()
            totals.add(minute_ms, minute, -FAR, FAR)
            _add(sums, between, Piece(from_ms, to_ms, totals))
            del self.minutes[minute_ms]
        self.pieces = [sums[between] for between in sorted(sums)]
        for piece in self.pieces:
            piece.totals.trim()
        self.slow_ms = {at: slow_ms for at, slow_ms in self.slow_ms.items() if at in cuts}

    def totals(self, start_ms: int, end_ms: int) -> Totals | None:
        """Return the total of the pieces within ``[start_ms, end_ms)``, None if there are none."""
        within = [one for one in self.pieces if start_ms <= one.from_ms and one.to_ms <= end_ms]
        if not within:
            return None
        totals = copied(within[0].totals)
        for piece in within[1:]:
            totals.join(piece.totals)
        return totals

    def between(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, Minute]]:
        """Yield the minutes kept that overlap ``[from_ms, to_ms)`` with their starts, ascending."""
        for minute_ms in sorted(self.minutes):
            if from_ms < minute_ms + MINUTE_MS and minute_ms < to_ms:
                yield minute_ms, self.minutes[minute_ms]

    def drop(self, before_ms: int) -> None:
        """Drop everything before a time. All spells that are not over must begin at or after it."""
        self.minutes = {at: one for at, one in self.minutes.items() if at + MINUTE_MS > before_ms}
        self.pieces = [one for one in self.pieces if one.to_ms > before_ms]


def _add(sums: dict[int, Piece], between: int, piece: Piece) -> None:
    """Add a piece to the sum between the same two cuts."""
    known = sums.get(between)
    if known is None:
        sums[between] = piece
        return
    known.from_ms, known.to_ms = min(known.from_ms, piece.from_ms), max(known.to_ms, piece.to_ms)
    known.totals.join(piece.totals)


def _first_asked_ms(minute_ms: int, minute: Minute) -> int:
    """Return the time of a minute's earliest request, to the second; at most the minute's start."""
    seconds = (asked.second for slot in minute.read() for asked in slot.asked)
    return min(minute_ms, min(seconds, default=minute_ms) * 1000)
