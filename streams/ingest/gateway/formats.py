r"""Turns lines of a log into the values that a mapper needs, by the format that the map names.

| format | a line is |
|---|---|
| `json` | an object; or objects in any arrangement; or an object after a prefix |
| `columns` | values separated by blanks, in quotes or brackets if they contain blanks; or by a separator |
| `regex` | what a pattern finds, by its named groups |
| `csv` | a row under a header |

A list of upstream attempts (``0.100, 0.004`` or ``0.1 : 0.2``) is one column. In text that is not UTF-8 the
invalid bytes are replaced; the line is used.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, Protocol

from streams.ingest.gateway.objects import NOT_AN_OBJECT, Objects
from streams.ingest.mapping.patterns import PatternError, compiled
from streams.ingest.mapping.places import MapError
from streams.ingest.mapping.said import Map
from streams.ingest.values import RejectedRecordError
from streams.intake.errors import CutOffError
from streams.intake.lines import NO_BREAK, Block, blocks
from streams.intake.split import Damage, Document, documents
from streams.intake.table import rows

CONTAINERS: Final = (("records",), ("hits", "hits"), ("data",), ("results",), ("logs",))
"""The keys under which an answer or an export may hold its array of lines."""
NO_COLUMN: Final = "-"
_AROUND: Final = ('""', "[]")
TOO_FEW: Final = "fewer columns than the map names"
_COLUMN: Final = r'(?>"(?:[^"\\]|\\.)*+"(?=\s|$)|\[[^\]]*+\](?=\s|$)|\S++(?:(?<=,)\x20\S++|\x20:\x20\S++)*+)'
"""One column. It can match in one way only, so that no line causes backtracking."""

Found = tuple[int, int, Sequence[Any]]
"""The line, the index of the record among those that begin on it, and its values."""


class Lines(Protocol):
    """A format in which each line can be read by itself."""

    def of(self, block: Block) -> Iterator[Found | Damage]:
        """Yield the records in the lines of a block."""


class Format:
    """Reads the values from a log's text.

    Raises:
        MapError: the map's keys do not fit its format.
    """

    def __init__(self, said: Map, fields: Sequence[str]) -> None:
        self._said, self._fields = said, fields
        if said.format is None:
            raise MapError("there is no `format`, so the map is not one for a log's lines", "format")
        for key, formats in _BELONGS.items():
            if getattr(said, key) and said.format not in formats:
                raise MapError(f"`{key}` belongs to the format {' or '.join(formats)}", key)
        self._objects = Objects(fields)
        self.lines = self._lines()

    def _lines(self) -> Lines:
        said, fields = self._said, self._fields
        if said.format == "json":
            if said.prefix is not None:
                return _Prefixed(said.prefix, fields)
            return _JsonLines(self._objects)
        if said.format == "csv":
            _known(said.columns, fields, "columns") if said.columns else None
            return _CsvLines(said.columns, fields, said.separator or ",")
        if said.format == "regex":
            if said.pattern is None:
                raise MapError("the format regex needs a `pattern`")
            return _Matched(said.pattern, fields, "pattern", said.comment)
        if not said.columns:
            raise MapError("the format columns needs `columns`")
        _known(said.columns, fields, "columns")
        if said.separator is not None:
            return _Separated(said.columns, fields, said.separator, said.comment)
        return _Matched(_columns_pattern(said.columns, fields), fields, "columns", said.comment)

    def read(self, chunks: Iterable[bytes]) -> Iterator[Found | Damage]:
        """Yield the records of a text, in order.

        Raises `CutOffError` if it ends in the middle of an array, or of a CSV row.
        """
        if self._said.format == "csv":
            return self._rows(chunks)
        source = blocks(chunks)
        first = next(source, None)
        if first is None:
            return iter(())
        if self._said.format == "json" and self._said.prefix is None and not self._is_by_line(first):
            data = (block.data if isinstance(block, Block) else b"" for block in chain([first], source))
            return self._documents(data)
        return self._by_line(chain([first], source))

    def _by_line(self, source: Iterable[Block | Damage]) -> Iterator[Found | Damage]:
        for block in source:
            if isinstance(block, Damage):
                yield block
            elif block.whole or self._said.format == "json":
                yield from self.lines.of(block)
            elif block.data.strip():
                yield Damage(block.line, NO_BREAK)

    def _is_by_line(self, block: Block | Damage) -> bool:
        """Return whether to read each line as one object: the first does not begin an answer or an array."""
        if isinstance(block, Damage):
            return True
        line = block.data.lstrip().split(b"\n", 1)[0].strip(b" \t\r,")
        if not line.startswith((b"{", b"[")):
            return True
        try:
            first = next(documents([line], CONTAINERS), None)
        except CutOffError:
            return False
        return isinstance(first, Document) and line.startswith(first.data)

    def _documents(self, data: Iterable[bytes]) -> Iterator[Found | Damage]:
        line = index = 0
        for entry in documents(data, CONTAINERS):
            index = index + 1 if entry.line == line else 0
            line = entry.line
            yield from _one(self._objects, entry, index)

    def _rows(self, chunks: Iterable[bytes]) -> Iterator[Found | Damage]:
        before = 0
        if self._said.columns:
            separator = self._said.separator or ","
            header = separator.join(self._said.columns).encode() + b"\n"
            chunks, before = chain([header], chunks), 1
        for row in rows(chunks):
            if isinstance(row, Damage):
                yield Damage(row.line - before, row.reason)
            else:
                yield row.line - before, 0, [row.values.get(name) for name in self._fields]


_BELONGS: Final = {
    "prefix": ("json",),
    "columns": ("columns", "csv"),
    "separator": ("columns", "csv"),
    "comment": ("columns", "regex"),
    "pattern": ("regex",),
}


def _one(objects: Objects, entry: Document | Damage, index: int) -> Iterator[Found | Damage]:
    if isinstance(entry, Damage):
        yield entry
        return
    try:
        yield entry.line, index, objects.one(entry.data)
    except RejectedRecordError as error:
        yield Damage(entry.line, str(error))


class _JsonLines:
    """One object per line. A block with any damage is read line by line, to find the damaged lines."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def of(self, block: Block) -> Iterator[Found | Damage]:
        found = self._objects.lines(block.data)
        line = block.line
        if found is not None and len(found) == block.data.count(b"\n") + (not block.whole):
            for values in found:
                yield line, 0, values
                line += 1
            return
        for text in block.data.split(b"\n"):
            if text.strip(b" \t\r,\x1e"):
                yield from self._line(line, text)
            line += 1

    def _line(self, line: int, text: bytes) -> Iterator[Found | Damage]:
        try:
            yield line, 0, self._objects.one(text.strip(b" \t\r,\x1e"))
        except RejectedRecordError as error:
            try:
                several = list(documents([text], CONTAINERS))
            except CutOffError:
                several = []
            if not any(isinstance(entry, Document) for entry in several):
                yield Damage(line, str(error) if text.lstrip().startswith(b"{") else NOT_AN_OBJECT)
                return
            for index, entry in enumerate(several):
                yield from _one(self._objects, entry._replace(line=line), index)


