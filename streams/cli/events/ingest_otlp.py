"""`portallink ingest otlp`: files of OpenTelemetry's spans, to Kafka or to a log file."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import msgspec
import typer

from streams.cli.events.import_options import LogOut, Partitions
from streams.cli.events.ingest_http import Import
from streams.cli.events.rejects import Rejects
from streams.cli.outcome import not_written, notes, print_json, refuse, results
from streams.cli.settings_option import SettingsFile, settings_of
from streams.cli.stages.run_collect import DEFAULT_MAP, Maps, mapper_of
from streams.cli.table import show_pairs
from streams.collect.bodies import BodyError
from streams.collect.bodies import unpacked as unpacked_body
from streams.ingest.mapping.mapper import Event, Mapper
from streams.ingest.otlp.export import NotOtlpError, SpanMapper, Tally, form_in
from streams.ingest.otlp.files import MOST_EXPORT_BYTES, exports
from streams.ingest.tally import ImportFileError, Reject
from streams.ingest.xroad.events import DEFAULT_PARTITIONS
from streams.intake.errors import IntakeError
from streams.intake.kinds import HEAD_BYTES, PACKED, kind_of
from streams.intake.unpack import Budget, unpacked
from streams.logs.file import seldom_collected
from streams.logs.write import LogNameError
from streams.model.settings import MeasureSettings

STDIN: Final = "-"
READ_BYTES: Final = 1 << 18


class _SpanImport(Import):
    """One run of the command: exports in place of lines."""

    def __init__(self, mappers: list[Mapper], settings: MeasureSettings) -> None:
        super().__init__(mappers[0], settings, probe=False)
        self._spans = SpanMapper(mappers)
        self.tally = Tally()

    def spans(self, files: list[str], rejected: Rejects, stack: ExitStack) -> Iterator[list[Event]]:
        """Yield the events of each export."""
        for name in files:
            yield from self._exports(name, _opened(name, stack), rejected)

    def _exports(self, name: str, file: BinaryIO, rejected: Rejects) -> Iterator[list[Event]]:
        used = number = 0
        try:
            for piece in exports(_unfolded(name, file), _unzstd):
                number = piece.number
                try:
                    events = self._spans.events(piece.data, form_in(piece.data), self.tally)
                except NotOtlpError as error:
                    rejected.add(Reject(name, number, number, f"no export of spans: {error}"))
                    continue
                used += 1
                for at in range(0, len(events), 2):
                    self._figures.count(events[at : at + 2])
                yield events
        except IntakeError as error:
            raise ImportFileError(f"{name}: {error.reason}") from error
        if not used:
            raise ImportFileError(f"{name}: there is no export of spans in it")


def _opened(name: str, stack: ExitStack) -> BinaryIO:
    if name == STDIN:
        return sys.stdin.buffer
    return stack.enter_context(Path(name).open("rb"))


def _unfolded(name: str, file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked where all of it is packed."""
    head = file.read(HEAD_BYTES)

    def chunks() -> Iterator[bytes]:
        yield head
        yield from iter(lambda: file.read(READ_BYTES), b"")

    kind = kind_of(head)
    if kind not in PACKED:
        return chunks()
    budget = Budget()
    if name != STDIN:
        budget.taken_bytes = Path(name).stat().st_size
        return unpacked(chunks(), kind, budget)
    return unpacked(budget.counted(chunks()), kind, budget)


def _unzstd(data: bytes) -> bytes:
    try:
        return unpacked_body(data, "zstd", MOST_EXPORT_BYTES)
    except BodyError as error:
        raise IntakeError(error.reason) from error


def otlp(
    files: Annotated[list[str], typer.Argument(help="Files of spans, packed or not; - for standard input.")],
    *,
    map_: Maps = None,
    out: LogOut = None,
    partitions: Partitions = None,
    suffix: Annotated[str, typer.Option(help="Suffix of the Kafka topics' names, to keep runs apart.")] = "",
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Import OpenTelemetry's spans from files, to Kafka or to a log file.

    It reads what a Collector's file exporter writes (lines of JSON, or length-prefixed protobuf), and single
    exports. All files become one log, ordered by event time. docs/opentelemetry.md says how a span becomes
    events.
    """
    measure = settings_of(settings).measure()
    if out is not None and str(out) in files:
        refuse(f"{out} is an input file as well")
    names = map_ or [DEFAULT_MAP]
    run = _SpanImport([mapper_of(name) for name in names], measure)
    try:
        with Rejects(None) as rejected, ExitStack() as stack, seldom_collected():
            calls = run.spans(files, rejected, stack)
            if out is not None:
                run.to_file(calls, out, partitions or DEFAULT_PARTITIONS)
            else:
                run.to_kafka(calls, partitions, suffix)
    except OSError as error:
        not_written(None if error.filename else out, error)
    except (ImportFileError, LogNameError) as error:
        refuse(error)
    tally, figures = run.tally, run.figures
    counts = {
        "spans": tally.spans,
        "lookups": tally.lookups,
        "submissions": tally.submissions,
        "passed_over": tally.passed_over,
        "rejected": tally.rejected,
        "events": figures.events,
    }
    if as_json:
        told = {"links": figures.links, "outcomes": figures.outcomes, "reasons": tally.reasons}
        rejects = {"rejects": msgspec.to_builtins(rejected.first)}
        print_json(counts | {name: dict(count) for name, count in told.items()} | rejects)
        return
    pairs = [(name.replace("_", " "), f"{count:,}") for name, count in counts.items()]
    for name in ("links", "outcomes"):
        found = getattr(figures, name).items()
        pairs.append((name, "\n".join(f"{one} {count:,}" for one, count in found)))
    show_pairs(pairs)
    results.print(f"written to {out or 'Kafka'}")
    for reason, count in tally.reasons.most_common():
        notes.print(f"rejected: {count:,} spans: {reason}")
    rejected.show()
