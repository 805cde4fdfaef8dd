"""Opens what someone hands over: a path, or `-` for standard input."""

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
    """Open an input and give its parts, each to be read to its end before the next.

    Reading raises `IntakeError` where the content cannot be read, `OSError` where the file cannot.
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
        else:  # a pipe under a name
            yield parts_of(name, budget.counted(_chunks(file)), budget, _spooled)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(READ_BYTES), b"")


def _spooled(chunks: Iterator[bytes]) -> BinaryIO:
    """Keep a stream in a file without a name, which goes when it is closed."""
    file = TemporaryFile()  # noqa: SIM115 - it is closed with its last reader
    for chunk in chunks:
        file.write(chunk)
    file.seek(0)
    return file
