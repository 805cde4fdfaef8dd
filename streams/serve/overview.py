"""The calendar of all links and the timeline of one, as the page shows them.

A calendar has a cell for each link and day; over longer periods for each month, then for each year, so that
ten years of a hundred links are as quick to make and to read as a month.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from markupsafe import Markup
from msgspec import Struct

from streams.ledger.read.figures import Counted, cell_figures
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.model.calendar import DAY_MS, day_start_ms, local_date, month_of, year_of
from streams.model.intervals import Interval
from streams.serve.answers import Answer
from streams.serve.texts import Language, text, written_length, written_time

MAX_DAYS: Final = 62
MAX_MONTHS_MS: Final = 3 * 366 * DAY_MS
EXCLUDED_SIGN: Final = "°"
SIGNS: Final = {"down": "×", "degraded": "~", "unknown": "?", "excluded": EXCLUDED_SIGN}
"""What a day's cell shows beside its colour, for readers who cannot tell the colours apart."""


class Column(Struct, frozen=True):
    """A column of the calendar: what is written above it, and the query of the page that shows it larger."""

    start_ms: int
    title: str
    query: str


class Overview(Struct, frozen=True):
    """A calendar: its grain (day, month, year), its columns, and each link's cells."""

    grain: str
    columns: list[Column]
    cells: dict[str, list[Markup]]


def overview(standing: Standing, language: Language) -> Overview:
    """Return a cell for each link and part of the period: a colour, a sign, and the same in words.

    A month or a year, hardly one of which is without an outage, shows its availability and no colour.
    """
    grain, parts = _parts(standing.question)
    starts = [start_ms for start_ms, _ in parts]
    decimals = 1 if grain == "day" else 2
    counted = cell_figures(standing, grain, parts) if parts else {}
    found = {place: _state(decimals, one) for place, one in counted.items()}
    columns = [_column(grain, start_ms) for start_ms in starts]
    written = [
        written_time(ms, language)[:10] if grain == "day" else one.title
        for ms, one in zip(starts, columns, strict=True)
    ]
    words = {kind: text(kind, language) for kind in ("up", "down", "degraded", "unknown")} | {"off": "–"}
    words["excluded"] = text("excluded", language)

    @cache
    def cell(state: str, share: str, excluded_ms: int, part: str) -> Markup:
        kind, sign = state, SIGNS.get(state, "")
        if grain != "day" and share:
            kind, sign = "share", share.replace(".", ",") if language == "vi" else share
        title = f"{part}: {words[state]}" + (f" {share} %" if share else "")
        if excluded_ms:
            title += f"; {words['excluded']} {written_length(excluded_ms, language)}"
            kind, sign = f"{kind} judged", sign + ("" if state == "excluded" else EXCLUDED_SIGN)
        # All of it is ours: texts, digits and dates. Escaping thousands of cells would take most of the time.
        return Markup(  # noqa: S704
            f'<td class="{kind}" title="{title}"><span class="glyph" aria-hidden="true">{sign}</span>'
            f'<span class="hidden">{words[state]}</span></td>'
        )

    cells = {
        link: [cell(*found[link, start_ms], part) for start_ms, part in zip(starts, written, strict=True)]
        for link in standing.lives
    }
    return Overview(grain, columns, cells)


def timeline(start_ms: int, until_ms: int, outages: list[Answer], exclusions: list[Answer]) -> list[Answer]:
    """Return the days of a link's timeline: bars as start and width in thousandths of the day.

    A period longer than the calendar shows day by day has none.
    """
    days = range(day_start_ms(start_ms), until_ms, DAY_MS)
    if len(days) > MAX_DAYS:
        return []
    shown = {"active": "excluded", "pending": "pending"}
    spans = [(x["start_ms"], x["end_ms"], shown[x["status"]]) for x in exclusions if x["status"] in shown]
    spans += [
        (one["start_ms"], one["end_ms"], one["kind"]) for one in outages if one["status"] != "retracted"
    ]
    rows = []
    for day_ms in days:
        bars: list[dict[str, Any]] = []
        for first_ms, last_ms, kind in spans:
            low = max(first_ms, day_ms)
            high = min(until_ms if last_ms is None else last_ms, day_ms + DAY_MS, until_ms)
            if low < high:
                left, width = (low - day_ms) * 1000 / DAY_MS, max((high - low) * 1000 / DAY_MS, 1.5)
                bars.append({"left": round(left, 2), "width": round(width, 2), "kind": kind})
        if bars:
            rows.append({"day_ms": day_ms, "bars": bars})
    return rows


def _parts(question: Question) -> tuple[str, list[Interval]]:
    """Return the calendar's grain, and its columns from start to end."""
    first_ms, end_ms = day_start_ms(question.start_ms), question.until_ms
    part_of: Callable[[int], Interval]
    if end_ms - first_ms <= MAX_DAYS * DAY_MS:
        grain, part_of = "day", lambda time_ms: (time_ms, time_ms + DAY_MS)
    elif end_ms - first_ms <= MAX_MONTHS_MS:
        grain, part_of = "month", month_of
    else:
        grain, part_of = "year", year_of
    parts = []
    start_ms, next_ms = part_of(first_ms)
    while start_ms < end_ms and question.start_ms < end_ms:
        parts.append((start_ms, next_ms))
        start_ms, next_ms = part_of(next_ms)
    return grain, parts


def _column(grain: str, start_ms: int) -> Column:
    day = local_date(start_ms)
    if grain == "day":
        return Column(start_ms, str(day.day), "")
    if grain == "month":
        return Column(start_ms, f"{day:%m/%Y}", f"month={day:%Y-%m}")
    return Column(start_ms, str(day.year), f"from={day}&to={day.year + 1}-01-01")


def _state(decimals: int, counted: Counted) -> tuple[str, str, int]:
    """Return what a part is shown as, its availability, rounded down, and its excluded time in ms."""
    figures = counted.figures
    if not figures.service_ms:
        return "off", "", 0
    if not figures.agreed_ms:
        return "excluded", "", figures.excluded_ms
    observed = figures.observed_ms
    if not observed:
        return "unknown", "", figures.excluded_ms
    kind = "down" if figures.down_ms else "degraded" if figures.degraded_ms else "up"
    units: int = 10**decimals
    share = f"{figures.available_ms * 100 * units // observed / units:.{decimals}f}"
    return kind, share, figures.excluded_ms
