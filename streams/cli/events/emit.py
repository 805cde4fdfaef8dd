"""`portallink emit`: well-formed events, and heartbeats, from a portal of one's own."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from streams.cli.outcome import BAD_USAGE, fail, not_written, notes, print_json, refuse, say
from streams.emit.emitter import Emitter, now_ms
from streams.emit.wellformed import EventError, Sendable, checked, records_of
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.topics import Topics
from streams.logs.write import LogNameError, log_writer
from streams.model.events import Observer

STDIN: Final = "-"
MOST_ON_THE_WAY: Final = 20_000
LONGEST_LINE_BYTES: Final = 1 << 20
"""More than a value may have; of a longer line the rest is passed over."""
PATIENCE_SECONDS: Final = 30.0
SHOWN: Final = 20


class _Lines:
    """The events of files, one a line; what is wrong with a line is told, and costs that line alone."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self.refused: list[str] = []

    def __iter__(self) -> Iterator[Sendable]:
        for name in self._names:
            with ExitStack() as stack:
                file = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
                yield from self._events(name, file)

    def _events(self, name: str, file: BinaryIO) -> Iterator[Sendable]:
        number, ended = 0, True
        while line := file.readline(LONGEST_LINE_BYTES):
            number += ended
            whole, ended = ended, line.endswith(b"\n")
            if not whole or not line.strip():
                continue  # the rest of a line that was too long, or an empty one
            try:
                yield checked(line, now_ms())
            except EventError as error:
                self.refused.append(f"{name}: line {number}: {error}")


def emit(
    files: Annotated[
        list[str] | None, typer.Argument(help="Files of events, one JSON a line; - for standard input.")
    ] = None,
    *,
    link: Annotated[
        list[str] | None,
        typer.Option(help="Send a heartbeat every second for this link; repeatable."),
    ] = None,
    observer: Annotated[Observer, typer.Option(help="Whose heartbeats they are.")] = "portal",
    out: Annotated[
        Path | None, typer.Option(help="Log file to write instead: .ndjson, .ndjson.zst, .parquet.")
    ] = None,
    partitions: Annotated[int, typer.Option(help="Partitions of each topic in the log file.", min=1)] = 4,
    suffix: Annotated[str, typer.Option(help="Suffix of the topics' names, to keep runs apart.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Check events as the pipeline does, and send each with its proper key and partition.

    With --link, it sends heartbeats until the input ends, or without input until Ctrl-C. A line that the
    pipeline would refuse is reported with its reason and not sent; the rest is sent, and the exit code
    is 2. Sending the same events again is harmless.
    """
    if not files and not link:
        refuse("name files of events, or a --link to send heartbeats for")
    lines = _Lines(files or [])
    try:
        if out is None:
            count = _send(lines, link or [], observer, suffix, forever=not files)
        elif link or not files:
            refuse("--out needs files of events; --link sends heartbeats and cannot write a file")
        else:
            count = _write(lines, out, partitions)
    except OSError as error:
        not_written(None, error)
    for line in lines.refused[:SHOWN]:
        notes.print(f"refused: {line}")
    if len(lines.refused) > SHOWN:
        notes.print(f"and {len(lines.refused) - SHOWN:,} more")
    if as_json:
        print_json({"sent": count, "refused": len(lines.refused)})
    else:
        where = "sent" if out is None else f"written to {out}"
        say(f"{count:,} events {where}, {len(lines.refused):,} refused")
    if lines.refused:
        raise typer.Exit(BAD_USAGE)


def _write(lines: _Lines, out: Path, partitions: int) -> int:
    count = 0

    def counted() -> Iterator[Sendable]:
        nonlocal count
        for event in lines:
            count += 1
            yield event

    try:
        with log_writer(out) as writer:
            writer.write(records_of(counted(), partitions))
    except LogNameError as error:
        refuse(error)
    return count


def _send(lines: _Lines, links: list[str], observer: Observer, suffix: str, *, forever: bool) -> int:
    names = Topics().suffixed(suffix).by_declared_name() if suffix else {}
    count = 0
    try:
        emitter = Emitter(links, observer=observer, connection=kafka_connection(), topic_names=names)
    except ConnectionSettingsError as error:
        refuse(f"{error}; or write a log file with --out")
    except EventError as error:
        refuse(f"--link: {error}")
    try:
        waiting: deque[Future[None]] = deque()
        for event in lines:
            waiting.append(emitter.take(event))
            count += 1
            if len(waiting) > MOST_ON_THE_WAY:
                waiting.popleft().result(PATIENCE_SECONDS)
        while forever:
            time.sleep(1)
        emitter.flush(PATIENCE_SECONDS)
    except TimeoutError:
        fail(f"the broker did not confirm within {PATIENCE_SECONDS:g} s: {emitter.fault or 'no answer'}")
    except KeyboardInterrupt:
        notes.print("stopped")
    finally:
        emitter.close(0 if emitter.fault else PATIENCE_SECONDS)
    return count
