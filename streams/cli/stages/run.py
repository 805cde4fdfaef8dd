"""`portallink run STAGE`: one stage as a process; several of one stage share the work."""

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from msgspec.structs import asdict
from typer.core import TyperGroup

from streams import telemetry
from streams.cli.outcome import FAILED, fail
from streams.cli.settings_option import SettingsFile, settings_of
from streams.detect import APP_ID, MEASURE_GROUP
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.publish import PublishError
from streams.kafka.topics import Topics
from streams.kafka.waiting import partitions_when_there, watch_broker
from streams.kafka.worker import StageStoppedError
from streams.measure.stage import GROUP, Measure
from streams.telemetry.labels import METRICS_PORTS
from streams.telemetry.ports import PortError, listening_on

T = TypeVar("T")

APART = {
    "record": "streams.cli.stages.run_audit",
    "serve": "streams.cli.stages.run_audit",
    "collect": "streams.cli.stages.run_collect",
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
    int | None,
    typer.Option(
        help="Port of /metrics; 0 takes a free one"
        f" [default: {', '.join(f'{port} for {stage}' for stage, port in METRICS_PORTS.items())}].",
        envvar="PORTALLINK_METRICS_PORT",
    ),
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
    str | None,
    typer.Option(help="Suffix of the two event topics, if it differs: for several runs over one log."),
]


def topics_for(suffix: str, events_suffix: str | None) -> Topics:
    """Return the topics' names, suffixed or as declared."""
    topics = Topics().suffixed(suffix)
    if events_suffix is None:
        return topics
    events = Topics().suffixed(events_suffix)
    return replace(topics, lookups=events.lookups, submissions=events.submissions)


def begin(stage: str, metrics_port: int | None, metrics_host: str) -> str:
    """Configure telemetry and serve the metrics; return their address.

    Nothing is logged yet: whatever can end the command at once is one line, ahead of the log.
    """
    telemetry.configure(stage)
    port = METRICS_PORTS[stage] if metrics_port is None else metrics_port
    with ports_in_use():
        return f"http://{metrics_host}:{telemetry.start_http(port, metrics_host)}/metrics"


def connected() -> dict[str, Any]:
    """Return how to reach the broker; end the command where the settings do not say it."""
    try:
        return kafka_connection()
    except ConnectionSettingsError as error:
        fail(error)


@contextlib.contextmanager
def ports_in_use() -> Iterator[None]:
    """End the command where a port to listen on is taken, or must not be listened on."""
    try:
        yield
    except PortError as error:
        fail(error)


def announce(metrics: str, started: Mapping[str, object], *, ready: bool = False) -> None:
    """Begin the log: where the metrics are, and what the stage was started with.

    A stage says itself when it is ready; until then `/readyz` answers 503, unless it is ``ready`` at once.
    """
    telemetry.emit(telemetry.StageReady(ready=ready))
    telemetry.emit(telemetry.AddressServed("metrics", metrics))
    telemetry.emit(telemetry.StageStarted(started))


def run_until_stopped(work: Coroutine[Any, Any, None], *foreseen: type[Exception]) -> None:
    """Run a stage until it ends, or until SIGINT or SIGTERM asks it to stop cleanly.

    Errors of the kinds ``foreseen`` are raised; any other is logged, and ends the command.
    """
    run_stoppable(work, *foreseen)
    telemetry.emit(telemetry.StageStopped("asked to stop"))  # a server ends by itself on a signal


async def watching(connection: Mapping[str, Any], work: Coroutine[Any, Any, None]) -> None:
    """Run a stage and tell, beside it, when its broker goes away and comes back."""
    watch = asyncio.ensure_future(watch_broker(connection))
    try:
        await work
    finally:
        watch.cancel()


