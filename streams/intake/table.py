"""CSV with a header to its rows, each with its line; a damaged row costs itself alone.

The separator is the one of comma, semicolon, tab and bar that the header has most of. A value in quotes may
hold line breaks, up to `MAX_ROW_LINES`; a quote that is never closed would swallow the rest, so beyond that
the row is damaged and reading goes on with the line after its first.
"""

import csv
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from streams.intake.errors import CutOffError
from streams.intake.split import MAX_DOCUMENT_BYTES, TOO_LONG, Damage

MAX_ROW_LINES: Final = 50
NO_BREAK: Final = (
    "cut off in the middle of a row, as no line break stands behind the last; if it is whole: echo >> FILE"
)
SEPARATORS: Final = ",;\t|"
_MARK: Final = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One row by the names of the header, its line counted from 1."""

    line: int
    values: dict[str, str]


def header_of(head: bytes) -> list[str] | None:
    r"""Return the names of a header where the text begins with what may be one, else None.

    >>> header_of(b'request_in_ts;"service code"\r\n1;2')
    ['request_in_ts', 'service code']
    """
    line = head.removeprefix(_MARK).lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")
    if not line or line[:1] in b"{[<" or not line.isascii():
        return None
    try:
        names = next(csv.reader([line.decode("ascii")], delimiter=_separator(line)), [])
    except csv.Error:
        return None
    if len(names) < 2 or not all(name.strip() for name in names):
        return None
    return [name.strip() for name in names]


def rows(chunks: Iterable[bytes]) -> Iterator[Row | Damage]:
    """Yield the rows behind a header.

    Raise `CutOffError` where no line break stands behind the last row: its last value may be cut off.
    """
    lines = _Lines(chunks)
    names: list[str] | None = None
    for line in lines:
        if line.text is _OVERLONG:
            yield Damage(line.number, TOO_LONG)
        elif names is None:
            header = line.text.removeprefix(_MARK)
            lines.separator = _separator(header)
            names = [name.strip() for name in lines.cells(header) or []]
        elif line.text.strip():
            yield from _row(lines, line, names)


def _row(lines: "_Lines", line: "_Line", names: list[str]) -> Iterator[Row | Damage]:
    """Yield what a line, and those that belong to it, make of a row; nothing for a header come again."""
    cells, whole = lines.cells(line.text), line.whole
    if cells is None:
        cells, whole = lines.over_lines(line)
    if cells is None:
        if lines.ended_within:
            raise CutOffError("cut off in the middle of a row", line.number)
        yield Damage(line.number, "a row whose quotes are not closed")
    elif not whole:
        raise CutOffError(NO_BREAK, line.number)
    elif len(cells) != len(names):
        yield Damage(line.number, f"a row of {len(cells)} values under a header of {len(names)}")
    elif [cell.strip().removeprefix(_MARK.decode()) for cell in cells] != names:
        yield Row(line.number, dict(zip(names, cells, strict=True)))


_OVERLONG: Final = b"(a line that is too long)"


class _Line(NamedTuple):
    """A line without its break, and whether there was one."""

    number: int
    text: bytes
    whole: bool


class _Lines:
    """Numbered lines; lines that did not match are yielded again."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._lines = _split_lines(chunks)
        self._again: list[_Line] = []
        self.separator = ","
        self.ended_within = False

    def __iter__(self) -> Iterator[_Line]:
        while (line := self._next()) is not None:
            yield line

    def _next(self) -> _Line | None:
        return self._again.pop(0) if self._again else next(self._lines, None)

    def cells(self, text: bytes) -> list[str] | None:
        """Return the values of a row, None where its quotes are not closed."""
        try:
            return next(
                csv.reader([text.decode("utf-8", "replace")], delimiter=self.separator, strict=True), []
            )
        except csv.Error:
            return None

    def over_lines(self, first: _Line) -> tuple[list[str] | None, bool]:
        """Return the values of a row over several lines, and whether a break stands behind the last.

        If they do not make a row the lines are yielded again; `ended_within` says if there were no
        others.
        """
        seen: list[_Line] = []
        text = first.text
        self.ended_within = False
        while len(seen) < MAX_ROW_LINES and len(text) <= MAX_DOCUMENT_BYTES:
            line = self._next()
            if line is None:
                self.ended_within = True
                break
            seen.append(line)
            text += b"\n" + line.text
            if line.text.count(b'"') % 2 and (cells := self.cells(text)) is not None:
                return cells, line.whole
        self._again = seen + self._again
        return None, True


def _split_lines(chunks: Iterable[bytes]) -> Iterator[_Line]:
    """Yield each line; the content of a line that is too long is dropped."""
    held, skipping, number = b"", False, 0
    for chunk in chunks:
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            number += 1
            text = _OVERLONG if skipping or len(line) > MAX_DOCUMENT_BYTES else line.rstrip(b"\r")
            yield _Line(number, text, whole=True)
            skipping = False
        if len(held) > MAX_DOCUMENT_BYTES:
            held, skipping = b"", True
    if held or skipping:
        yield _Line(number + 1, _OVERLONG if skipping else held, whole=False)


def _separator(line: bytes) -> str:
    return max(SEPARATORS, key=lambda separator: line.count(separator.encode()))