class _Prefixed:
    """An object after a prefix; the named groups of the prefix are fields as well."""

    def __init__(self, prefix: str, fields: Sequence[str]) -> None:
        try:
            self._prefix = compiled(prefix)
        except PatternError as error:
            raise MapError(f"`prefix` is not a valid regular expression: {error}", "prefix") from None
        groups = self._prefix.groupindex
        self._groups = [(place, name) for place, name in enumerate(fields) if name in groups]
        self._objects = Objects(fields)

    def of(self, block: Block) -> Iterator[Found | Damage]:
        line = block.line - 1
        for text in block.data.decode("utf-8", "replace").split("\n"):
            line += 1
            if not text or text.isspace():
                continue
            prefix = self._prefix.search(text)
            begin = -1 if prefix is None else text.find("{", prefix.end())
            if prefix is None or begin < 0:
                yield Damage(line, "the prefix followed by an object was not found")
                continue
            try:
                values = list(self._objects.one(text[begin:].strip().encode("utf-8", "replace")))
            except RejectedRecordError as error:
                yield Damage(line, str(error))
                continue
            for place, name in self._groups:
                values[place] = prefix[name]
            yield line, 0, values


class _Matched:
    """The groups of a pattern in a line."""

    def __init__(self, pattern: str, fields: Sequence[str], key: str, comment: str | None) -> None:
        self._comment = comment
        try:
            self._pattern = compiled(pattern)
        except PatternError as error:
            raise MapError(f"`{key}` is not a valid regular expression: {error}", key) from None
        if key == "pattern":
            _known(self._pattern.groupindex, fields, key)
        self._groups = [
            self._pattern.groupindex[name if key == "pattern" else f"f{place}"]
            for place, name in enumerate(fields)
        ]
        self._unquote = key == "columns"
        self._reason = "the pattern was not found" if key == "pattern" else "fewer columns than the map names"

    def of(self, block: Block) -> Iterator[Found | Damage]:
        search = self._pattern.match if self._unquote else self._pattern.search
        line = block.line - 1
        for text in block.data.decode("utf-8", "replace").split("\n"):
            line += 1
            if self._comment is not None and text.startswith(self._comment):
                continue
            found = search(text)
            if found is None:
                if text and not text.isspace():
                    yield Damage(line, self._reason)
                continue
            values: Sequence[Any] = [found[group] for group in self._groups]
            if self._unquote:
                values = [value[1:-1] if value[0] + value[-1] in _AROUND else value for value in values]
            yield line, 0, values


