"""Turns files of access logs into events: each line by the map, several files merged by time.

The input layer (`streams.intake`) handles bytes, `formats` lines. Here each unusable line is noted, and a
file is refused if most of its lines are. Rotated files, or those of several gateways, may be given in any
order: they are read side by side, always continuing with the one whose next call ended first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from heapq import merge
from itertools import chain
from typing import Any, Final

from streams.ingest.gateway.formats import Format
from streams.ingest.mapping.mapper import Event, Mapper
from streams.ingest.mapping.said import Map
from streams.ingest.tally import GIVE_UP_AFTER, ImportFileError, Reject, Tally, reason_of
from streams.ingest.values import RejectedRecordError
from streams.intake.errors import IntakeError
from streams.intake.parts import Part
from streams.intake.split import Damage

HEAD_BYTES: Final = 1 << 16
PROBED_LINES: Final = 1_000
NO_VALUE: Final = (None, "", "-")

NoteReject = Callable[[Reject], None]


class Counts:
    """Counts of the lines of all files by what became of them, and the fields that never had a value."""

    def __init__(self) -> None:
        self.lines = 0
        self.calls = 0
        self.skipped = 0
        self._unseen: set[int] | None = None

    def see(self, values: Sequence[Any]) -> None:
        """Note which fields have a value."""
        if self._unseen is None:
            self._unseen = set(range(len(values)))
        if self._unseen:
            self._unseen -= {at for at in self._unseen if values[at] not in NO_VALUE}

    def never_seen(self, fields: Sequence[str]) -> list[str]:
        """Return the names of the fields that never had a value."""
        return [fields[at] for at in sorted(self._unseen or ())]


class LogFile:
    """An input of lines (`intake.shell.opened`), to be read once by `calls`.

    ``reject`` is called with each unusable line. With ``probe`` the input is refused as soon as its first
    `PROBED_LINES` show that it would be, for callers that cannot undo what they did with the first calls.

        Raises:
            MapError: the map is not one for lines.
    """

    def __init__(
        self,
        name: str,
        parts: Iterable[Part],
        mapper: Mapper,
        reject: NoteReject,
        counts: Counts,
        *,
        probe: bool = False,
    ) -> None:
        self._name, self._parts, self._mapper, self._counts = name, parts, mapper, counts
        self._note, self._probe = reject, probe
        self._format = Format(mapper.said, mapper.fields)
        self._used, self._lines, self._reasons = 0, 0, Counter[str]()

    def calls(self) -> Iterator[list[Event]]:
        """Yield the events of each call, in the order of the lines.

        Raises:
            ImportFileError: the input is damaged or cut off, or less than half of it can be used.
            OSError: it cannot be read.
        """
        anything = False
        try:
            for part in self._parts:
                source, chunks = fingerprinted(part.chunks, naming_lines(self._mapper.said))
                anything = anything or source is not None
                yield from self._part(part.name, source, chunks)
        except IntakeError as error:
            where = f"{self._name}: line {error.line}" if error.line else self._name
            raise ImportFileError(f"{where}: {error.reason}") from error
        self._refuse()
        if not anything:
            raise ImportFileError(f"{self._name}: it is empty")

    def _part(self, name: str, source: str | None, chunks: Iterator[bytes]) -> Iterator[list[Event]]:
        counts, map_events = self._counts, self._mapper.events
        for entry in self._format.read(chunks):
            self._lines += 1
            counts.lines += 1
            if self._probe and self._lines == PROBED_LINES:
                self._refuse(f": the first {PROBED_LINES:,} lines")
            if isinstance(entry, Damage):
                self._reject(name, entry.line, entry.reason)
                continue
            line, index, values = entry
            counts.see(values)
            try:
                events = map_events(values, identity(source, line, index))
            except RejectedRecordError as error:
                self._reject(name, line, str(error))
                continue
            self._used += 1
            if events:
                counts.calls += 1
                yield events
            else:
                counts.skipped += 1

    def _reject(self, name: str, line: int, reason: str) -> None:
        self._reasons[reason_of(reason)] += 1
        self._note(Reject(name, self._lines, line, reason))
        if not self._used and self._lines >= GIVE_UP_AFTER:
            self._refuse()

    def _refuse(self, which: str = "") -> None:
        """Refuse the input if most of the lines so far could not be used."""
        if refusal := Tally(self._used, self._reasons).refusal():
            raise ImportFileError(f"{self._name}{which}: {refusal}")


def side_by_side(files: Sequence[Iterator[list[Event]]]) -> Iterator[list[Event]]:
    """Yield the calls of all files, as far as possible in the order of their ends."""
    if len(files) == 1:
        return files[0]
    return merge(*files, key=_ended_ms)


def _ended_ms(events: list[Event]) -> int:
    return events[-1].occurred_at_ms


def fingerprinted(chunks: Iterator[bytes], lines: int = 1) -> tuple[str | None, Iterator[bytes]]:
    """Return a digest of a text's first lines, which identifies it (None if it is empty), and the whole text.

    A log keeps its digest when it is rotated, copied or compressed.
    """
    begin = b""
    for chunk in chunks:
        begin += chunk
        if begin.lstrip().count(b"\n") >= lines or len(begin) > HEAD_BYTES:
            break
    whole = chain([begin], chunks) if begin else iter(())
    return (fingerprint(begin, lines) if begin.strip() else None), whole


def fingerprint(begin: bytes, lines: int = 1) -> str:
    r"""Return a digest of a text's first lines, which identifies the text.

    >>> fingerprint(b"a\nb\n") == fingerprint(b"a\r\nc"), fingerprint(b"a\n") == fingerprint(b"b\n")
    (True, False)
    """
    first = begin.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", lines)[:lines]
    return blake2b(b"\n".join(line.rstrip(b"\r") for line in first)[:HEAD_BYTES], digest_size=12).hexdigest()


def naming_lines(said: Map) -> int:
    """Return how many lines identify a log: two for CSV with a header, as all logs may have the same one."""
    return 2 if said.format == "csv" and not said.columns else 1


def identity(source: str | None, line: int, index: int = 0) -> str:
    """Return a call's identity if its map names no id: its place in the log, wherever that is read."""
    return f"{source}:{line}:{index}" if index else f"{source}:{line}"
