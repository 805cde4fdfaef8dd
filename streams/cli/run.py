"""`portallink run STAGE`: one stage as a process; several of one stage share the work."""

import asyncio
import contextlib
import importlib
import signal
from collections.abc import Coroutine
from dataclasses import replace
from typing import Annotated, Any

import typer
from msgspec.structs import asdict
from typer.core import TyperGroup

from streams import telemetry
from streams.cli.outcome import fail
from streams.cli.settings_option import SettingsFile, settings_of
from streams.detect import APP_ID, MEASURE_GROUP
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.publish import PublishError, partitions_of
from streams.kafka.topics import Topics
from streams.kafka.worker import StageStoppedError
from streams.measure.stage import GROUP, Measure

APART = {
    "record": "streams.cli.run_audit",
    "serve": "streams.cli.run_audit",
    "collect": "streams.cli.run_collect",
}
"""Stages whose module is imported when they are called, for what they need takes long to import."""


class Stages(TyperGroup):
    """The stages."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all stages."""
        return [*super().list_commands(ctx), *APART]

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return the command of a stage."""
        if name not in APART:
            return super().get_command(ctx, name)
        apart = importlib.import_module(APART[name])
        return typer.main.get_group(apart.app).commands[name]


app = typer.Typer(cls=Stages, no_args_is_help=True, help="Run one stage as a process.")

MetricsPort = Annotated[
    int,
    typer.Option(help="Port of /metrics on this host; 0 takes a free one.", envvar="PORTALLINK_METRICS_PORT"),
]
MetricsHost = Annotated[
    str,
    typer.Option(
        help="Address that /metrics listens on; a container needs 0.0.0.0.",
        envvar="PORTALLINK_METRICS_HOST",
    ),
]
Suffix = Annotated[str, typer.Option(help="Suffix of the topics' names, to keep runs apart.")]
EventsSuffix = Annotated[
    str | None, typer.Option(help="Suffix of the two event topics, where it differs: many runs of one log.")
]


def topics_for(suffix: str, events_suffix: str | None) -> Topics:
    """Return the topics' names, suffixed or as declared."""
    topics = Topics().suffixed(suffix) if suffix else Topics()
    if events_suffix is None:
        return topics
    events = Topics().suffixed(events_suffix) if events_suffix else Topics()
    return replace(topics, lookups=events.lookups, submissions=events.submissions)


def begin(stage: str, metrics_port: int, metrics_host: str) -> dict[str, Any]:
    """Configure telemetry, serve the metrics, and return how to reach the broker."""
    telemetry.configure(stage)
    try:
        connection = kafka_connection()
    except ConnectionSettingsError as error:
        fail(error)
    port = telemetry.start_http(metrics_port, metrics_host)
    telemetry.emit(telemetry.AddressServed("metrics", f"http://{metrics_host}:{port}/metrics"))
    return connection


def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run a stage until it ends, or until SIGINT or SIGTERM asks it to stop cleanly."""

    async def main() -> None:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    telemetry.emit(telemetry.StageStopped("asked to stop"))


@app.command()
def measure(
    *,
    max_records: Annotated[int, typer.Option(min=1, help="Records a poll.")] = 500,
    group: Annotated[str, typer.Option(help="Consumer group.")] = GROUP,
    dead_letter_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Stop when more than this share of a source partition's records of a minute cannot be used; "
            "1 never stops [default: `dead_letter_share` of the settings].",
        ),
    ] = None,
    settings: SettingsFile = None,
    suffix: Suffix = "",
    events_suffix: EventsSuffix = None,
    metrics_port: MetricsPort = 0,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Turn events into measurements: decode, drop duplicates, pair, sum, cut by event time."""
    chosen = settings_of(settings)
    connection = begin("measure", metrics_port, metrics_host)
    telemetry.emit(telemetry.StageStarted({"max_records": max_records, "settings": asdict(chosen)}))
    stage = Measure(
        connection,
        chosen.measure(),
        topics=topics_for(suffix, events_suffix),
        group=group,
        max_records=max_records,
        dead_letter_share=chosen.dead_letter_share if dead_letter_limit is None else dead_letter_limit,
    )
    try:
        run_until_stopped(stage.run())
    except StageStoppedError as error:
        fail(error)


@app.command()
def detect(
    *,
    app_id: Annotated[str, typer.Option("--group", help="Faust application id.")] = APP_ID,
    settings: SettingsFile = None,
    suffix: Suffix = "",
    events_suffix: EventsSuffix = None,
    metrics_port: MetricsPort = 0,
    metrics_host: MetricsHost = "127.0.0.1",
    measure_group: Annotated[
        str, typer.Option(help="Consumer group of `measure`, to know how far it has read.")
    ] = MEASURE_GROUP,
    web_port: Annotated[
        int | None, typer.Option(help="Port of Faust's own web pages; without it, none.")
    ] = None,
) -> None:
    """Turn measurements into link states, windows and outages (a Faust worker)."""
    # Faust reads `--loop`, `--datadir` and others from whatever command line it is imported under.
    import faust  # noqa: PLC0415

    from streams.detect.app import make_app  # noqa: PLC0415

    chosen = settings_of(settings)
    connection = begin("detect", metrics_port, metrics_host)
    topics = topics_for(suffix, events_suffix)
    try:
        partitions = asyncio.run(partitions_of(connection, topics.measurements))
    except PublishError as error:
        fail(error)
    telemetry.emit(telemetry.StageStarted({"partitions": partitions, "settings": asdict(chosen)}))
    stage = make_app(
        connection,
        partitions=partitions,
        topics=topics,
        settings=chosen.detect(),
        app_id=app_id,
        web_port=web_port,
        measure_group=measure_group,
    )
    worker = faust.Worker(stage, loglevel="warning", redirect_stdouts=False, override_logging=False)
    worker.execute_from_commandline()
