"""Split CSV with a header into rows, each with its line; a damaged row does not affect the others.

The separator is whichever of comma, semicolon, tab and bar is most frequent in the header. A quoted value may
contain line breaks, up to `MAX_ROW_LINES`. An unclosed quote would swallow the rest of the file, so beyond
that limit the row is damaged and reading continues at the line after its first.
"""

import csv
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from streams.intake.errors import CutOffError
from streams.intake.split import MAX_DOCUMENT_BYTES, TOO_LONG, Damage

MAX_ROW_LINES: Final = 50
NO_BREAK: Final = (
    "cut off in the middle of a row: the last one has no line break; if it is whole: echo >> FILE"
)
SEPARATORS: Final = ",;\t|"
_MARK: Final = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One row as values by header name, and its line, counted from 1."""

    line: int
    values: dict[str, str]


def header_of(head: bytes) -> list[str] | None:
    r"""Return the column names if a text begins with what may be a header, otherwise None.

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
    """Yield the rows after a header.

    Raises `CutOffError` if the last row has no line break, because its last value may be cut off.
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
    """Yield the row that a line begins, perhaps over several lines; nothing for a repeated header."""
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
    """A line without its line break, and whether it had one."""

    number: int
    text: bytes
    whole: bool


class _Lines:
    """Numbered lines; lines that turned out not to belong to a row are yielded again."""

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
        """Return the values of a row, None if a quote is not closed."""
        try:
            return next(
                csv.reader([text.decode("utf-8", "replace")], delimiter=self.separator, strict=True), []
            )
        except csv.Error:
            return None

    def over_lines(self, first: _Line) -> tuple[list[str] | None, bool]:
        """Return the values of a row of several lines, and whether the last line has a line break.

        If they do not form a row, the lines are yielded again, and `ended_within` says whether the input
        ended.
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
