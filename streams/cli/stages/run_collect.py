"""`portallink run collect`: OpenTelemetry's spans, live."""

import ipaddress
from typing import Annotated, Final

import typer

from streams import telemetry
from streams.cli.complete import one_of
from streams.cli.outcome import refuse
from streams.cli.settings_option import SettingsFile, settings_of
from streams.cli.stages.run import (
    MetricsHost,
    MetricsPort,
    Suffix,
    announce,
    begin,
    connected,
    ports_in_use,
    run_until_stopped,
    topics_for,
)
from streams.collect.shell import GRPC_PORT, HTTP_PORT
from streams.collect.shell import collect as receive
from streams.collect.topic import GROUP
from streams.collect.watching import QUIET_MS
from streams.ingest.mapping.mapper import Mapper
from streams.ingest.shell import load_mapper, preset_names
from streams.model.located import LocatedError
from streams.telemetry.ports import listening_on

DEFAULT_MAP: Final = "opentelemetry"

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def _run() -> None:
    """Take what comes before a command."""


Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        autocompletion=one_of(preset_names),
        help=f"A map: YAML file or built-in name; repeatable, the first that fits [default: {DEFAULT_MAP}].",
    ),
]


@app.command()
def collect(
    *,
    map_: Maps = None,
    http_port: Annotated[int, typer.Option(help="Port of OTLP over HTTP; 0 takes a free one.")] = HTTP_PORT,
    grpc_port: Annotated[int, typer.Option(help="Port of OTLP over gRPC; 0 takes a free one.")] = GRPC_PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback needs a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PORTALLINK_COLLECT_TOKEN",
            help="Token that senders must present; set it by the variable.",
            show_envvar=True,
        ),
    ] = None,
    quiet_seconds: Annotated[
        int,
        typer.Option(min=1, max=3600, help="Seconds without spans after which a source counts as silent."),
    ] = QUIET_MS // 1000,
    from_topic: Annotated[
        list[str] | None,
        typer.Option(help="Read spans from this topic too, as a Collector writes them; repeatable."),
    ] = None,
    group: Annotated[str, typer.Option(help="Consumer group of --from-topic.")] = GROUP,
    settings: SettingsFile = None,
    suffix: Suffix = "",
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Receive OpenTelemetry's spans (OTLP over HTTP and gRPC) and write them as lookups and submissions.

    Set OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 in the portal; nothing else is needed.
    docs/opentelemetry.md says how spans become events. Spans are acknowledged once the broker has them.
    """
    chosen = settings_of(settings)
    mappers = [mapper_of(name) for name in map_ or [DEFAULT_MAP]]
    if not token and not _is_loopback(host):
        refuse(f"{host} can be reached from elsewhere: set PORTALLINK_COLLECT_TOKEN, or listen on 127.0.0.1")
    connection = connected()
    with ports_in_use():
        for port in (http_port, grpc_port):
            listening_on(port, host).close()
    announce(begin("collect", metrics_port, metrics_host), {"maps": map_ or [DEFAULT_MAP]})
    run_until_stopped(
        receive(
            connection,
            mappers,
            topics=topics_for(suffix, None),
            host=host,
            http_port=http_port,
            grpc_port=grpc_port,
            token=token or None,
            from_topics=from_topic or (),
            group=group,
            quiet_ms=quiet_seconds * 1000,
            most_links=chosen.max_links,
            started=lambda way, port: telemetry.emit(
                telemetry.AddressServed(f"otlp {way}", f"http://{host}:{port}")
            ),
        )
    )


def mapper_of(name: str) -> Mapper:
    """Return what applies a map to spans; what is wrong with it ends the command."""
    try:
        mapper = load_mapper(name)
    except LocatedError as error:
        refuse(error)
    if mapper.said.format is not None:
        refuse(f"{name}: a map of spans has no `format`; `{mapper.said.format}` is one of a log's lines")
    return mapper


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