class _Separated:
    """Values between separators."""

    def __init__(
        self, columns: Sequence[str], fields: Sequence[str], separator: str, comment: str | None
    ) -> None:
        self._comment = comment
        self._places = [list(columns).index(name) for name in fields]
        self._least = max(self._places, default=0)
        self._separator = separator

    def of(self, block: Block) -> Iterator[Found | Damage]:
        line = block.line - 1
        for text in block.data.decode("utf-8", "replace").split("\n"):
            line += 1
            if not text or text.isspace() or (self._comment and text.startswith(self._comment)):
                continue
            values = text.rstrip("\r").split(self._separator)
            if len(values) <= self._least:
                yield Damage(line, TOO_FEW)
            else:
                yield line, 0, [values[place] for place in self._places]


class _CsvLines:
    """Rows of a followed CSV log, line by line; the first is the header if the map names no columns."""

    def __init__(self, columns: Sequence[str], fields: Sequence[str], separator: str) -> None:
        self._columns, self._fields, self._separator = list(columns), fields, separator

    def of(self, block: Block) -> Iterator[Found | Damage]:
        line = block.line - 1
        for text in block.data.decode("utf-8", "replace").split("\n"):
            line += 1
            if not text or text.isspace():
                continue
            cells = [cell.strip() for cell in next(csv.reader([text], delimiter=self._separator), [])]
            if not self._columns or (line == 1 and cells == self._columns):
                self._columns = cells
            elif len(cells) != len(self._columns):
                yield Damage(line, f"a row of {len(cells)} values under a header of {len(self._columns)}")
            else:
                row = dict(zip(self._columns, cells, strict=True))
                yield line, 0, [row.get(name) for name in self._fields]


def _columns_pattern(columns: Sequence[str], fields: Sequence[str]) -> str:
    """Return a pattern for columns separated by blanks, with a group for each column in ``fields``."""
    last = max(columns.index(name) for name in fields)
    parts = []
    for name in columns[: last + 1]:
        at = fields.index(name) if name in fields else -1
        parts.append(_COLUMN if at < 0 or name == NO_COLUMN else f"(?P<f{at}>{_COLUMN})")
    return r"[ \t]*+" + r"[ \t]++".join(parts) + r"(?=\s|$)"


def _known(known: Iterable[str], fields: Sequence[str], key: str) -> None:
    """Raise `MapError` if one of ``fields`` is not among the ``known`` ones."""
    missing = [name for name in fields if name not in set(known)]
    if missing:
        names = ", ".join(sorted(name for name in known if name != NO_COLUMN))
        raise MapError(f"`{missing[0]}` is not one of the fields from `{key}`: {names}", key)
