"""`portallink ingest`: records of other systems, to Kafka or to a log file."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from streams.cli.outcome import Words, fail, notes, print_json, refuse, results
from streams.ingest.xroad.calls import Call, pair_records
from streams.ingest.xroad.events import DEFAULT_PARTITIONS, lookup_records
from streams.ingest.xroad.files import Reject, XRoadFileError, read_xroad
from streams.ingest.xroad.record import XRoadRecord
from streams.ingest.xroad.summary import ImportSummary, NetworkTimes, summarise
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.publish import PublishError, partitions_of, publish
from streams.logs.file import log_writer
from streams.model.events import LOOKUPS
from streams.model.record import Record

app = typer.Typer(help="Bring in records of other systems.", no_args_is_help=True)

LOCAL_TIME = ZoneInfo("Asia/Ho_Chi_Minh")
REJECTS_SHOWN = 20
CHUNK_RECORDS = 5_000


@app.callback()
def ingest() -> None:
    """Bring in records of other systems."""


@app.command()
def xroad(
    files: Annotated[list[str], typer.Argument(help="Files in any of the shapes; - for standard input.")],
    out: Annotated[
        Path | None, typer.Option(help="Log file to write (.zst compresses); without it, to Kafka.")
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(help="Partitions of the log file [default: 4]; Kafka says its own.", min=1)
    ] = None,
    suffix: Annotated[str, typer.Option(help="Suffix of the Kafka topic's name, to keep runs apart.")] = "",
    rejects: Annotated[
        Path | None, typer.Option(help="File for the rejected records' places and reasons, NDJSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Import X-Road operational-monitoring records: JSON arrays, {"records": [...]}, NDJSON, gzip of each.

    All files together become one log in event time, so give what belongs together at once: records arrive
    hours late and out of order. Importing the same record again gives the same event ids. Personal fields
    are dropped before anything is stored.
    """
    topic = f"{LOOKUPS}-{suffix}" if suffix else LOOKUPS
    if out is not None and str(out) in files:
        refuse(f"{out} is an input file as well")
    records, rejected = _read(files)
    book = pair_records(records)
    summary = summarise(book, records=len(records) + len(rejected), rejected=len(rejected))
    del records
    if rejects is not None:
        _write_rejects(rejects, rejected)
    if out is not None:
        events = _to_file(out, lookup_records(book.calls, partitions=partitions or DEFAULT_PARTITIONS))
    else:
        events = _to_kafka(book.calls, partitions, topic)
    summary = msgspec.structs.replace(summary, events=events, rejects=[] if rejects else rejected)
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        _print(summary, rejected, f"{out}" if out else f"topic {topic}", rejects)


def _read(files: list[str]) -> tuple[list[XRoadRecord], list[Reject]]:
    records: list[XRoadRecord] = []
    rejected: list[Reject] = []
    columns = (Words("reading"), BarColumn(), MofNCompleteColumn(), Words("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=notes, transient=True) as progress:
        task = progress.add_task("", total=len(files))
        for name in files:
            try:
                for entry in read_xroad(name):
                    if isinstance(entry, Reject):
                        rejected.append(entry)
                    else:
                        records.append(entry)
                        if len(records) % CHUNK_RECORDS == 0:
                            progress.update(task, description=f"{len(records):,} records")
            except XRoadFileError as error:
                refuse(error)
            progress.advance(task)
    return records, rejected


def _write_rejects(path: Path, rejected: list[Reject]) -> None:
    try:
        with path.open("wb") as file:
            file.writelines(msgspec.json.encode(reject) + b"\n" for reject in rejected)
    except OSError as error:
        refuse(error)


def _to_file(out: Path, records: Iterator[Record]) -> int:
    count = 0
    try:
        with log_writer(out) as writer:
            while chunk := list(islice(records, CHUNK_RECORDS)):
                writer.write(chunk)
                count += len(chunk)
    except OSError as error:
        fail(f"{out}: {error}")
    return count


def _to_kafka(calls: list[Call], partitions: int | None, topic: str) -> int:
    async def send() -> int:
        count = await partitions_of(connection, topic)
        if partitions not in (None, count):
            raise PublishError(f"topic {topic} has {count} partitions, not {partitions}")
        records = lookup_records(calls, partitions=count)
        return await publish(records, connection, topic_names={LOOKUPS: topic})

    try:
        connection = kafka_connection()
    except ConnectionSettingsError as error:
        refuse(f"{error}; or write a log file with --out")
    try:
        return asyncio.run(send())
    except PublishError as error:
        fail(error)


def _print(summary: ImportSummary, rejected: list[Reject], target: str, rejects: Path | None) -> None:
    table = Table("X-Road import", "", show_header=False)
    for name in ("records", "pairs", "singles", "duplicates", "rejected", "events"):
        table.add_row(name, f"{getattr(summary, name):,}")
    table.add_row("links", str(len(summary.links)))
    if summary.metaservice_calls:
        table.add_row("calls of X-Road's own services", f"{summary.metaservice_calls:,}, on links apart")
    if summary.sides_inferred:
        table.add_row("without securityServerType", f"{summary.sides_inferred:,}, side inferred")
    if summary.paired_by_message_id:
        table.add_row("paired by messageId", f"{summary.paired_by_message_id:,}")
    table.add_row("outcomes", ", ".join(f"{name} {count:,}" for name, count in summary.outcomes.items()))
    for name, times in (("request", summary.request_network), ("response", summary.response_network)):
        if times is not None:
            table.add_row(f"{name} network time", _times(times))
    if summary.first_ms is not None and summary.last_ms is not None:
        table.add_row("from", _local(summary.first_ms))
        table.add_row("to", _local(summary.last_ms))
    results.print(table)
    results.print(f"written to {target}")
    for reject in rejected[:REJECTS_SHOWN]:
        notes.print(f"rejected: {reject}", soft_wrap=True)
    if len(rejected) > REJECTS_SHOWN:
        where = rejects or "--json or --rejects FILE"
        notes.print(f"and {len(rejected) - REJECTS_SHOWN:,} more; see {where}")


def _times(times: NetworkTimes) -> str:
    return (
        f"median {times.median_ms} ms, {times.min_ms} to {times.max_ms} ms; "
        f"{times.negative:,} of {times.count:,} negative (clock skew)"
    )


def _local(epoch_ms: int) -> str:
    moment = datetime.fromtimestamp(epoch_ms / 1000, LOCAL_TIME)
    return f"{moment:%Y-%m-%d %H:%M:%S} Asia/Ho_Chi_Minh"
