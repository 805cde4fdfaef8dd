"""Tables of results. Where a terminal is narrow, the least important columns are left out, and named.

No id, name or time is ever cut or broken. Where not even the columns that must stay fit, the table is wider
than the terminal. What is piped has every column.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from streams.cli.outcome import results
from streams.model.text import visible

Cell = str | Text
KEPT = 0
LEAST_TEXT = 14
"""The width, in characters, down to which a column of sentences may be wrapped."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Of all columns with a ``rank`` above `KEPT` the one of the highest is left out first. Cells that are
    ``wrapped`` are sentences, and may take several lines; all others stay as they are.
    """

    heading: str
    rank: int = KEPT
    wrapped: bool = False
    right: bool = False


def show_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    *,
    title: str | None = None,
    sections: Iterable[int] = (),
    dense: bool = False,
    left_out: Callable[[str], str] = "left out, as the terminal is narrow: {}".format,
) -> None:
    """Print a table in the width there is.

    A line is drawn below each row numbered in ``sections``. A ``dense`` table has no frame. ``left_out``
    gives the sentence that names the columns left out.
    """
    cells = [[_shown(cell) for cell in row] for row in rows]
    widths = [_least_width(column, [row[at] for row in cells]) for at, column in enumerate(columns)]
    kept = fitting(columns, widths, results.width, dense=dense)
    table = Table(
        *(_drawn(columns[at], widths[at]) for at in kept),
        title=title,
        show_header=any(column.heading for column in columns),
    )
    if dense:
        table.box, table.pad_edge, table.padding = box.SIMPLE_HEAD, False, (0, 1, 0, 0)
    ends = set(sections)
    for number, row in enumerate(cells):
        table.add_row(*(row[at] for at in kept), end_section=number in ends)
    needed = _frame(len(kept), dense=dense) + sum(widths[at] for at in kept)
    results.print(_Whole(table, needed), crop=False)
    if gone := [one.heading for at, one in enumerate(columns) if at not in kept and one.heading]:
        results.print(left_out(", ".join(gone)), style=Style(dim=True))


def show_pairs(pairs: Iterable[tuple[str, Cell]]) -> None:
    """Print names with their values, one pair a row."""
    show_table([Column(""), Column("", wrapped=True)], pairs)


def fitting(columns: Sequence[Column], widths: Sequence[int], room: int, *, dense: bool = False) -> list[int]:
    """Return the places of the columns that are shown in a width; ``widths`` are the least they take.

    >>> fitting([Column("id"), Column("end", 1), Column("note", 2)], [10, 19, 14], 40)
    [0, 1]
    """
    kept = list(range(len(columns)))
    while _frame(len(kept), dense=dense) + sum(widths[at] for at in kept) > room:
        least = max(kept, key=lambda at: columns[at].rank)
        if columns[least].rank == KEPT:
            break
        kept.remove(least)
    return kept


class _Whole:
    """A table in all the width that it needs, also where the terminal has less."""

    def __init__(self, table: Table, needed: int) -> None:
        self._table, self._needed = table, needed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table's segments."""
        yield from console.render(self._table, options.update(width=max(self._needed, options.max_width)))


def _frame(columns: int, *, dense: bool) -> int:
    """Return what borders and padding take of a line."""
    return 2 * columns if dense else 3 * columns + 1


def _shown(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(visible(cell))


def _least_width(column: Column, cells: Sequence[Text]) -> int:
    """Return the least width in which every cell of a column is whole."""
    if not column.wrapped:
        return _widest(chain([column.heading], *(cell.plain.splitlines() for cell in cells)))
    words = chain(column.heading.split(), *(cell.plain.split() for cell in cells))
    longest = _widest(chain([column.heading], *(cell.plain.splitlines() for cell in cells)))
    return max(_widest(words), min(longest, LEAST_TEXT))


def _widest(pieces: Iterable[str]) -> int:
    return max(map(cell_len, pieces), default=0)


def _drawn(column: Column, width: int) -> RichColumn:
    justify: Literal["right", "left"] = "right" if column.right else "left"
    heading = Text(visible(column.heading))
    if column.wrapped:
        return RichColumn(heading, justify=justify, overflow="fold", min_width=width)
    return RichColumn(heading, justify=justify, overflow="fold", no_wrap=True, min_width=width)
