"""Write log files, in the form that the file name implies."""

import gzip
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, Self

import zstandard

from streams.logs.file import FORMS, Form
from streams.logs.line import decode_lines, encode_line
from streams.logs.whole import whole_file
from streams.model.record import Record


class LogNameError(ValueError):
    """A file name with an unsupported extension; the message lists the supported ones."""


OTHER_FORMS: Final = frozenset(
    [
        ".xz",
        ".bz2",
        ".lz4",
        ".br",
        ".z",
        ".7z",
        ".rar",
        ".zip",
        ".tar",
        ".tgz",
        ".csv",
        ".tsv",
        ".xlsx",
        ".avro",
        ".arrow",
        ".feather",
        ".orc",
        ".db",
        ".sqlite",
    ]
)


def form_of(path: Path) -> Form:
    """Return the form in which a log of this name is written.

    Raises `LogNameError` for a folder, or a name that implies a form we do not write.

    >>> form_of(Path("june.ndjson.gz")), form_of(Path("june.log"))
    ('gz', 'plain')
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise LogNameError(f"{path} is a folder; name a log file in it, such as {path / 'log.ndjson.zst'}")
    if suffix in OTHER_FORMS:
        raise LogNameError(
            f"{path}: a log is written as .ndjson, .ndjson.zst, .ndjson.gz or .parquet, not as {suffix}"
        )
    return FORMS.get(suffix, "plain")


@contextmanager
def log_writer(path: Path) -> Iterator["LogWriter"]:
    """Open a log file for writing in the form that its name implies.

    The file gets its name only when complete; if writing fails, nothing is left behind. Raises `LogNameError`
    if the name implies a form we do not write.
    """
    form = form_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as raw, ExitStack() as stack:
        if form == "zst":
            packed = zstandard.ZstdCompressor(level=1).stream_writer(raw, closefd=False)
            yield LogWriter(stack.enter_context(packed))
        elif form == "gz":
            yield LogWriter(stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0)))
        elif form == "parquet":
            yield stack.enter_context(ParquetLogWriter(raw))
        else:
            yield LogWriter(raw)


class Stream(Protocol):
    """Anything that lines can be written to."""

    def write(self, data: bytes, /) -> int | None:
        """Append some bytes."""


class LogWriter:
    """Appends records to an open log file."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, records: Iterable[Record]) -> None:
        """Append records in the order given."""
        self._stream.write(b"".join([encode_line(record) + b"\n" for record in records]))

    def write_lines(self, lines: Iterable[bytes]) -> None:
        """Append lines that are encoded records, each with its line break.

        For callers that produce the values themselves and can skip the check that `encode_line` makes.
        """
        self._stream.write(b"".join(lines))


class ParquetLogWriter(LogWriter):
    """Appends records to an open Parquet file, one row group at a time; leaving it writes the footer."""

    ROWS: Final = 50_000

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa  # noqa: PLC0415 - slow to import, and needed for this format alone
        from pyarrow import parquet  # noqa: PLC0415 - as above

        types = (pa.string(), pa.int32(), pa.int64(), pa.int64(), pa.binary(), pa.binary())
        self._schema = pa.schema(list(zip(Record._fields, types, strict=True)))
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Record] = []

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the remaining rows and the footer."""
        self._flush()
        self._writer.close()

    def write(self, records: Iterable[Record]) -> None:
        """Append records in the order given."""
        self._rows += records
        if len(self._rows) >= self.ROWS:
            self._flush()

    def write_lines(self, lines: Iterable[bytes]) -> None:
        """Append lines that are encoded records."""
        self.write(decode_lines(b"".join(lines)))

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table())
            self._rows = []

    def _table(self) -> Any:
        import pyarrow as pa  # noqa: PLC0415 - as above

        return pa.Table.from_arrays(
            [
                pa.array(column, field.type)
                for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ],
            schema=self._schema,
        )
