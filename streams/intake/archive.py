"""Read the members of archives: tar from a stream, zip from a seekable file."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from io import RawIOBase
from typing import IO, TYPE_CHECKING, BinaryIO, Final, cast

from streams.intake.errors import CutOffError, IntakeError
from streams.intake.unpack import OUTPUT_BYTES, Budget

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK_BYTES: Final = 512
_MAX_MEMBERS: Final = 100_000
_ENCRYPTED: Final = 0x1
_NOT_DATA: Final = ("__MACOSX/", ".DS_Store")

Member = tuple[str, Iterator[bytes]]


class Readable(RawIOBase):
    """Presents chunks of bytes as a file that is read from beginning to end."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._ready = memoryview(b"")
        self.last_block = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill a buffer with the next bytes; return their number, 0 at the end."""
        target = memoryview(buffer).cast("B")
        while not self._ready:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._ready = memoryview(chunk)
            self.last_block = (self.last_block + chunk[-_BLOCK_BYTES:])[-_BLOCK_BYTES:]
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def tar_members(chunks: Iterable[bytes]) -> Iterator[Member]:
    """Yield each file of a tar archive; read its content before taking the next.

    Raises `CutOffError` if the archive's end mark is missing, `IntakeError` if it is damaged.
    """
    source = Readable(chunks)
    try:
        with tarfile.open(fileobj=cast("BinaryIO", source), mode="r|") as archive:
            for count, member in enumerate(archive):
                _bound(count)
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None and not _is_no_data(member.name):
                    yield member.name, _content(file)
    except tarfile.TarError as error:
        raise _why(error) from error
    while source.read(OUTPUT_BYTES):  # the compression around it may be cut off after the archive's end mark
        pass
    if source.last_block.strip(b"\0"):
        raise CutOffError("a tar archive that is cut off: its end mark is missing")


def zip_members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """Yield each file of a zip archive; read its content before taking the next.

    Raises `IntakeError` if it cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if "[Content_Types].xml" in names:
                raise IntakeError("an Office document; save the sheet as CSV")
            for count, member in enumerate(archive.infolist()):
                _bound(count)
                if member.is_dir() or _is_no_data(member.filename):
                    continue
                if member.flag_bits & _ENCRYPTED:
                    raise IntakeError("a zip archive under a password; unpack it first: unzip FILE")
                with archive.open(member) as content:
                    yield member.filename, _content(content, budget)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _why(error) from error


def _content(file: IO[bytes], budget: Budget | None = None) -> Iterator[bytes]:
    try:
        while chunk := file.read(OUTPUT_BYTES):
            if budget is not None:
                budget.give(len(chunk))
            yield chunk
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _why(error) from error


def _why(error: Exception) -> IntakeError:
    if isinstance(error, NotImplementedError):
        return IntakeError(f"a zip archive of an unusual kind ({error}); unpack it first: unzip FILE")
    kind = "tar" if isinstance(error, tarfile.TarError) else "zip"
    return CutOffError(f"a {kind} archive that is cut off or damaged: {error}")


def _bound(count: int) -> None:
    if count >= _MAX_MEMBERS:
        raise IntakeError(f"an archive of more than {_MAX_MEMBERS:,} files; unpack it first")


def _is_no_data(name: str) -> bool:
    base = name.rpartition("/")[2]
    return name.startswith(_NOT_DATA[0]) or base.startswith("._") or base == _NOT_DATA[1]
