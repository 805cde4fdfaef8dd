"""`portallink doctor`: what is wrong with events, by kind and example, before they go live."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError

from streams.cli.complete import one_of
from streams.cli.outcome import FAILED, fail, notes, print_json, refuse, results, say, styled
from streams.cli.settings_option import SettingsFile, settings_of
from streams.doctor.examine import Doctor, examine
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.logs.capture import CaptureError, Wish, capture
from streams.logs.file import LogFileError
from streams.logs.read import read_log
from streams.measure.decode import DECODERS
from streams.model.record import Record
from streams.model.settings import MeasureSettings

COLOURS = {"error": "red", "warning": "yellow"}


def doctor(
    of: Annotated[
        str, typer.Argument(metavar="FILE|TOPIC", help="A log file in any form, or a topic of the broker.")
    ],
    *,
    as_topic: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Treat the records as those of this topic, whatever their topic is called.",
            autocompletion=one_of(lambda: DECODERS),
        ),
    ] = None,
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check events, and report each kind of problem with an example.

    It checks heartbeats, keys, pairs, clocks, repeats, unknown fields, and personal identifiers where there
    should be none. A topic is read up to its present end. Exits 1 if there are errors; warnings exit 0.
    """
    if as_topic is not None and as_topic not in DECODERS:
        refuse(f"--as is one of {', '.join(DECODERS)}")
    try:
        measure = settings_of(settings).measure()
        seen = (
            examine(_named(read_log(Path(of)), as_topic), measure)
            if Path(of).exists()
            else _of_topic(of, as_topic, measure)
        )
    except LogFileError as error:
        refuse(error)
    _print(of, seen, as_json=as_json)


def _named(records: Iterator[Record], as_topic: str | None) -> Iterator[Record]:
    return records if as_topic is None else (record._replace(topic=as_topic) for record in records)


def _of_topic(topic: str, as_topic: str | None, settings: MeasureSettings) -> Doctor:
    try:
        connection = kafka_connection()
    except ConnectionSettingsError as error:
        refuse(f"there is no file {topic}, and a topic cannot be read: {error}")
    with tempfile.TemporaryDirectory(prefix="portallink-doctor-") as folder:
        path = Path(folder) / "log"
        try:
            with notes.status(f"reading topic {topic}"):
                asyncio.run(capture(path, connection, [Wish(topic)]))
        except (CaptureError, KafkaError) as error:
            fail(f"topic {topic}: {error}")
        declared = next((name for name in DECODERS if topic == name or topic.startswith(f"{name}-")), None)
        return examine(_named(read_log(path), as_topic or declared), settings)


def _print(of: str, seen: Doctor, *, as_json: bool) -> None:
    events = sum(count for topic, count in seen.records.items() if topic in DECODERS)
    if not events:
        topics = ", ".join(seen.records) or "no records"
        refuse(f"{of}: nothing to examine: {topics}; events are of {' and '.join(DECODERS)} (see --as)")
    found = seen.findings()
    if as_json:
        print_json(
            {
                "records": dict(seen.records),
                "types": dict(seen.types),
                "findings": msgspec.to_builtins(found),
            }
        )
    else:
        say(f"{events:,} records: " + ", ".join(f"{name} {count:,}" for name, count in seen.types.items()))
        for finding in found:
            results.print()
            share = f"{finding.count:,} of {finding.of:,}"
            say(styled(f"{finding.severity}: {finding.kind}", COLOURS[finding.severity]), f"({share})")
            say(f"  first at {finding.example}")
            say(f"  {finding.advice}")
        if not found:
            say("nothing wrong was found")
    if any(finding.severity == "error" for finding in found):
        raise typer.Exit(FAILED)