def run_stoppable(work: Coroutine[Any, Any, T], *foreseen: type[Exception]) -> T:
    """Return what some work of a stage gives; a signal ends the command, and an error as in a stage."""

    async def main() -> T:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        telemetry.emit(telemetry.StageStopped("asked to stop"))
        raise typer.Exit from None
    except foreseen:
        raise
    except StageStoppedError as error:
        end_with(error)
    except Exception as error:  # noqa: BLE001 - the log consists of lines, and a traceback is none
        end_with(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def end_with(error: Exception | str, exception: str = "") -> NoReturn:
    """Log why a stage that has begun its log ends, and end the command."""
    telemetry.emit(telemetry.StageFailed(str(error), exception))
    raise typer.Exit(FAILED)


@app.command()
def measure(
    *,
    max_records: Annotated[int, typer.Option(min=1, help="Records per poll.")] = 500,
    group: Annotated[str, typer.Option(help="Consumer group.")] = GROUP,
    dead_letter_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Stop if more than this share of a source partition's records in a minute is unusable; "
            "1 never stops [default: `dead_letter_share` of the settings].",
        ),
    ] = None,
    settings: SettingsFile = None,
    suffix: Suffix = "",
    events_suffix: EventsSuffix = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Turn events into measurements: decode, drop duplicates, pair, sum, cut by event time."""
    chosen = settings_of(settings)
    connection = connected()
    metrics = begin("measure", metrics_port, metrics_host)
    announce(metrics, {"max_records": max_records, "settings": asdict(chosen)})
    stage = Measure(
        connection,
        chosen.measure(),
        topics=topics_for(suffix, events_suffix),
        group=group,
        max_records=max_records,
        dead_letter_share=chosen.dead_letter_share if dead_letter_limit is None else dead_letter_limit,
    )
    run_until_stopped(watching(connection, stage.run()))


@app.command()
def detect(
    *,
    app_id: Annotated[str, typer.Option("--group", help="Faust application id.")] = APP_ID,
    settings: SettingsFile = None,
    suffix: Suffix = "",
    events_suffix: EventsSuffix = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    measure_group: Annotated[
        str, typer.Option(help="Consumer group of `measure`, whose progress is watched.")
    ] = MEASURE_GROUP,
    web_port: Annotated[
        int | None, typer.Option(help="Port of Faust's own web pages [default: none].")
    ] = None,
) -> None:
    """Turn measurements into link states, windows and outages (a Faust worker)."""
    # Faust reads `--loop`, `--datadir` and others from whatever command line it is imported under.
    import faust  # noqa: PLC0415

    from streams.detect.app import make_app  # noqa: PLC0415
    from streams.detect.failing import BROKER_AWAY  # noqa: PLC0415

    chosen = settings_of(settings)
    connection, topics = connected(), topics_for(suffix, events_suffix)
    if web_port is not None:
        with ports_in_use():
            listening_on(web_port, "127.0.0.1").close()
    metrics = begin("detect", metrics_port, metrics_host)
    announce(metrics, {"settings": asdict(chosen)})
    asked = partitions_when_there(connection, topics.measurements)
    try:
        partitions = run_stoppable(asked, PublishError)
    except PublishError as error:
        end_with(error)
    stage = make_app(
        connection,
        partitions=partitions,
        topics=topics,
        settings=chosen.detect(),
        app_id=app_id,
        web_port=web_port,
        measure_group=measure_group,
    )
    # Faust writes beside the log, and tracebacks into it: what it has to say comes by the log alone.
    with Path(os.devnull).open("w") as nowhere:
        worker = faust.Worker(
            stage,
            loglevel="warning",
            quiet=True,
            stdout=nowhere,
            stderr=nowhere,
            redirect_stdouts=False,
            override_logging=False,
        )
        worker.spinner = None
        reason: BaseException | None = None
        try:
            worker.execute_from_commandline()
        except SystemExit as ended:
            if not ended.code:
                telemetry.emit(telemetry.StageStopped("asked to stop"))
                return
            reason = ended.__context__  # what ended a worker that had not started whole
    if not isinstance(stage.crash_reason or reason, BROKER_AWAY):
        raise typer.Exit(FAILED)
    # Faust cannot go on in this process. The next one goes on from the table, as after any crash.
    run_stoppable(partitions_when_there(connection, topics.measurements), PublishError)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command again
