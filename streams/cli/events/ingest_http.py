"""`portallink ingest http`: access logs of any gateway, by a map, to Kafka or to a log file."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

from streams.cli.complete import one_of
from streams.cli.events.import_options import LogOut, Partitions
from streams.cli.events.ingest_follow import follow_logs, mapper_named
from streams.cli.events.rejects import Rejects
from streams.cli.events.to_kafka import to_kafka
from streams.cli.outcome import (
    Words,
    not_written,
    notes,
    print_document,
    print_json,
    refuse,
    results,
    say,
)
from streams.cli.settings_option import SettingsFile, settings_of
from streams.cli.table import show_pairs
from streams.ingest.gateway.files import PROBED_LINES, Counts, LogFile, side_by_side
from streams.ingest.gateway.order import DISORDER_MS, Entry, Log, TimeOrder
from streams.ingest.gateway.summary import Figures, LogSummary
from streams.ingest.mapping.mapper import Event, Mapper
from streams.ingest.mapping.places import MapError
from streams.ingest.shell import load_mapper, preset_names, preset_text
from streams.ingest.tally import ImportFileError
from streams.ingest.xroad.events import DEFAULT_PARTITIONS, closing_ms_after
from streams.intake.shell import opened
from streams.kafka.publish import PublishError, partitions_of, publish
from streams.logs.file import seldom_collected
from streams.logs.write import LogNameError, log_writer
from streams.model.located import LocatedError
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.times import local_time
from streams.model.topics import LOOKUPS, SUBMISSIONS

SHOWN_EVENTS: Final = 10
SHOWN_LINKS: Final = 20
CHUNK_EVENTS: Final = 5_000
PROGRESS_CALLS: Final = 5_000


def http(
    files: Annotated[list[str], typer.Argument(help="Access logs, packed or not; - for standard input.")],
    *,
    map_: Annotated[
        str,
        typer.Option(
            "--map",
            help="A map: a YAML file, or the name of a built-in one.",
            autocompletion=one_of(preset_names),
        ),
    ],
    out: LogOut = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; show the first events, and what the map does not cover."
        ),
    ] = False,
    partitions: Partitions = None,
    suffix: Annotated[str, typer.Option(help="Suffix of the Kafka topics' names, to keep runs apart.")] = "",
    rejects: Annotated[
        Path | None, typer.Option(help="File for rejected lines: place and reason of each, as NDJSON.")
    ] = None,
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Keep reading as the logs grow, and send to Kafka, until stopped."),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            help="File where --follow keeps its positions [default: in the data folder, by the logs' names]."
        ),
    ] = None,
    hold_back: Annotated[
        float | None,
        typer.Option(
            help="Seconds that --follow waits before sending [default: from the map's lookup_timeout_ms].",
            min=0,
        ),
    ] = None,
) -> None:
    """Import access logs of any gateway by a map, to Kafka or to a log file.

    A map says which fields of a line hold the time, the link, the service and the outcome; see
    docs/gateways.md. Maps for well-known gateways are built in. All files become one log, ordered by event
    time. Importing a line again gives the same event ids. The import stops at a file of which less than half
    is usable. With --follow, logs are read as they grow, through rotations and restarts.
    """
    measure = settings_of(settings).measure()
    if follow:
        if check or out is not None or rejects is not None or as_json or "-" in files:
            refuse("--follow sends files to Kafka; leave out --check, --out, --rejects, --json and -")
        follow_logs(files, map_, suffix, measure, state, hold_back)
        return
    if out is not None and str(out) in files:
        refuse(f"{out} is an input file as well")
    if check and out is not None:
        refuse("--check writes nothing; leave out --out")
    mapper = mapper_named(map_)
    run = Import(mapper, measure, probe=out is None and not check)
    try:
        with Rejects(rejects) as rejected, ExitStack() as stack, seldom_collected():
            calls = run.calls(files, rejected, stack)
            if check:
                run.look(calls)
            elif out is not None:
                run.to_file(calls, out, partitions or DEFAULT_PARTITIONS)
            else:
                run.to_kafka(calls, partitions, suffix)
    except OSError as error:
        not_written(None if error.filename else out, error)
    except (ImportFileError, LogNameError) as error:
        refuse(f"{error}; {run.sent:,} events before it were sent to Kafka" if run.sent else error)
    summary = run.summary(rejected, with_rejects=rejects is None)
    target = "nothing was written" if check else f"written to {out or 'Kafka'}"
    if as_json:
        shown = {"first_events": [msgspec.to_builtins(event) for event in run.first]} if check else {}
        print_json(msgspec.to_builtins(summary) | shown)
        return
    if check:
        for event in run.first:
            say(msgspec.json.encode(event).decode())
    _print(summary, target)
    rejected.show()
    _warn(summary, mapper, measure.at(summary.last_ms or 0))


class Import:
    """One run of the command."""

    def __init__(self, mapper: Mapper, settings: MeasureSettings, *, probe: bool) -> None:
        self._mapper, self._settings, self._probe = mapper, settings, probe
        self._counts = Counts()
        timeouts_ms = [
            settings.lookup_timeout_ms,
            *(later.lookup_timeout_ms for _, later in settings.changes),
        ]
        self._figures = Figures(min(timeouts_ms))
        longest_ms = max(*timeouts_ms, mapper.said.lookup_timeout_ms)
        self._order = TimeOrder(longest_ms + DISORDER_MS)
        self.first: list[Event] = []
        self.sent = 0
        """Events handed to Kafka."""

    def calls(self, files: list[str], rejected: Rejects, stack: ExitStack) -> Iterator[list[Event]]:
        """Yield the events of all calls, counting them behind a progress line."""
        sources = []
        for name in files:
            try:
                parts = stack.enter_context(opened(name))
                log = LogFile(name, parts, self._mapper, rejected.add, self._counts, probe=self._probe)
            except OSError as error:
                refuse(f"{name}: not readable: {error.strerror or error}")
            except MapError as error:
                refuse(f"the map cannot read lines: {error}")
            sources.append(log.calls())
        columns = (SpinnerColumn(), Words("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=notes, transient=True) as progress:
            task = progress.add_task("reading")
            for number, events in enumerate(side_by_side(sources)):
                if number % PROGRESS_CALLS == 0:
                    progress.update(task, description=f"{number:,} calls")
                self._figures.count(events)
                yield events

    def look(self, calls: Iterator[list[Event]]) -> None:
        """Read all, and keep the first events."""
        self.first = list(islice(chain.from_iterable(calls), SHOWN_EVENTS))
        for _ in calls:
            pass

    def to_file(self, calls: Iterator[list[Event]], out: Path, partitions: int) -> None:
        """Write a log file; nothing is left of it where the import is refused."""
        log = Log(partitions)
        with log_writer(out) as writer:
            for entries in self._in_order(calls):
                writer.write_lines([log.lines(entries)])
            writer.write(self._closing(log))

    def to_kafka(self, calls: Iterator[list[Event]], partitions: int | None, suffix: str) -> None:
        """Send to the topics; the first lines are looked at before anything is sent."""
        names = {topic: f"{topic}-{suffix}" if suffix else topic for topic in (LOOKUPS, SUBMISSIONS)}
        begin = list(islice(calls, PROBED_LINES))
        wants = [topic for topic in names if topic == LOOKUPS or self._mapper.said.submissions is not None]

        async def send(connection: dict[str, Any]) -> None:
            counts = {names[topic]: await partitions_of(connection, names[topic]) for topic in wants}
            if partitions not in (None, *counts.values()) or len(set(counts.values())) > 1:
                said = ", ".join(f"{topic} has {count} partitions" for topic, count in counts.items())
                raise PublishError(f"{said}; that must be one number, and --partitions the same")
            log = Log(next(iter(counts.values())))
            await publish(self._records(chain(begin, calls), log), connection, topic_names=names)

        to_kafka(send)

    def _records(self, calls: Iterable[list[Event]], log: Log) -> Iterator[Record]:
        for entries in self._in_order(calls):
            for record in log.records(entries):
                self.sent += 1
                yield record
        yield from self._closing(log)

    def _in_order(self, calls: Iterable[list[Event]]) -> Iterator[Iterable[Entry]]:
        order = self._order
        for events in calls:
            order.add(events)
            if order.is_due:
                yield order.due()
        rest = order.until(None)
        while chunk := list(islice(rest, CHUNK_EVENTS)):
            yield chunk

    def _closing(self, log: Log) -> Iterator[Record]:
        if self._figures.last_ms is not None:
            after_ms = max(closing_ms_after(self._settings), self._mapper.said.lookup_timeout_ms)
            yield from log.heartbeats(self._order.reached_ms + after_ms, [])

    @property
    def figures(self) -> Figures:
        """What was counted of the events."""
        return self._figures

    def summary(self, rejected: Rejects, *, with_rejects: bool) -> LogSummary:
        """Return the figures."""
        counts, figures = self._counts, self._figures
        return LogSummary(
            lines=counts.lines,
            calls=counts.calls,
            skipped=counts.skipped,
            rejected=rejected.count,
            events=figures.events,
            links=dict(figures.links.most_common()),
            outcomes=dict(figures.outcomes.most_common()),
            submissions=dict(figures.submissions.most_common()),
            unmatched=dict(self._mapper.unmatched.most_common()),
            without_duration=self._mapper.calls.without_duration,
            longest_ms=figures.longest_ms,
            longer_than_timeout=figures.longer,
            late=self._order.late,
            never_seen=counts.never_seen(self._mapper.fields),
            first_ms=figures.first_ms,
            last_ms=figures.last_ms,
            reasons=rejected.reasons,
            rejects=rejected.first if with_rejects else [],
        )


def _print(summary: LogSummary, target: str) -> None:
    names = ("lines", "calls", "skipped", "rejected", "events")
    pairs = [(name, f"{getattr(summary, name):,}") for name in names]
    pairs += [
        (name.replace("unmatched", "no rule for"), _counted(counts))
        for name in ("links", "outcomes", "submissions", "unmatched")
        if (counts := getattr(summary, name))
    ]
    if summary.first_ms is not None and summary.last_ms is not None:
        pairs.append(("from", f"{local_time(summary.first_ms)} Asia/Ho_Chi_Minh"))
        pairs.append(("to", f"{local_time(summary.last_ms)} Asia/Ho_Chi_Minh"))
    show_pairs(pairs)
    results.print(target)


def _counted(counts: dict[str, int]) -> str:
    told = [f"{name} {count:,}" for name, count in islice(counts.items(), SHOWN_LINKS)]
    more = len(counts) - SHOWN_LINKS
    return "\n".join([*told, f"and {more:,} more"] if more > 0 else told)


def _warn(summary: LogSummary, mapper: Mapper, settings: MeasureSettings) -> None:
    """Say what will not be as one may think."""
    for text in _warnings(summary, mapper, settings):
        notes.print(f"warning: {text}", style="yellow")


def _warnings(summary: LogSummary, mapper: Mapper, settings: MeasureSettings) -> Iterator[str]:
    if summary.never_seen:
        yield f"fields that the map names and no line has: {', '.join(summary.never_seen)}"
    if len(summary.links) > settings.max_links:
        yield (
            f"{len(summary.links):,} links; measure and analyze judge the first {settings.max_links:,} of "
            "a partition; the map's `link` should give few names"
        )
    if summary.longer_than_timeout:
        slots = -(-max(summary.longest_ms, mapper.said.lookup_timeout_ms) // settings.slot_ms)
        needed_ms = slots * settings.slot_ms
        yield (
            f"calls longer than lookup_timeout_ms of the settings, {settings.lookup_timeout_ms:,}: "
            f"{summary.longer_than_timeout:,}, the longest of {summary.longest_ms:,} ms; until its answer "
            f"comes such a call counts as one without response. Set lookup_timeout_ms = {needed_ms} or more "
            "in the settings"
        )
        if 2 * summary.longer_than_timeout > summary.calls:
            yield "most calls are longer than that: is the `unit` of the map's `duration` right?"
    if summary.without_duration:
        yield f"calls without a duration: {summary.without_duration:,}; they begin when they end"
    if summary.late:
        yield f"events far behind later ones in the files: {summary.late:,}; they correct what was known"


def maps(
    name: Annotated[
        str | None,
        typer.Argument(help="The map to print [default: list all].", autocompletion=one_of(preset_names)),
    ] = None,
) -> None:
    """List the built-in maps, or print one as a start for your own."""
    if name is None:
        for known in preset_names():
            say(f"{known:16}", load_mapper(known).said.about)
        return
    try:
        print_document(preset_text(name))
    except LocatedError as error:
        refuse(error)
