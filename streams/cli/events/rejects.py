"""Records that an import could not use: all counted, some shown, all written to a file on request."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from streams.cli.outcome import notes
from streams.ingest.tally import Reject, reason_of
from streams.logs.whole import whole_file

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
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Open the file; raise `OSError` where it cannot be opened."""
        if self._path is not None:
            self._file = self._open.enter_context(whole_file(self._path))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        """Close the file; it stays where the import was refused, as it says why."""
        failed = error if isinstance(error, OSError) else None
        self._open.__exit__(None if failed is None else kind, failed, None)

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
            notes.print(f"rejected: {reject}")
        if self.count > SHOWN:
            where = self._path or "--json or --rejects FILE"
            notes.print(f"and {self.count - SHOWN:,} more; see {where}")
