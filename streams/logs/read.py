"""Reading a log in any form: a file, a Parquet file, or a captured folder."""

from collections.abc import Iterator
from pathlib import Path

from streams.logs.file import chunked, file_partitions, form_in, read_file
from streams.logs.folder import read_folder, read_parquet
from streams.model.record import ByPartition, Record, by_partition


def read_log(path: Path) -> Iterator[Record]:
    """Yield the records of a log file in file order, or of a captured folder by broker time.

    Raises:
        LogFileError: a line is not a record, a partition's offsets do not ascend, the file ends in the
            middle of a line or of a compressed frame, or it differs from its manifest; the message names
            the line.
    """
    return _rows(path) or read_file(path)


def read_partitions(path: Path) -> Iterator[ByPartition]:
    """Like `read_log`, but yield chunks of about a thousand records, by partition; same errors."""
    rows = _rows(path)
    return file_partitions(path) if rows is None else map(by_partition, chunked(rows))


def _rows(path: Path) -> Iterator[Record] | None:
    """Return the records of a folder or a Parquet file, None for any other file."""
    if path.is_dir():
        return read_folder(path)
    return read_parquet(path) if form_in(path) == "parquet" else None
