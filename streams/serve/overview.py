"""The calendar of all links and the timeline of one, as the page shows them.

A calendar has a cell for each link and day; over longer periods for each month, then for each year, so that
ten years of a hundred links are as quick to make and to read as a month.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from markupsafe import Markup
from msgspec import Struct

from streams.ledger.read.figures import Question
from streams.ledger.store.days import link_lives
from streams.ledger.store.schema import figures
from streams.model.calendar import DAY_MS, day_start_ms, local_date, month_of, year_of
from streams.serve.answers import Answer
from streams.serve.texts import Language, text, written_time

MAX_DAYS: Final = 62
MAX_MONTHS_MS: Final = 3 * 366 * DAY_MS
SIGNS: Final = {"down": "×", "degraded": "~", "unknown": "?"}
"""What a day's cell shows beside its colour, for whoever cannot tell the colours apart."""


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


def overview(connection: sa.Connection, question: Question, language: Language) -> Overview:
    """Return a cell for each link and part of the period: a colour, a sign, and the same in words.

    A month or a year, hardly one of which is without an outage, shows its availability and no colour.
    """
    grain, starts = _parts(question)
    names = ("service_ms", "excluded_ms", "unknown_ms", "down_ms", "degraded_ms")
    rows = connection.execute(
        sa.select(figures.c.link, figures.c.start_ms, *(figures.c[name] for name in names)).where(
            figures.c.calendar == question.calendar,
            figures.c.grain == grain,
            figures.c.start_ms >= starts[0],
            figures.c.start_ms < question.until_ms,
        )
    )
    decimals = 1 if grain == "day" else 2
    found = {(link, start_ms): _state(decimals, *counted) for link, start_ms, *counted in rows}
    columns = [_column(grain, start_ms) for start_ms in starts]
    written = [
        written_time(ms, language)[:10] if grain == "day" else one.title
        for ms, one in zip(starts, columns, strict=True)
    ]
    words = {kind: text(kind, language) for kind in ("up", "down", "degraded", "unknown")} | {"off": "–"}

    @cache
    def cell(state: str, share: str, part: str) -> Markup:
        kind, sign = state, SIGNS.get(state, "")
        if grain != "day" and share:
            kind, sign = "share", share.replace(".", ",") if language == "vi" else share
        title = f"{part}: {words[state]}" + (f" {share} %" if share else "")
        # All of it is ours: texts, digits and dates. Escaping thousands of cells would take most of the time.
        return Markup(  # noqa: S704
            f'<td class="{kind}" title="{title}"><span class="glyph" aria-hidden="true">{sign}</span>'
            f'<span class="hidden">{words[state]}</span></td>'
        )

    cells = {
        link: [
            cell(*found.get((link, start_ms), ("unknown", "")), part)
            for start_ms, part in zip(starts, written, strict=True)
        ]
        for link in link_lives(connection)
        if question.about(link)
    }
    return Overview(grain, columns, cells)


def timeline(question: Question, outages: list[Answer], exclusions: list[Answer]) -> list[Answer]:
    """Return the days of a link's timeline: bars as start and width in thousandths of the day.

    A period longer than the calendar shows day by day has none.
    """
    days = range(day_start_ms(question.start_ms), question.until_ms, DAY_MS)
    if len(days) > MAX_DAYS:
        return []
    rows = []
    for day_ms in days:
        bars: list[dict[str, Any]] = []
        spans = [(one["start_ms"], one["end_ms"], "excluded") for one in exclusions if not one["withdrawn"]]
        spans += [
            (one["start_ms"], one["end_ms"], one["kind"]) for one in outages if one["status"] != "retracted"
        ]
        for start_ms, end_ms, kind in spans:
            low = max(start_ms, day_ms)
            high = min(question.until_ms if end_ms is None else end_ms, day_ms + DAY_MS, question.until_ms)
            if low < high:
                left, width = (low - day_ms) * 1000 / DAY_MS, max((high - low) * 1000 / DAY_MS, 1.5)
                bars.append({"left": round(left, 2), "width": round(width, 2), "kind": kind})
        if bars:
            rows.append({"day_ms": day_ms, "bars": bars})
    return rows


def _parts(question: Question) -> tuple[str, list[int]]:
    """Return the calendar's grain and the starts of its columns."""
    first_ms, end_ms = day_start_ms(question.start_ms), question.until_ms
    if end_ms - first_ms <= MAX_DAYS * DAY_MS:
        return "day", list(range(first_ms, end_ms, DAY_MS))
    part_of: Callable[[int], tuple[int, int]]
    grain, part_of = ("month", month_of) if end_ms - first_ms <= MAX_MONTHS_MS else ("year", year_of)
    starts = []
    start_ms, next_ms = part_of(first_ms)
    while start_ms < end_ms:
        starts.append(start_ms)
        start_ms, next_ms = part_of(next_ms)
    return grain, starts


def _column(grain: str, start_ms: int) -> Column:
    day = local_date(start_ms)
    if grain == "day":
        return Column(start_ms, str(day.day), "")
    if grain == "month":
        return Column(start_ms, f"{day:%m/%Y}", f"month={day:%Y-%m}")
    return Column(start_ms, str(day.year), f"from={day}&to={day.year + 1}-01-01")


def _state(
    decimals: int, service_ms: int, excluded_ms: int, unknown_ms: int, down_ms: int, degraded_ms: int
) -> tuple[str, str]:
    """Return what a part is shown as, and its availability, rounded down."""
    observed = service_ms - excluded_ms - unknown_ms
    if not service_ms:
        return "off", ""
    if not observed:
        return "unknown", ""
    kind = "down" if down_ms else "degraded" if degraded_ms else "up"
    units: int = 10**decimals
    return kind, f"{(observed - down_ms) * 100 * units // observed / units:.{decimals}f}"
