"""The calendar of all links and the timeline of one, as the page shows them.

A calendar has a cell for each link and day; over longer periods for each month, then for each year, so that
ten years of a hundred links are as quick to make and to read as a month. A day is shaded by its minutes down.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Final

from markupsafe import Markup
from msgspec import Struct

from streams.ledger.read.figures import Counted, cell_figures, over_cells
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.model.hours.calendar import DAY_MS, MINUTE_MS, day_start_ms, local_date, month_of, year_of
from streams.model.intervals import Interval
from streams.serve.answers import Answer
from streams.serve.texts import Language, text, written_length, written_share

MAX_DAYS: Final = 62
MAX_MONTHS_MS: Final = 3 * 366 * DAY_MS
SHADES_MINUTES: Final = (5, 30, 120)
"""Minutes of a day down at which its shade deepens: below 5, below 30, below 120, and more."""
SIGNS: Final = {"degraded": "~", "unknown": "?", "excluded": "°", "off": ""}
"""What a day's cell shows beside its colour, for readers who cannot tell the colours apart."""


class Column(Struct, frozen=True):
    """A column of the calendar: what is written above it, and the query of the page that shows it larger."""

    start_ms: int
    title: str
    query: str


class Overview(Struct, frozen=True):
    """A calendar: its grain (day, month, year), its columns, each link's cells, and its figures in sum."""

    grain: str
    columns: list[Column]
    cells: dict[str, Markup]
    figures: dict[str, Counted]


def overview(standing: Standing, language: Language) -> Overview:
    """Return a cell for each link and part of the period: a shade, a sign, and the same in words.

    A month or a year, hardly one of which is without an outage, shows its availability and no shade.
    """
    grain, parts = _parts(standing.question)
    starts = [start_ms for start_ms, _ in parts]
    counted = cell_figures(standing, grain, parts) if parts else {}
    columns = [_column(grain, start_ms) for start_ms in starts]
    write = _day if grain == "day" else _longer
    cells = {
        # All of it is ours: texts, digits and dates. Escaping thousands of cells would take most of the time.
        link: Markup(  # noqa: S704
            "".join(
                write(counted[link, start_ms], language, column.title)
                for start_ms, column in zip(starts, columns, strict=True)
            )
        )
        for link in standing.lives
    }
    return Overview(grain, columns, cells, over_cells(standing, counted))


def _day(counted: Counted, language: Language, _: str) -> str:
    """Return a day's cell. One that was up throughout is empty, as nearly all are: it says nothing more."""
    figures = counted.figures
    kind = state_of(counted)
    judged = " judged" if figures.excluded_ms and kind != "excluded" else ""
    if kind == "up" and not judged:
        return "<td class=up>"
    if kind == "off":
        return "<td class=off>"
    # What stands in a cell says it all beside the legend; a thousand links have no room for more.
    title = ""
    sign = SIGNS.get(kind, "")
    if kind == "down":
        minutes = max(1, figures.down_ms // MINUTE_MS)
        kind, sign = f"down-{bisect_right(SHADES_MINUTES, minutes)}", str(minutes)
    elif kind == "degraded":
        title = f"{text(kind, language)} {_minutes(figures.degraded_ms, language)}"
    if judged:
        told = f"{text('excluded', language)} {_minutes(figures.excluded_ms, language)}"
        title = f"{title}; {told}" if title else told
    titled = f' title="{title}"' if title else ""
    return f'<td class="{kind}{judged}"{titled}>{sign}' if judged else f"<td class={kind}{titled}>{sign}"


def _minutes(length_ms: int, language: Language) -> str:
    return written_length(max(MINUTE_MS, length_ms // MINUTE_MS * MINUTE_MS), language)


def _longer(counted: Counted, language: Language, title: str) -> str:
    """Return the cell of a month or a year: its availability."""
    figures = counted.figures
    kind = state_of(counted)
    if kind == "off":
        return "<td class=off>"
    share = written_share(figures.available_ms, figures.observed_ms, language)
    said = f"{title}: {text(kind, language)}" + (f" {share}" if figures.observed_ms else "")
    if figures.excluded_ms:
        said += f"; {text('excluded', language)} {written_length(figures.excluded_ms, language)}"
    shown = share.removesuffix(" %") if figures.observed_ms else SIGNS[kind]
    judged = " judged" if figures.excluded_ms else ""
    return f'<td class="{"share" if figures.observed_ms else kind}{judged}" title="{said}">{shown}'


def state_of(counted: Counted) -> str:
    """Return what a part of a period is shown as: the worst that was observed in it."""
    figures = counted.figures
    if not figures.service_ms:
        return "off"
    if not figures.agreed_ms:
        return "excluded"
    if not figures.observed_ms:
        return "unknown"
    return "down" if figures.down_ms else "degraded" if figures.degraded_ms else "up"


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
    return grain, list(_pieces(question.start_ms, first_ms, end_ms, part_of))


def _pieces(
    asked_ms: int, first_ms: int, end_ms: int, part_of: Callable[[int], Interval]
) -> Iterator[Interval]:
    start_ms, next_ms = part_of(first_ms)
    while start_ms < end_ms and asked_ms < end_ms:
        yield start_ms, next_ms
        start_ms, next_ms = part_of(next_ms)


def _column(grain: str, start_ms: int) -> Column:
    day = local_date(start_ms)
    if grain == "day":
        return Column(start_ms, str(day.day), "")
    if grain == "month":
        return Column(start_ms, f"{day:%m/%Y}", f"month={day:%Y-%m}")
    return Column(start_ms, str(day.year), f"from={day}&to={day.year + 1}-01-01")
