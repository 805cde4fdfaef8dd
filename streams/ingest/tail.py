"""Follows a file by name, from a saved position, across rotation by renaming or copying.

A log is identified by its first lines (`gateway.files.fingerprint`), whatever its name is. If the file now
under the name is not the one that was read, the rest of the latter is looked for among the neighbouring files
(`access.log.1`, `access.log-20261127.gz`), compressed or not; then newer neighbours are read, oldest first,
and then the file itself. Only whole lines are read, except that the last line of a rotated file is read as it
is.

`logrotate` with `copytruncate` loses the lines written between copying and truncating; renaming loses none.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Final

from streams.ingest.gateway.files import HEAD_BYTES, fingerprint, fingerprinted
from streams.ingest.gateway.following import Piece, Position, piece_of
from streams.intake.errors import IntakeError
from streams.intake.shell import opened
from streams.intake.split import MAX_DOCUMENT_BYTES, TOO_LONG

PIECE_BYTES: Final = 1 << 18
LINGER_SECONDS: Final = 2.0
"""How long a renamed file is still read after it last grew, as its writer may not have noticed."""
LONGEST_LINGER_SECONDS: Final = 30.0
NO_LOGS: Final = (".swp", ".tmp", ".partial", "~", ".json", ".lock")


class Tail:
    """Reads a file as it grows: `read` returns whole lines, or None if there are no new ones.

    ``lines`` is how many first lines identify a log. ``notes`` are messages for a person about lost lines.
    """

    def __init__(self, path: Path, position: Position | None, lines: int = 1) -> None:
        self._path, self._naming = path, lines
        self._live: _Live | None = None
        self._packed: Iterator[Piece] = iter(())
        self._wanted: deque[Position] = deque()
        """Rotated logs still to be read, identified by their first lines, as files may be renamed again."""
        self._known: set[str] = set()
        """Fingerprints of the logs that were read, or will be."""
        self._finished_s: float | None = None
        """When the log last read to its end was last modified."""
        self.notes: list[str] = []
        if position is not None:
            self._known.add(position.fingerprint)
            self._go_on(position)

    @property
    def lingers(self) -> bool:
        """Whether a renamed file is still being read, so that the one under the name must wait."""
        return self._live is not None and self._live.renamed_s is not None

    def close(self) -> None:
        """Close the file."""
        if self._live is not None:
            self._live.close()
            self._live = None

    def read(self, now_s: float) -> Piece | None:
        """Return the next lines, None if there are none now. Raises `OSError` if the file cannot be read."""
        while True:
            piece = next(self._packed, None)
            if piece is not None:
                return piece
            if self._wanted:
                self._packed = self._rest_of(self._wanted.popleft())
                continue
            if self._live is None and not self._open_next():
                if self._wanted:
                    continue
                return None
            live = self._live
            assert live is not None
            if live.was_cut(self._naming):
                self._leave(live)
                self._wanted.append(live.position)
                continue
            piece = live.read(str(self._path), now_s)
            if piece is not None:
                return piece
            if not live.is_over(self._path, now_s):
                return None
            last = live.last_line(str(self._path))
            self._leave(live)
            if last is not None:
                return last

    def _leave(self, live: "_Live") -> None:
        self._finished_s = live.changed_s
        self.close()

    def _open_next(self) -> bool:
        """Open the file under the name, unless rotated logs must be read first; return whether it is open."""
        if not self._open(Position("", 0, 1)):
            return False
        live = self._live
        assert live is not None
        if self._finished_s is not None:
            self._seek_newer(self._finished_s)
            if self._wanted:
                self.close()
                self._known.discard(live.position.fingerprint)
                return False
        return True

    def _open(self, at: Position) -> bool:
        """Open the file under the name; return False if it does not exist or its first line is incomplete."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return False
        name = _name_of(file, self._naming)
        if name is None:
            file.close()
            return False
        self._known.add(name)
        self._live = _Live(file, Position(name, at.offset, at.line))
        return True

    def _go_on(self, position: Position) -> None:
        """Continue with the file that was read before, under its name or among its neighbours."""
        try:
            with self._path.open("rb") as file:
                same = _name_of(file, self._naming) == position.fingerprint
                whole = os.fstat(file.fileno()).st_size >= position.offset
        except FileNotFoundError:
            same = whole = False
        if same and whole:
            self._open(position)
        else:
            self._wanted.append(position)

    def _seek_newer(self, changed_s: float) -> None:
        """Schedule the rotated logs modified since ``changed_s`` that were not read yet."""
        for path in self._neighbours():
            name = self._name(path)
            if name is None or name in self._known:
                continue
            with suppress(FileNotFoundError):
                if path.stat().st_mtime >= changed_s:
                    self._known.add(name)
                    self._wanted.append(Position(name, 0, 1))

    def _neighbours(self) -> list[Path]:
        """Return the files that the log may have been renamed or copied to, oldest first."""
        found = []
        for path in self._path.parent.glob(f"{glob_escape(self._path.name)}[.-]*"):
            if not path.name.endswith(NO_LOGS):
                with suppress(FileNotFoundError):
                    found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found) if path.is_file()]

    def _name(self, path: Path) -> str | None:
        try:
            with opened(str(path)) as parts:
                for part in parts:
                    return fingerprinted(part.chunks, self._naming)[0]
        except (IntakeError, OSError):
            pass
        return None

    def _rest_of(self, position: Position) -> Iterator[Piece]:
        """Yield the lines of a rotated log, compressed or not, from a position on."""
        for path in [*self._neighbours(), self._path]:
            with ExitStack() as stack:
                try:
                    part = next(stack.enter_context(opened(str(path))), None)
                    if part is None:
                        continue
                    name, chunks = fingerprinted(part.chunks, self._naming)
                    if name == position.fingerprint:
                        self._finished_s = path.stat().st_mtime
                        yield from _lines_from(position, chunks, str(self._path))
                        return
                except FileNotFoundError:
                    continue  # renamed again
                except IntakeError as error:
                    self.notes.append(f"{path}: {error.reason}; the rest of it is lost")
        self.notes.append(
            f"{self._path}: the log that was read up to line {position.line - 1:,} was found neither "
            "there nor among its neighbours; later lines, if any, are lost"
        )


