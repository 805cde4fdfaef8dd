"""Records that an import could not use: all counted, some shown, all written to a file on request."""

from collections import Counter
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from streams.cli.outcome import notes
from streams.ingest.tally import Reject, reason_of

MAX_KEPT: Final = 10_000
SHOWN: Final = 20


class Rejects:
    """Takes each rejected record; as a context manager it writes the file as they come."""

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self.first: list[Reject] = []
        self._reasons: Counter[str] = Counter()
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Open the file; raise `OSError` where that cannot be."""
        if self._path is not None:
            self._file = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    @property
    def reasons(self) -> dict[str, int]:
        """How many records were rejected for each reason, the most frequent first."""
        return dict(self._reasons.most_common())

    def add(self, reject: Reject) -> None:
        """Take in one."""
        self.count += 1
        self._reasons[reason_of(reject.reason)] += 1
        if len(self.first) < MAX_KEPT:
            self.first.append(reject)
        if self._file is not None:
            self._file.write(msgspec.json.encode(reject) + b"\n")

    def show(self) -> None:
        """Print the first of them, and where the others are."""
        for reject in self.first[:SHOWN]:
            notes.print(f"rejected: {reject}", soft_wrap=True)
        if self.count > SHOWN:
            where = self._path or "--json or --rejects FILE"
            notes.print(f"and {self.count - SHOWN:,} more; see {where}")
