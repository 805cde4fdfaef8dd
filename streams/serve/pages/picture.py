"""The picture of an outage: attempts and failures, the share that failed, and latency, with what was decided.

Drawn as SVG into the page, in classes that the style colours: readable in the dark and on paper.
What is drawn are the ledger's minutes; `portallink explain` draws the evidence of each slot out of the log.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup, escape
from msgspec import Struct

from streams.ledger.read.around import Minute
from streams.model.hours.calendar import DAY_MS, MINUTE_MS
from streams.model.outage import Outage
from streams.serve.texts import Language, text, written_clock, written_count

WIDTH: Final = 960
LEFT: Final = 64
RIGHT: Final = 12
PANEL: Final = 96
GAP: Final = 44
TOP: Final = 54
BARS: Final = 180
"""At most so many bars: minutes of a long outage are put together."""
LEAD_MS: Final = 15 * MINUTE_MS
LONGEST_MS: Final = 7 * DAY_MS
"""Of a longer outage its first days are drawn."""
STEPS_MS: Final = tuple(minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 30, 60, 120, 360, 720, 1440))


class Bar(Struct, frozen=True):
    """The sums of some minutes; ``p95_ms`` is the greatest of them."""

    start_ms: int
    end_ms: int
    attempts: int
    failures: int
    p95_ms: float | None
    unknown: bool


def drawn(outage: Outage, now_ms: int) -> tuple[int, int]:
    """Return the time that a picture of an outage covers, in whole minutes."""
    end_ms = max(now_ms, outage.start_ms) if outage.end_ms is None else outage.end_ms
    first_ms = (outage.start_ms - LEAD_MS) // MINUTE_MS * MINUTE_MS
    last_ms = -(-(end_ms + LEAD_MS) // MINUTE_MS) * MINUTE_MS
    return first_ms, min(last_ms, first_ms + LONGEST_MS)


def bars(minutes: Iterable[Minute], start_ms: int, end_ms: int) -> list[Bar]:
    """Return minutes put together into at most `BARS` bars of equal length."""
    length_ms = -(-(end_ms - start_ms) // MINUTE_MS // BARS) * MINUTE_MS
    parts: dict[int, list[Minute]] = {}
    for minute in minutes:
        parts.setdefault((minute.start_ms - start_ms) // length_ms, []).append(minute)
    found = []
    for at, some in sorted(parts.items()):
        first_ms = start_ms + at * length_ms
        found.append(
            Bar(
                first_ms,
                first_ms + length_ms,
                sum(one.attempts for one in some),
                sum(one.failures for one in some),
                max((one.p95_ms for one in some if one.p95_ms is not None), default=None),
                all(one.state == "UNKNOWN" for one in some),
            )
        )
    return found


def picture(
    revisions: Sequence[Outage], minutes: Iterable[Minute], now_ms: int, language: Language
) -> Markup:
    """Return an outage as SVG; ``revisions`` are all of it, the first first."""
    last = revisions[-1]
    start_ms, end_ms = drawn(last, now_ms)
    return _Picture(revisions, bars(minutes, start_ms, end_ms), start_ms, end_ms, language).svg()


class _Picture:
    def __init__(
        self, revisions: Sequence[Outage], parts: list[Bar], start_ms: int, end_ms: int, language: Language
    ) -> None:
        self._revisions, self._bars, self._language = revisions, parts, language
        self._start_ms, self._end_ms = start_ms, end_ms
        self._out: list[str] = []

    def svg(self) -> Markup:
        height = TOP + 3 * (PANEL + GAP)
        last = self._revisions[-1]
        until_ms = self._end_ms if last.end_ms is None else min(last.end_ms, self._end_ms)
        self._rect(f"spell {last.kind}", last.start_ms, until_ms, TOP, height - TOP - GAP)
        for bar in self._bars:
            if bar.unknown:
                self._rect("blind", bar.start_ms, bar.end_ms, TOP, height - TOP - GAP)
        self._attempts(TOP)
        self._share(TOP + PANEL + GAP)
        self._latency(TOP + 2 * (PANEL + GAP))
        self._time(height - GAP)
        self._marks(height - GAP)
        told = text(
            "picture_text",
            self._language,
            failures=written_count(last.failures, self._language),
            attempts=written_count(last.attempts, self._language),
        )
        # Numbers and texts are ours, and texts are escaped.
        return Markup(  # noqa: S704
            f'<svg class="picture" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(told)}">'
            f"{''.join(self._out)}</svg>"
        )

    def _x(self, time_ms: int) -> float:
        share = (time_ms - self._start_ms) / (self._end_ms - self._start_ms)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def _rect(self, kind: str, start_ms: int, end_ms: int, y: float, height: float) -> None:
        low, high = self._x(max(start_ms, self._start_ms)), self._x(min(end_ms, self._end_ms))
        width = max(round(high - low, 1), 1.5)
        self._out.append(
            f'<rect class="{kind}" x="{low}" y="{round(y, 1)}" width="{width}" height="{round(height, 1)}"/>'
        )

    def _text(self, kind: str, x: float, y: float, words: str, anchor: str = "start") -> None:
        self._out.append(
            f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def _line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        self._out.append(f'<path class="{kind}" d="M{x1} {y1}L{x2} {y2}"/>')

    def _panel(self, y: float, key: str, top: str) -> None:
        self._text("name", LEFT, y - 6, text(key, self._language))
        self._line("axis", LEFT, y + PANEL, WIDTH - RIGHT, y + PANEL)
        self._text("tick", LEFT - 6, y + 9, top, "end")
        self._text("tick", LEFT - 6, y + PANEL, "0", "end")

    def _attempts(self, y: float) -> None:
        most = max((bar.attempts for bar in self._bars), default=0) or 1
        self._panel(y, "picture_attempts", written_count(most, self._language))
        for bar in self._bars:
            whole, failed = bar.attempts * PANEL / most, bar.failures * PANEL / most
            if whole > failed:
                self._rect("answered", bar.start_ms, bar.end_ms, y + PANEL - whole, whole - failed)
            if failed:
                self._rect("failed", bar.start_ms, bar.end_ms, y + PANEL - failed, failed)

    def _share(self, y: float) -> None:
        self._panel(y, "picture_share", "100 %")
        for bar in self._bars:
            if bar.attempts and bar.failures:
                high = bar.failures * PANEL / bar.attempts
                self._rect("failed", bar.start_ms, bar.end_ms, y + PANEL - high, high)
        self._line("bar-line", LEFT, y + PANEL / 2, WIDTH - RIGHT, y + PANEL / 2)
        self._text("tick", LEFT - 6, y + PANEL / 2 + 4, "50 %", "end")

    def _latency(self, y: float) -> None:
        most = max((bar.p95_ms for bar in self._bars if bar.p95_ms is not None), default=0) or 1
        self._panel(y, "picture_latency", f"{written_count(round(most), self._language)} ms")
        for bar in self._bars:
            if bar.p95_ms is not None:
                high = bar.p95_ms * PANEL / most
                self._rect("latency", bar.start_ms, bar.end_ms, y + PANEL - high, high)

    def _time(self, y: float) -> None:
        span_ms = self._end_ms - self._start_ms
        step_ms = next((step for step in STEPS_MS if span_ms / step <= 9), STEPS_MS[-1])
        for tick_ms in range(-(-self._start_ms // step_ms) * step_ms, self._end_ms, step_ms):
            x = self._x(tick_ms)
            self._line("grid", x, TOP, x, y)
            self._text("tick", x, y + 16, written_clock(tick_ms, self._language), "middle")

    def _marks(self, y: float) -> None:
        """Draw when each revision was decided, and say so above; those close together share a line."""
        last_x, row = -1e9, 0
        for one in self._revisions:
            if self._start_ms <= one.detected_at_ms < self._end_ms:
                x = self._x(one.detected_at_ms)
                row = row + 1 if x - last_x < 150 else 0
                self._line("mark", x, 16 + 12 * (row % 3), x, y)
                words = f"{one.revision}: {text(f'reason_{one.reason}', self._language)}"
                near_end = x > WIDTH - 150
                at = x - 4 if near_end else x + 4
                self._text("decided", at, 14 + 12 * (row % 3), words, "end" if near_end else "start")
                last_x = x