def _lines_from(position: Position, chunks: Iterator[bytes], path: str) -> Iterator[Piece]:
    """Yield the lines of a finished log from a position on, including an incomplete last line."""
    at, skip, held = position, position.offset, b""
    for given in chunks:
        held += given[skip:]
        skip = max(0, skip - len(given))
        if end := held.rfind(b"\n") + 1:
            piece = piece_of(path, at, held[:end])
            yield piece
            at, held = piece.end, held[end:]
    if held.strip():
        yield piece_of(path, at, held)


class _Live:
    """The open file: it is under the name, or was until it was renamed."""

    def __init__(self, file: BinaryIO, position: Position) -> None:
        self._file = file
        self.position = position
        self._skipping = False
        self.renamed_s: float | None = None
        """When another file was first found under the name; None if there is none."""
        self._grew_s = 0.0
        self._size = -1
        self.changed_s = os.fstat(file.fileno()).st_mtime

    def close(self) -> None:
        self._file.close()

    def read(self, path: str, now_s: float) -> Piece | None:
        """Return whole lines from the position on; an overlong line is replaced by `TOO_LONG`."""
        at = self.position
        data = os.pread(self._file.fileno(), PIECE_BYTES, at.offset)
        if b"\n" not in data and len(data) == PIECE_BYTES:
            data = os.pread(self._file.fileno(), MAX_DOCUMENT_BYTES + 1, at.offset)
        if not data:
            return None
        status = os.fstat(self._file.fileno())
        if status.st_size != self._size:
            self._size, self._grew_s, self.changed_s = status.st_size, now_s, status.st_mtime
        end = data.rfind(b"\n") + 1
        if end and self._skipping:
            self._skipping = False
            after = Position(at.fingerprint, at.offset + data.index(b"\n") + 1, at.line + 1)
            piece = Piece(path, at, TOO_LONG.encode() + b"\n", after)
        elif end:
            piece = piece_of(path, at, data[:end])
        elif len(data) <= MAX_DOCUMENT_BYTES:
            return None
        else:
            self._skipping = True
            self.position = Position(at.fingerprint, at.offset + len(data), at.line)
            return self.read(path, now_s)
        self.position = piece.end
        return piece

    def was_cut(self, naming: int) -> bool:
        """Return whether the file was truncated or rewritten under its name."""
        if os.fstat(self._file.fileno()).st_size < self.position.offset:
            return True
        name = _name_of(self._file, naming)
        return name is not None and name != self.position.fingerprint

    def is_over(self, path: Path, now_s: float) -> bool:
        """Return whether another file is under the name and this one has not grown for a while."""
        try:
            renamed = path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            renamed = False  # not recreated yet
        if not renamed:
            self.renamed_s = None
            return False
        if self.renamed_s is None:
            self.renamed_s = now_s
        quiet_s = now_s - max(self._grew_s, self.renamed_s)
        return quiet_s >= LINGER_SECONDS or now_s - self.renamed_s >= LONGEST_LINGER_SECONDS

    def last_line(self, path: str) -> Piece | None:
        """Return the last line of a file that will not grow, if it lacks a line break."""
        data = os.pread(self._file.fileno(), MAX_DOCUMENT_BYTES, self.position.offset)
        return piece_of(path, self.position, data) if data.strip() else None


def _name_of(file: BinaryIO, lines: int) -> str | None:
    """Return the fingerprint of an open file, None while its first lines are incomplete."""
    begin = os.pread(file.fileno(), 4_096, 0)
    if begin.lstrip().count(b"\n") < lines:
        begin = os.pread(file.fileno(), HEAD_BYTES + 4_096, 0)
        if begin.lstrip().count(b"\n") < lines and len(begin) <= HEAD_BYTES:
            return None
    return fingerprint(begin, lines)


def glob_escape(name: str) -> str:
    """Return a glob pattern that matches only this name."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
