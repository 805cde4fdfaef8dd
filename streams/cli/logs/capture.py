"""`portallink capture`: topics into a captured log."""

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from streams.cli.complete import one_of
from streams.cli.outcome import Words, fail, notes, print_json, refuse, say
from streams.cli.settings_option import SettingsFile, settings_of
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.topics import Topics
from streams.logs.capture import CaptureError, Wish
from streams.logs.capture import Progress as Done
from streams.logs.capture import capture as run_capture
from streams.logs.file import LogFileError
from streams.logs.folder import FileFormat, Manifest
from streams.logs.player import INPUT_TOPICS
from streams.logs.pseudonym import Pseudonymiser, PseudonymKeyError
from streams.model.times import TimeTextError, local_time, parse_time_ms

WISH = re.compile(r"(?P<topic>[^/]+)(?:/(?P<partition>\d+)(?:=(?P<first>\d*):(?P<next>\d*))?)?")
KEY_VARIABLE = "PORTALLINK_PSEUDONYM_KEY"


def capture(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the captured log. An unfinished capture is resumed.")
    ],
    *,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help="TOPIC, TOPIC/PARTITION or TOPIC/PARTITION=FIRST:NEXT (offsets, half-open); repeatable "
            "[default: the two event topics and link.rules].",
            autocompletion=one_of(lambda: Topics().by_declared_name()),
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Start at this time, by the broker's clock.")] = None,
    until: Annotated[str | None, typer.Option(help="End before this time.")] = None,
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="ndjson (compressed) or parquet.")
    ] = "ndjson",
    pseudonymise: Annotated[
        Path | None,
        typer.Option(
            help="File with a secret key (16 bytes or more): identifiers are replaced by keyed hashes, "
            f"joins kept. Or the key itself in {KEY_VARIABLE}."
        ),
    ] = None,
    suffix: Annotated[
        str, typer.Option(help="Suffix of the topics' names on the broker; the log has them without.")
    ] = "",
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Broker [default: KAFKA_BOOTSTRAP_SERVERS].")
    ] = None,
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Copy topics into log files, with a manifest of offset ranges, counts and digests.

    After an interruption, run it again and it continues. Run it later and it adds what is new. Times without
    an offset are Asia/Ho_Chi_Minh.
    """
    of_stages = settings_of(settings)
    try:
        wishes = [_wish(text) for text in topic or INPUT_TOPICS]
        since_ms, until_ms = (None if text is None else parse_time_ms(text) for text in (since, until))
        connection = kafka_connection(bootstrap_servers)
        pseudonymiser = _pseudonymiser(pseudonymise)
    except (typer.BadParameter, TimeTextError, ConnectionSettingsError, PseudonymKeyError) as error:
        refuse(error)
    columns = (Words("capturing"), BarColumn(), TaskProgressColumn(), Words("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=notes, transient=True) as bar:
        task = bar.add_task("", total=None)

        def progress(done: Done) -> None:
            bar.update(task, completed=done.done, total=done.total, description=f"{done.records:,} records")

        try:
            manifest = asyncio.run(
                run_capture(
                    folder,
                    connection,
                    wishes,
                    file_format=file_format,
                    since_ms=since_ms,
                    until_ms=until_ms,
                    pseudonymiser=pseudonymiser,
                    progress=progress,
                    settings=of_stages,
                    topic_names={one.topic: f"{one.topic}-{suffix}" for one in wishes} if suffix else None,
                )
            )
        except (CaptureError, LogFileError) as error:
            fail(error)
        except OSError as error:
            fail(f"{error}; complete segments are kept: free some space and run the same command again")
        except KeyboardInterrupt:
            fail("interrupted; complete segments are kept: run the same command again to continue")
    _print(folder, manifest, as_json)


def _wish(text: str) -> Wish:
    match = WISH.fullmatch(text)
    if match is None:
        raise typer.BadParameter(
            f"--topic {text!r} is not TOPIC, TOPIC/PARTITION or TOPIC/PARTITION=FIRST:NEXT"
        )
    partition, first, following = (
        int(match[name]) if match[name] else None for name in ("partition", "first", "next")
    )
    if first is not None and following is not None and first > following:
        raise typer.BadParameter(f"--topic {text!r}: the first offset is above the next")
    return Wish(match["topic"], partition, first, following)


def _pseudonymiser(path: Path | None) -> Pseudonymiser | None:
    if path is not None:
        try:
            return Pseudonymiser(path.read_bytes().strip())
        except OSError as error:
            raise PseudonymKeyError(f"{path}: {error.strerror}") from error
    key = os.environ.get(KEY_VARIABLE)
    return Pseudonymiser(key.encode()) if key else None


def _print(folder: Path, manifest: Manifest, as_json: bool) -> None:
    ranges = [
        {
            "topic": part.topic,
            "partition": part.partition,
            "first_offset": part.first_offset,
            "next_offset": part.next_offset,
        }
        for part in manifest.ranges
    ]
    logged = [(part.first_logged_at_ms, part.last_logged_at_ms) for part in manifest.segments]
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "records": manifest.records,
                "segments": len(manifest.segments),
                "complete": manifest.complete,
                "pseudonym_key": manifest.pseudonym_key,
                "ranges": ranges,
            }
        )
        return
    for part in ranges:
        say("{topic}/{partition}: offsets {first_offset} to {next_offset}, half-open".format(**part))
    say(f"{manifest.records:,} records in {len(manifest.segments)} segments in {folder}")
    if logged:
        first, last = min(logged)[0], max(last for _, last in logged)
        say(f"logged {local_time(first)} to {local_time(last)} Asia/Ho_Chi_Minh")
