"""`portallink ingest`: records of other systems, to Kafka or to a log file."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from streams.cli.events.import_options import LogOut, Partitions
from streams.cli.events.ingest_http import http, maps
from streams.cli.events.ingest_otlp import otlp
from streams.cli.events.rejects import Rejects
from streams.cli.events.to_kafka import to_kafka
from streams.cli.outcome import Words, not_written, notes, print_json, refuse, results
from streams.cli.settings_option import SettingsFile, settings_of
from streams.cli.table import show_pairs
from streams.ingest.tally import ImportFileError
from streams.ingest.xroad.calls import Call, pair_records
from streams.ingest.xroad.events import DEFAULT_PARTITIONS, lookup_records
from streams.ingest.xroad.files import read_xroad
from streams.ingest.xroad.record import XRoadRecord
from streams.ingest.xroad.summary import ImportSummary, NetworkTimes, summarise
from streams.intake.shell import opened
from streams.kafka.publish import PublishError, partitions_of, publish
from streams.logs.write import LogNameError, log_writer
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS

app = typer.Typer(help="Bring in records of other systems.", no_args_is_help=True)

LOCAL_TIME = ZoneInfo("Asia/Ho_Chi_Minh")
CHUNK_RECORDS = 5_000


app.command()(http)
app.command()(otlp)
app.command()(maps)


@app.callback()
def ingest() -> None:
    """Bring in records of other systems."""


@app.command()
def xroad(
    files: Annotated[list[str], typer.Argument(help="Files to import; - for standard input.")],
    out: LogOut = None,
    partitions: Partitions = None,
    suffix: Annotated[str, typer.Option(help="Suffix of the Kafka topic's name, to keep runs apart.")] = "",
    rejects: Annotated[
        Path | None, typer.Option(help="File for rejected records: place and reason of each, as NDJSON.")
    ] = None,
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Import X-Road operational-monitoring records from whatever holds them.

    It reads JSON in any arrangement, CSV with a header, and a security server's multipart answers, in UTF-8
    or UTF-16, compressed or not, and archives of these. It recognises them by content. All files become one
    log, ordered by event time; records arrive hours late and out of order, so import all files of a period
    together. Importing a record again gives the same event ids. Personal fields are dropped before anything
    is stored. The import stops at a file of which less than half is usable.
    """
    topic = f"{LOOKUPS}-{suffix}" if suffix else LOOKUPS
    measure = settings_of(settings).measure()
    if out is not None and str(out) in files:
        refuse(f"{out} is an input file as well")
    try:
        with Rejects(rejects) as rejected:
            records = _read(files, rejected)
    except OSError as error:
        not_written(rejects, error)
    book = pair_records(records)
    summary = summarise(book, records=len(records) + rejected.count, rejected=rejected.count)
    del records
    if out is not None:
        events = _to_file(
            out, lookup_records(book.calls, partitions=partitions or DEFAULT_PARTITIONS, settings=measure)
        )
    else:
        events = _to_kafka(book.calls, partitions, topic, measure)
    summary = msgspec.structs.replace(
        summary, events=events, reasons=rejected.reasons, rejects=[] if rejects else rejected.first
    )
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        _print(summary, f"{out}" if out else f"topic {topic}")
        rejected.show()
    _warn(summary, measure.at(summary.last_ms or 0).max_links)


def _warn(summary: ImportSummary, bound: int) -> None:
    """Say what will not be judged as one may think."""
    if len(summary.links) > bound:
        notes.print(
            f"warning: {len(summary.links):,} links, and measure and analyze judge the first {bound:,} of a "
            "partition; events of the others become dead letters (too_many_links). Raise max_links in the "
            "settings, or import fewer consumers at once",
            style="yellow",
        )
    if summary.request_ids_reused:
        notes.print(
            "warning: request ids that stand for more than one call: "
            f"{summary.request_ids_reused:,}; each call counts, and the time of its request is added to its "
            "lookup_id",
            style="yellow",
        )


def _read(files: list[str], rejected: Rejects) -> list[XRoadRecord]:
    records: list[XRoadRecord] = []
    columns = (Words("reading"), BarColumn(), MofNCompleteColumn(), Words("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=notes, transient=True) as progress:
        task = progress.add_task("", total=len(files))
        for name in files:
            try:
                with opened(name) as parts:
                    for record in read_xroad(name, parts, rejected.add):
                        records.append(record)
                        if len(records) % CHUNK_RECORDS == 0:
                            progress.update(task, description=f"{len(records):,} records")
            except ImportFileError as error:
                refuse(error)
            except OSError as error:
                refuse(f"{name}: not readable: {error.strerror or error}")
            progress.advance(task)
    return records


def _to_file(out: Path, records: Iterator[Record]) -> int:
    count = 0
    try:
        with log_writer(out) as writer:
            while chunk := list(islice(records, CHUNK_RECORDS)):
                writer.write(chunk)
                count += len(chunk)
    except LogNameError as error:
        refuse(error)
    except OSError as error:
        not_written(out, error)
    return count


def _to_kafka(calls: list[Call], partitions: int | None, topic: str, settings: MeasureSettings) -> int:
    async def send(connection: dict[str, Any]) -> int:
        count = await partitions_of(connection, topic)
        if partitions not in (None, count):
            raise PublishError(f"topic {topic} has {count} partitions, not {partitions}")
        records = lookup_records(calls, partitions=count, settings=settings)
        return await publish(records, connection, topic_names={LOOKUPS: topic})

    return to_kafka(send)


def _print(summary: ImportSummary, target: str) -> None:
    names = ("records", "pairs", "singles", "duplicates", "rejected", "events")
    pairs = [(name, f"{getattr(summary, name):,}") for name in names]
    pairs.append(("links", str(len(summary.links))))
    if summary.metaservice_calls:
        pairs.append(("calls of X-Road's own services", f"{summary.metaservice_calls:,}, on separate links"))
    if summary.sides_inferred:
        pairs.append(("without securityServerType", f"{summary.sides_inferred:,}, side inferred"))
    if summary.paired_by_message_id:
        pairs.append(("paired by messageId", f"{summary.paired_by_message_id:,}"))
    pairs.append(("outcomes", ", ".join(f"{name} {count:,}" for name, count in summary.outcomes.items())))
    for name, times in (("request", summary.request_network), ("response", summary.response_network)):
        if times is not None:
            pairs.append((f"{name} network time", _times(times)))
    if summary.first_ms is not None and summary.last_ms is not None:
        pairs += [("from", _local(summary.first_ms)), ("to", _local(summary.last_ms))]
    show_pairs(pairs)
    results.print(f"written to {target}")


def _times(times: NetworkTimes) -> str:
    return (
        f"median {times.median_ms} ms, {times.min_ms} to {times.max_ms} ms; "
        f"{times.negative:,} of {times.count:,} negative (clock skew)"
    )


def _local(epoch_ms: int) -> str:
    moment = datetime.fromtimestamp(epoch_ms / 1000, LOCAL_TIME)
    return f"{moment:%Y-%m-%d %H:%M:%S} Asia/Ho_Chi_Minh"
