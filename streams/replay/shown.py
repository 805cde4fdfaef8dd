"""Results as a notebook shows them: tables of HTML, and a drawing of when each link was in trouble."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import islice
from typing import Any, Final

from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.times import local_time

SHOWN_ROWS: Final = 20
WIDTH: Final = 900
LABEL: Final = 260
BAR: Final = 22
COLOURS: Final = {"down": "#d73027", "degraded": "#fdae61"}


def _moment(time_ms: int | None) -> str:
    return "open" if time_ms is None else local_time(time_ms)


COLUMNS: Final[dict[type, dict[str, Callable[[Any], str]]]] = {
    Outage: {
        "outage": lambda one: one.outage_id,
        "revision": lambda one: str(one.revision),
        "link": lambda one: one.link,
        "kind": lambda one: one.kind,
        "fault domain": lambda one: one.fault_domain,
        "start": lambda one: _moment(one.start_ms),
        "end": lambda one: _moment(one.end_ms),
        "failures": lambda one: f"{one.failures:,} of {one.attempts:,}",
        "dossiers": lambda one: f"{one.dossiers_affected:,}",
    },
    Window: {
        "link": lambda one: one.link,
        "start": lambda one: _moment(one.start_ms),
        "state": lambda one: one.state,
        "failures": lambda one: f"{one.failures:,} of {one.attempts:,}",
    },
    Measurement: {
        "source": lambda one: f"{one.source.topic}/{one.source.partition}",
        "offsets": lambda one: f"[{one.source.first_offset}, {one.source.next_offset})",
        "watermark": lambda one: _moment(one.watermark_ms),
        "applied": lambda one: f"{one.records.applied:,}",
    },
}
"""What a table shows of a row, by the kind of its rows. Times are Asia/Ho_Chi_Minh."""


def table_html(kind: type, rows: Sequence[Any]) -> str:
    """Return a table of the first rows, with the number of the others below it."""
    columns = COLUMNS[kind]
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell(row))}</td>" for cell in columns.values()) + "</tr>"
        for row in islice(rows, SHOWN_ROWS)
    )
    more = len(rows) - SHOWN_ROWS
    note = f"<p>and {more:,} more rows</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def timeline_svg(outages: Iterable[Outage], start_ms: int, end_ms: int) -> str:
    """Return a drawing of ``[start_ms, end_ms)``: a line for each link, a bar for each of its outages."""
    by_link: dict[str, list[Outage]] = {}
    for outage in outages:
        by_link.setdefault(outage.link, []).append(outage)
    if not by_link or end_ms <= start_ms:
        return ""
    scale = (WIDTH - LABEL) / (end_ms - start_ms)
    parts = []
    for line, (link, some) in enumerate(sorted(by_link.items())):
        top = line * BAR
        parts.append(f'<text x="0" y="{top + BAR - 7}">{escape(link)}</text>')
        parts.append(
            f'<rect x="{LABEL}" y="{top + 3}" width="{WIDTH - LABEL}" height="{BAR - 6}" fill="#e6f2e6"/>'
        )
        for one in some:
            from_ms = max(one.start_ms, start_ms)
            to_ms = end_ms if one.end_ms is None else min(one.end_ms, end_ms)
            width = max(1.0, (to_ms - from_ms) * scale)
            about = f"{one.kind}, {_moment(one.start_ms)} to {_moment(one.end_ms)}"
            parts.append(
                f'<rect x="{LABEL + (from_ms - start_ms) * scale:.1f}" y="{top + 3}" width="{width:.1f}" '
                f'height="{BAR - 6}" fill="{COLOURS[one.kind]}"><title>{escape(about)}</title></rect>'
            )
    bottom = len(by_link) * BAR + 14
    parts.append(f'<text x="{LABEL}" y="{bottom}">{escape(_moment(start_ms))}</text>')
    parts.append(f'<text x="{WIDTH}" y="{bottom}" text-anchor="end">{escape(_moment(end_ms))}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="Outages by link" '
        f'viewBox="0 0 {WIDTH} {bottom + 6}" width="{WIDTH}" font-family="sans-serif" font-size="12">'
        f"{''.join(parts)}</svg>"
    )
