"""Open an input: a path, or `-` for standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from streams.intake.parts import Part, parts_of
from streams.intake.unpack import Budget

STDIN: Final = "-"
READ_BYTES: Final = 1 << 18


@contextmanager
def opened(name: str) -> Iterator[Iterator[Part]]:
    """Open an input and give its parts; read each to its end before taking the next.

    Reading raises `IntakeError` if the content cannot be read, `OSError` if the file cannot.
    """
    if name == STDIN:
        budget = Budget()
        yield parts_of(name, budget.counted(_chunks(sys.stdin.buffer)), budget, _spooled)
        return
    with Path(name).open("rb") as file:
        budget = Budget()
        if file.seekable():
            budget.taken_bytes = Path(name).stat().st_size
            yield parts_of(name, _chunks(file), budget, _spooled, file)
        else:  # a named pipe
            yield parts_of(name, budget.counted(_chunks(file)), budget, _spooled)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(READ_BYTES), b"")


def _spooled(chunks: Iterator[bytes]) -> BinaryIO:
    """Copy a stream into an anonymous temporary file, which is deleted when closed."""
    file = TemporaryFile()  # noqa: SIM115 - it is closed with its last reader
    for chunk in chunks:
        file.write(chunk)
    file.seek(0)
    return file
